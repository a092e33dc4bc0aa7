"""From a trained grader to a Bundle: inference graph, variants for devices, their agreement with the grader."""
