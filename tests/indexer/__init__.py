"""The process that keeps database, stores and index in agreement, on real engines."""
