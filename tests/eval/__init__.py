"""The evaluation of the search: what its figures mean, and a part of it on the engines of the tests."""
