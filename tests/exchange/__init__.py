"""Formats that leave the catalog and come into it."""
