"""Vocabularies: reading what others send, importing, looking up."""
