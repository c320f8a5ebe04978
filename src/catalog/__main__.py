"""`python -m catalog` is `catalog`."""

from catalog.cli import main

main()
