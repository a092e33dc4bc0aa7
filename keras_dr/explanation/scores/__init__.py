"""Scores that say how far a heat map can be trusted."""
