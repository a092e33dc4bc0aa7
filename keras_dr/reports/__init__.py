"""Saved results as text, tables, plots and pages."""
