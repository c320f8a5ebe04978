"""The process that keeps database, stores and index in agreement: the only writer of the index."""
