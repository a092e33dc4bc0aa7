"""Reports of saved results as text, tables, plots and pages."""
