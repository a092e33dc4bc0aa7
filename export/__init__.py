"""From a trained grader to a Bundle: the inference graph, variants for devices, and their agreement with the grader."""
