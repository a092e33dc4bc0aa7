"""Grading of photographs with a Run or a Bundle."""
