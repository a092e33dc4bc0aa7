"""Synthetic fundus photographs with graded lesions and exact masks."""
