"""Tests of the embedded stack: what survives, what is left behind, what is said."""
