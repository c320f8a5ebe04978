"""The HTTP API, held to its promises on running services."""
