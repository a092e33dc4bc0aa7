"""What a device runs too: the standard library, NumPy, OpenCV and simplejpeg; optional packages only inside functions."""
