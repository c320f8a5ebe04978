"""How close the catalog comes to what its engines allow: each figure a ratio to a limit measured in the same run."""
