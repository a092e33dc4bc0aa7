"""What a device runs too: the standard library, NumPy and OpenCV; optional packages only inside functions."""
