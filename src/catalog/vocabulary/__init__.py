"""Controlled terms: schemes of concepts, read from SKOS, kept, looked up and explained when they are wrong.

Knows nothing of objects and of HTTP. What comes from outside is read in a process of its own (`guarding`), which has
neither network nor files; `skos` alone knows rdflib.
"""
