"""Schemes that the catalog ships, one Turtle file each, and what makes those that are made."""
