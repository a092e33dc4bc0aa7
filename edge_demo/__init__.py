"""Grade photographs on a device: NumPy, OpenCV and ai-edge-litert alone, no TensorFlow, no network."""
