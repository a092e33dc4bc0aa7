"""What a device runs too: the standard library, NumPy, OpenCV and simplejpeg; others only inside functions."""
