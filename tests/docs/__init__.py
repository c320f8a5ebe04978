"""The documents are tested like code: links lead somewhere, commands exist, settings are the real ones."""
