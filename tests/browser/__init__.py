"""The pages in a real browser: whether everybody can read them, in every light and width."""
