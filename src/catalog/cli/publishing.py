"""What becomes of an object over time: publish, versions, compare, history, withdraw."""

import json as json_text
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import output
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.shapes import PublishedVersion

PANEL = "Publishing"
VALUE_CHARS_SHOWN = 60

Id = Annotated[str, typer.Argument(metavar="ID", help="The object's id, a DOI of it, or org/project/kind/name.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel=PANEL)(publish)
    app.command(rich_help_panel=PANEL)(versions)
    app.command(rich_help_panel=PANEL)(compare)
    app.command(rich_help_panel=PANEL)(history)
    app.command(rich_help_panel=PANEL)(withdraw)


def publish(
    context: typer.Context,
    object_id: Id,
    *,
    label: Annotated[str | None, typer.Option(help="A name of your own for this version, such as 2.1.0.")] = None,
    note: Annotated[str | None, typer.Option(help="What is new in it.")] = None,
    json: Json = False,
) -> None:
    """Freeze an object as its next version: what it says, and its files down to their bytes."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        revision = catalog.get(object_id)["revision"]
        published = catalog.publish(object_id, revision=revision, label=label, note=note)
    if json:
        output.as_json(published)
        return
    output.data(str(published["version"]["number"]))
    held = output.counted(len(published["files"]), "file")
    output.say(f"published with {held}; `catalog versions {object_id}` lists all versions")


def versions(
    context: typer.Context,
    object_id: Id,
    version: Annotated[
        str | None, typer.Argument(help="Show this one: a number, a label, or latest.", show_default=False)
    ] = None,
    *,
    at: Annotated[
        str | None, typer.Option(help="With latest: the one that was the latest then, such as 2026-03-01T00:00:00Z.")
    ] = None,
    json: Json = False,
) -> None:
    """List the versions of an object, or show one of them as it was published."""
    invocation: Invocation = context.obj
    if at is not None and version is None:
        version = "latest"
    with invocation.catalog() as catalog:
        if version is not None:
            found = catalog.version(object_id, version, at=at)
            output.as_json(found) if json else show_version(found)
            return
        kept = catalog.versions(object_id)
    if json:
        output.as_json(kept)
        return
    if kept["items"]:
        output.table(
            ("version", "label", "state", "published", "by", "note"),
            [
                [
                    one["number"],
                    one["label"] or "",
                    one["state"],
                    one["published_at"][:10],
                    one["published_by"],
                    one["reason"] or one["note"] or "",
                ]
                for one in kept["items"]
            ],
        )
    if kept["latest"] is None:
        output.say("nothing is published; `catalog publish` freezes the object as it stands")
    elif kept["changed"]:
        output.say(f"changed since; `catalog compare {object_id} latest` tells what")


def compare(
    context: typer.Context,
    object_id: Id,
    before: Annotated[str, typer.Argument(help="A version's number or label, latest, or draft: as it stands.")],
    after: Annotated[str, typer.Argument(help="The other one.")] = "draft",
    *,
    json: Json = False,
) -> None:
    """Tell what differs between two versions of an object, field by field."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.compare(object_id, before, after)
    if json:
        output.as_json(found)
    elif found["items"]:
        output.table(
            ("field", "change", found["before"], found["after"]),
            [[one["pointer"], one["change"], _short(one["before"]), _short(one["after"])] for one in found["items"]],
        )
    else:
        output.say("nothing differs")


def history(
    context: typer.Context,
    object_id: Id,
    *,
    revision: Annotated[int | None, typer.Option(help="Show the description as it read at this revision.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Only what happened until then, such as 2026-03-01T00:00:00Z.")
    ] = None,
    json: Json = False,
) -> None:
    """List who changed what in an object, newest first; for those who may change it."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if revision is not None:
            output.as_json(catalog.revision(object_id, revision))
            return
        changes = list(catalog.history(object_id, until=until))
    if json:
        output.as_json(changes)
        return
    output.table(
        ("revision", "when", "who", "what", "changed"),
        [
            [
                one["to_revision"],
                output.clean(one["at"])[:19],
                one["by"] or "(the catalog)",
                one["action"],
                ", ".join(one["changes"] or ()),
            ]
            for one in changes
        ],
    )


def withdraw(
    context: typer.Context,
    object_id: Id,
    *,
    reason: Annotated[
        str | None, typer.Option(help="Why: whoever looks for it is told. Needed; a terminal is asked for it.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Only this version: its number or label. The object stays.")
    ] = None,
) -> None:
    """Withdraw an object, or one version of it, and say why; a tombstone with the reason stays."""
    if reason is None and not sys.stdin.isatty():
        raise typer.BadParameter("is needed: say why, for whoever looks for it", param_hint="--reason")
    reason = reason or typer.prompt("Reason")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        revision = catalog.get(object_id)["revision"]
        if version is None:
            catalog.withdraw(object_id, reason, revision=revision)
        else:
            catalog.withdraw_version(object_id, version, reason, revision=revision)
    output.say("withdrawn" if version is None else f"version {output.clean(version)} withdrawn")


def show_version(found: "PublishedVersion") -> None:
    """Write a version as it was published."""
    version = found["version"]
    output.data(f"{output.clean(found['description']['title'])}, version {version['number']}")
    described = {name: value for name, value in version.items() if name not in {"number", "href"} and value is not None}
    for line in output.lines_of(described | found["description"], "  "):
        output.data(line)
    output.files(found["files"])


def _short(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else json_text.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS_SHOWN else f"{text[: VALUE_CHARS_SHOWN - 1]}…"
