"""Modules that a device runs too.

They import only the standard library, NumPy, OpenCV and simplejpeg; other packages are imported inside functions.
"""
