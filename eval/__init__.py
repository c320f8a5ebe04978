"""How well a search finds: questions with the objects that ought to answer them, asked of a real catalog.

Owns the corpus, the judged questions and the figures. Knows the catalog from outside, over HTTP, as everybody does.
"""
