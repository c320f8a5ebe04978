"""Tests of the catalog: every room on real engines, and the documents that describe it."""
