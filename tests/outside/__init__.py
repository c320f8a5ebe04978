"""What lies outside the catalog."""
