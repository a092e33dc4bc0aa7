"""From a Prepared set and a recipe to a Run."""
