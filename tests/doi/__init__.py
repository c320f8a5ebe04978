"""DOIs: their states, their texts, and a registry that misbehaves."""
