"""Changes of objects, told to services."""
