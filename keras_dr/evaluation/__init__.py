"""Runs measured on photographs, and compared with one another."""
