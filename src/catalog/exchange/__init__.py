"""Formats of others: one module each, both directions where both exist.

Pure: values in, values out. Knows the description of objects; knows nothing of tables, HTTP, or who may see what.
"""
