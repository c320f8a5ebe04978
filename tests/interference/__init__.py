"""What somebody may not see changes no answer: random worlds, asked with it and without it."""
