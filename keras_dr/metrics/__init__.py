"""Figures that are computed from predictions, on arrays."""
