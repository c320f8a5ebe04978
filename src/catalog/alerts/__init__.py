"""Saved searches: what people want to be told of, which objects fit, and how each owner hears of them.

The engine says which objects fit a question, whoever asked it; who may be told is asked of the database, with the
owner's rights as they are at that moment. Knows nothing of HTTP routes, nor of how documents are written.
"""
