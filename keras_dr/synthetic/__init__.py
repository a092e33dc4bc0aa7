"""Drawn fundus photographs with graded lesions and exact masks."""
