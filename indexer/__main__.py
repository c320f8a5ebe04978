"""`catalog-indexer`: run, drain, setup."""

import gc


def main() -> None:
    """Run the command line."""
    # Loading makes half a million things and no garbage: looking for some would take a fifth of the time.
    gc.disable()
    from indexer import commands  # ruff: ignore[PLC0415]

    gc.freeze()
    gc.enable()
    commands.main()


if __name__ == "__main__":
    main()
