"""The options by which commands that search say what they mean: declared once, and what is said of an answer.

`@asks` gives them to a command, which gets what was said as `wanted`, as the client takes it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli import output
from catalog.cli.output import KINDS

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.shapes import SearchPage

STAGES = ("source", "uploaded", "harmonized")
BANDS = ("excellent", "good", "fair", "poor")
YES_NO = ("yes", "no")
WANTED = "wanted"

Similar = Annotated[bool, typer.Option(help="Whether similar words are looked for where nothing has them as written.")]


def _options(
    *,
    filter: Annotated[  # noqa: A002
        str | None, typer.Option("--filter", help="Only what this CQL2 says: \"kind = 'model' AND year >= 2020\".")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind; repeat for more.", autocompletion=output.choices(KINDS))
    ] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only this project, written org/project.")] = None,
    organization: Annotated[list[str] | None, typer.Option(help="Only this organization.")] = None,
    licence: Annotated[list[str] | None, typer.Option(help="Only this licence, an SPDX id.")] = None,
    year: Annotated[list[str] | None, typer.Option(help="Only this year, or a range: 2020..2024.")] = None,
    creator: Annotated[
        list[str] | None, typer.Option(help="Only by this creator, as --facet creator shows it.")
    ] = None,
    keyword: Annotated[list[str] | None, typer.Option(help="Only with this keyword.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="Only with files of this media type.")] = None,  # noqa: A002
    stage: Annotated[
        list[str] | None,
        typer.Option(
            help="Only with files in this stage: source, uploaded or harmonized.", autocompletion=output.choices(STAGES)
        ),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only draft, or only published.", autocompletion=output.choices(("draft", "published"))),
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(help="Only excellent, good, fair or poor records.", autocompletion=output.choices(BANDS)),
    ] = None,
    has_labels: Annotated[
        str | None,
        typer.Option(help="Only data sets with labels (yes) or without (no).", autocompletion=output.choices(YES_NO)),
    ] = None,
    subject: Annotated[
        list[str] | None, typer.Option(help="Only of this scientific field or narrower: its name, or its URI.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Only for this task or narrower: its name, or its URI.")
    ] = None,
    narrower: Annotated[
        bool, typer.Option(help="Whether a field or task stands for all that are narrower too.")
    ] = True,
    sensor: Annotated[list[str] | None, typer.Option(help="Only of this sensor, or for it: its id.")] = None,
    runtime: Annotated[list[str] | None, typer.Option(help="Only what runs on this: pytorch, or pytorch>=2.1.")] = None,
    created_at: Annotated[
        list[str] | None, typer.Option(help="Only registered then: 2026-11, or 2026-01..2026-06.")
    ] = None,
    bytes: Annotated[  # noqa: A002
        list[str] | None, typer.Option(help="Only whose files have so many bytes together: 1000..999999.")
    ] = None,
    bbox: Annotated[str | None, typer.Option(help="Only within west,south,east,north in degrees.")] = None,
    time: Annotated[str | None, typer.Option(help="Only what holds or was taken then: 2009-08, or 2007..2009.")] = None,
    valid_at: Annotated[str | None, typer.Option(help="Only what holds then, such as 2024-05-01T00:00:00Z.")] = None,
) -> None:
    """Stand for the options that every command has which searches."""


SHARED = tuple(inspect.signature(_options).parameters.values())


def asks(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options in place of its parameter `wanted`; one that it has itself stays its own."""
    own = inspect.signature(command)
    shared = [one for one in SHARED if one.name not in own.parameters]

    @functools.wraps(command)
    def run(*args: Any, **named: Any) -> None:
        said = {one.name: named.pop(one.name) for one in shared}
        command(*args, **named, wanted=_said(said))

    parameters: list[inspect.Parameter] = []
    for one in own.parameters.values():
        parameters += shared if one.name == WANTED else [one]
    told: Any = run
    # Typer reads signature and annotations alike, and what is wrapped has others.
    del told.__wrapped__
    told.__signature__ = own.replace(parameters=parameters)
    told.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _said(options: dict[str, Any]) -> dict[str, Any]:
    answer = options.get("has_labels")
    output.must_be_one_of(YES_NO, [answer] if answer else [], "--has-labels")
    return {
        name: [value] if name == "has_labels" else value
        for name, value in options.items()
        if value not in (None, []) and not (name == "narrower" and value)
    }


def words(text: list[str] | None) -> str | None:
    """Return what was typed as one text; None where nothing was."""
    return " ".join(text or []) or None


def say_similar(page: "SearchPage") -> None:
    """Say that what is shown has other words than were typed, where it has."""
    if page["similar"]:
        meant = f"; did you mean: {page['did_you_mean']}" if page["did_you_mean"] else ""
        output.say(f"nothing has these words as written; shown is what has similar ones{meant}")


def say_before(catalog: "Catalog", text: str | None, wanted: dict[str, Any], *, similar: bool) -> None:
    """Say what a search would say of similar words, before what has them is written or fetched."""
    if similar and text:
        say_similar(catalog.search(text, **wanted, limit=1))


def say_nothing(catalog: "Catalog", text: str | None, wanted: dict[str, Any], *, similar: bool) -> None:
    """Say that nothing was found, and what would find something."""
    if text and not similar:
        page = catalog.search(text, **wanted, limit=1)
        if page["similar"]:
            meant = f"; did you mean: {page['did_you_mean']}" if page["did_you_mean"] else ""
            output.say(
                f"nothing found: nothing has these words as written; --similar takes what has similar "
                f"ones: {output.counted(page['total'], 'object')}{meant}"
            )
            return
    output.say("nothing found: try fewer words or filters; `catalog search` shows what there is")
