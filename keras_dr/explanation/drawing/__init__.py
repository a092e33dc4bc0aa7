"""Boards and sheets of photographs and heat maps."""
