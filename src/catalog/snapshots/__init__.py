"""Snapshots of a search: what a question found at a moment, frozen so that it can be cited.

Owns their rows. A snapshot holds what was public and nothing else, with a digest of each member and of all of them.
"""
