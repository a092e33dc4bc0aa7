"""Measures runs on photographs, and compares runs with one another."""
