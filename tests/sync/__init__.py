"""Agreement of the index with the database."""
