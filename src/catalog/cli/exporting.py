"""Everything that a search finds, as a file: export."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from catalog.cli import asking, output
from catalog.cli.counting import Counted
from catalog.cli.output import FORMS, Invocation

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.exports import Form

PART = ".part"
# What a terminal cannot show.
BINARY = frozenset({"parquet"})


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Finding")(export)


@asking.asks
def export(
    context: typer.Context,
    text: Annotated[
        list[str] | None, typer.Argument(help="What is looked for, as `catalog search` takes it; nothing: everything.")
    ] = None,
    *,
    form: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="FORM",
            help="ndjson (an object a line), csv, parquet, bibtex; links: manifest, aria2, rclone.",
            autocompletion=output.choices(FORMS),
        ),
    ] = "ndjson",
    to: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here, not to standard output.")
    ] = None,
    wanted: dict[str, Any],
    similar: asking.Similar = False,
) -> None:
    """Write everything that a search finds, however much: in the order of ids, each object once."""
    output.must_be_one_of(FORMS, [form], "--as")
    if form in BINARY and to is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is no text: give it a file with --output, or pipe it", param_hint="--as")
    invocation: Invocation = context.obj
    typed, counted = asking.words(text), Counted(cast("Form", form))
    with invocation.catalog(output.MOVING_SECONDS) as catalog:
        asking.say_before(catalog, typed, wanted, similar=similar)
        whole = counted.passing(catalog.export_bytes(cast("Form", form), typed, **wanted, similar=similar))
        if to is None:
            _copy(whole)
        else:
            # What breaks off never stands under the name of a whole file.
            part = to.with_name(to.name + PART)
            size = _written(whole, part)
            part.replace(to)
            output.say(f"{to}: {counted.told}{size:,} bytes")
        if counted.objects == 0:
            asking.say_nothing(catalog, typed, wanted, similar=similar)


def _copy(pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _written(pieces: Iterable[bytes], file: Path) -> int:
    from catalog.errors import Invalid

    size = 0
    coming = iter(pieces)
    # Before there is a file: what cannot be asked leaves none.
    first = next(coming, b"")
    try:
        with file.open("wb") as out:
            for piece in chain([first], coming):
                size += out.write(piece)
    except OSError as fault:
        raise Invalid(f"{file} cannot be written: {fault.strerror}.") from None
    return size


def get_found(
    invocation: Invocation, text: str | None, wanted: dict[str, Any], to: Path, *, similar: bool, json: bool
) -> None:
    """Download everything that a search finds; print where each file is, as it comes."""
    from catalog.errors import CatalogError

    there, code = 0, 0
    with invocation.catalog(output.MOVING_SECONDS) as catalog, output.resumable():
        asking.say_before(catalog, text, wanted, similar=similar)
        for one in catalog.fetch_found(to, text or None, **wanted, similar=similar):
            if isinstance(one.got, CatalogError):
                code = output.refusal(one.got)
                continue
            there += 1
            if json:
                output.as_line(
                    {
                        "id": one.file["object"],
                        "path": one.file["path"],
                        "target": str(one.got.target),
                        "size": one.file["size"],
                        "sha256": one.file["sha256"],
                        "outcome": "skipped" if one.got.moved is None else "downloaded",
                    }
                )
            else:
                output.data(str(one.got.target))
        if not there and not code:
            _say_no_files(catalog, text, wanted, similar=similar)
            return
    output.say(f"{output.counted(there, 'file')} here" + ("" if code == 0 else "; run the same command again to go on"))
    if code:
        raise typer.Exit(code)


def _say_no_files(catalog: "Catalog", text: str | None, wanted: dict[str, Any], *, similar: bool) -> None:
    found = catalog.search(text or None, **wanted, similar=similar, limit=1)["total"]
    if found:
        output.say(f"nothing fetched: of {output.counted(found, 'object')} no file's bytes are here")
    else:
        asking.say_nothing(catalog, text, wanted, similar=similar)
