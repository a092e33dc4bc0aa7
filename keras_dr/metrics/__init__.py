"""Figures of predictions, on arrays."""
