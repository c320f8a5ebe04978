"""Digital object identifiers: which DOI names what, where it stands, and what the registry is told.

Owns the states and their moves, the text of a DOI, the check before one is made, and the clients of registries. Knows
nothing of HTTP routes or pages; the process that talks to a registry is the indexer.
"""
