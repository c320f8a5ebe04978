"""Jobs on real stores: many processes at once, large files, an async client."""
