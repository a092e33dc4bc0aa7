"""Boards and sheets of heat maps."""
