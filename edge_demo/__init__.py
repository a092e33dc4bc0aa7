"""Grade photographs on a device, with only NumPy, OpenCV and ai-edge-litert: no TensorFlow, no network."""
