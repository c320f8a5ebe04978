"""The Python client: against a scripted server for what goes wrong, against a running catalog for the rest."""
