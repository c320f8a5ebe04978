"""Saved searches: what fits them, and who is told."""
