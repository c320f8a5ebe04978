"""`catalog-indexer`: run, drain, setup."""

from indexer.commands import main

if __name__ == "__main__":
    main()
