"""The command line: what people and scripts type. Speaks HTTP through `catalog.client`, like anybody else's program.

Only `serve`, `migrate` and `token` know the catalog from inside, for whoever runs one.
"""

from catalog.cli.app import main

__all__ = ["main"]
