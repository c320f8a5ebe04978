"""A server outside, for these tests."""

from tests.outside.serving import outside

__all__ = ["outside"]
