"""A running catalog on each store, as the tests of the API have it."""

from tests.api.conftest import stored

__all__ = ["stored"]
