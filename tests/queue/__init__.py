"""The queue: what is put is claimed, whatever else happens at the same time."""
