"""How much organizations and projects may hold: shown, and limited."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import typer

from catalog.cli import output
from catalog.cli.output import Invocation
from catalog.errors import Fault, Invalid

NO_LIMIT = "none"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGTP]?)(i?)B?", re.ASCII | re.IGNORECASE)
_PREFIXES = ("", "K", "M", "G", "T", "P")

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Objects = Annotated[str | None, typer.Option(metavar="NUMBER", help="The most objects, or none for no limit.")]
Size = Annotated[
    str | None, typer.Option("--bytes", metavar="SIZE", help="The most bytes of files: 500GB, 2TB, 1.5TiB, or none.")
]
Uploads = Annotated[str | None, typer.Option(metavar="NUMBER", help="The most uploads open at once, or none.")]


def register(organizations: typer.Typer, projects: typer.Typer) -> None:
    """Add these commands."""
    organizations.command("quota")(organization_quota)
    projects.command("quota")(project_quota)


def organization_quota(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ORG")],
    *,
    objects: Objects = None,
    size: Size = None,
    uploads: Uploads = None,
    json: Json = False,
) -> None:
    """Show how much an organization may hold, or limit it; that is for admins of the whole catalog."""
    _quota(context, name, {"objects": objects, "bytes": size, "uploads": uploads}, json=json)


def project_quota(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ORG/PROJECT")],
    *,
    objects: Objects = None,
    size: Size = None,
    uploads: Uploads = None,
    json: Json = False,
) -> None:
    """Show how much a project may hold, or limit it; that is for admins of the whole catalog."""
    _quota(context, name, {"objects": objects, "bytes": size, "uploads": uploads}, json=json)


def _quota(context: typer.Context, scope: str, said: dict[str, str | None], *, json: bool) -> None:

    wanted = {what: number_of(what, text) for what, text in said.items() if text is not None}
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.quotas.change(scope, wanted) if wanted else catalog.quotas.show(scope)
    if json:
        output.as_json(found)
        return
    # Those who may not see everything there are not told how much there is.
    used: Mapping[str, object] = found["used"] or {}
    rows = [(what, NO_LIMIT if most is None else most, used.get(what)) for what, most in found["most"].items()]
    output.table(("what", "most", "used"), rows)


def number_of(what: str, text: str, *, option: str | None = None) -> int | None:
    """Return the number that somebody typed, `none` for None; bytes may have a unit. Raises Invalid for other text.

    `option` is what it was typed for, unless that is called as what it is.
    """
    place = option or f"--{what}"
    if text == NO_LIMIT:
        return None
    if what != "bytes":
        if text.isascii() and text.isdigit():
            return int(text)
        raise Invalid("That is no limit.", faults=[Fault(place, f"a whole number or none, not {text[:80]!r}")])
    read = _SIZE.fullmatch(text)
    if read is None or (read[3] and not read[2]):
        raise Invalid(
            "That is no limit.", faults=[Fault(place, f"a size such as 500GB, 2TB or 1.5TiB, not {text[:80]!r}")]
        )
    # ISO/IEC 80000-13: kB is a thousand bytes, KiB 1,024.
    return int(Decimal(read[1]) * (1024 if read[3] else 1000) ** _PREFIXES.index(read[2].upper()))
