"""`catalog demo`: the whole system at work on this machine."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from pathlib import Path
from typing import Annotated, Literal

import typer

from catalog.cli import output

STORES: tuple[Literal["seaweedfs", "minio"], ...] = ("seaweedfs", "minio")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel="Running it all on this machine")(demo)


def demo(
    *,
    oneshot: Annotated[bool, typer.Option("--oneshot", help="End when everything has been shown.")] = False,
    home: Annotated[
        Path | None, typer.Option(help="The data folder; CATALOG_HOME says so too; else .data, or .data-minio.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help=f"{' or '.join(STORES)}; the first if not said.", autocompletion=output.choices(STORES)),
    ] = None,
) -> None:
    """Start real engines, register and upload real objects, find them, download one, and stay up to be tried."""
    chosen = next((known for known in STORES if known == store), None)
    output.must_be_one_of(STORES, [store] if store else [], "--store")
    from catalog.demo import run
    from catalog.settings import Workstation

    if home is None and chosen == "minio":
        # Uploaded bytes lie in the store that took them: each store's demo has a folder, and so a catalog, of its own.
        default = Workstation().catalog_home
        home = default.with_name(f"{default.name}-minio")
    run(home=home, store=chosen, oneshot=oneshot)
