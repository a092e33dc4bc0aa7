"""Exports a trained grader to a Bundle: inference graph, variants for devices, comparison with the grader."""
