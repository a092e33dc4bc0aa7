"""How far a heat map can be trusted, on arrays."""
