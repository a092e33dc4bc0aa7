"""Photographs graded with a Run or a Bundle."""
