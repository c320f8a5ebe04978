"""Looking: search, show, kinds, the API's own description."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from catalog.cli import output, publishing
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.shapes import Bucket, Hit, Object, PublishedVersion, SearchPage

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]

SORTS = ("relevance", "newest", "oldest", "title")
FACETS = (
    *("kind", "project", "licence", "year", "creator", "format"),
    *("state", "quality", "sensor", "has_labels", "subject", "task"),
)
INDENT_BELOW = "  "


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Finding")(search)
    app.command(rich_help_panel="Finding")(show)
    app.command(rich_help_panel="Finding")(kinds)
    app.command(rich_help_panel="Running a catalog")(openapi)


def search(
    context: typer.Context,
    text: Annotated[
        list[str] | None, typer.Argument(help='Words that must occur; "a phrase", -without, begin*.')
    ] = None,
    *,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; repeat for more.")] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only this project, written org/project.")] = None,
    licence: Annotated[list[str] | None, typer.Option(help="Only this licence, an SPDX id.")] = None,
    year: Annotated[list[int] | None, typer.Option(help="Only this year.")] = None,
    creator: Annotated[list[str] | None, typer.Option(help="Only by this creator.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="Only with files of this media type.")] = None,  # noqa: A002
    state: Annotated[list[str] | None, typer.Option(help="Only draft, or only published.")] = None,
    quality: Annotated[list[str] | None, typer.Option(help="Only excellent, good, fair or poor records.")] = None,
    has_labels: Annotated[str | None, typer.Option(help="Only data sets with labels (yes) or without (no).")] = None,
    subject: Annotated[
        list[str] | None, typer.Option(help="Only of this scientific field or narrower, a concept's URI.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only for this task or narrower, a concept's URI.")] = None,
    sensor: Annotated[list[str] | None, typer.Option(help="Only of this sensor, or for it: its id.")] = None,
    runtime: Annotated[list[str] | None, typer.Option(help="Only what runs on this: pytorch, or pytorch>=2.1.")] = None,
    valid_at: Annotated[str | None, typer.Option(help="Only what holds then, such as 2024-05-01T00:00:00Z.")] = None,
    facet: Annotated[list[str] | None, typer.Option(help=f"Also count values of {', '.join(FACETS)}.")] = None,
    sort: Annotated[str | None, typer.Option(help=f"{', '.join(SORTS)}.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many objects to show.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Show all that match, page by page.")] = False,
    json: Json = False,
) -> None:
    """Search for objects. The JSON holds signed links to their files."""
    _one_of(SORTS, [sort] if sort else [], "--sort")
    _one_of(FACETS, facet or [], "--facet")
    _one_of(("yes", "no"), [has_labels] if has_labels else [], "--has-labels")
    invocation: Invocation = context.obj
    question: dict[str, Any] = {
        "kind": kind or [],
        "project": project or [],
        "licence": licence or [],
        "year": year or [],
        "creator": creator or [],
        "format": format or [],
        "state": state or [],
        "quality": quality or [],
        "has_labels": [has_labels] if has_labels else [],
        "subject": subject or [],
        "task": task or [],
        "sensor": sensor or [],
        "runtime": runtime or [],
        "valid_at": valid_at,
        "facet": facet or [],
        "sort": sort,
        "limit": 100 if everything else limit,
    }
    with invocation.catalog() as catalog:
        pages = catalog.search_pages(" ".join(text or []) or None, **question)
        page = next(pages)
        if everything:
            page["hits"] = [*page["hits"], *(hit for more in pages for hit in more["hits"])]
            page["cursor"] = None
    if json:
        output.as_json(page)
    else:
        _show_page(page)


def show(
    context: typer.Context,
    object_id: Annotated[
        str, typer.Argument(metavar="ID", help="The object's id, a DOI of it, or org/project/kind/name.")
    ],
    *,
    project: Annotated[str | None, typer.Option(help="Of this project, where ID is only kind/name.")] = None,
    json: Json = False,
) -> None:
    """Show one object with its files; with @version after its name, that version."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.named(output.whole_name(object_id, project))
    if json:
        output.as_json(found)
    elif "object" in found:
        publishing.show_version(cast("PublishedVersion", found))
    else:
        _show_object(found)


def kinds(
    context: typer.Context,
    kind: Annotated[
        str | None, typer.Argument(help="Show an example of this kind; with --json its JSON Schema too.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """List what an object can be, or describe one kind."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if kind is None:
            every = catalog.kinds()
            if json:
                output.as_json(every)
            else:
                output.table(
                    ("kind", "title", "description"),
                    [[one["name"], one["title"], one["description"]] for one in every],
                )
            return
        found = catalog.kind(kind)
    if json:
        output.as_json(found)
        return
    output.data(f"{output.clean(found['title'])} ({output.clean(found['name'])})")
    output.data(output.clean(found["description"]))
    output.data("\nAn example, as `catalog register` takes it:")
    output.as_json(found["example"])
    output.say(f"the whole JSON Schema: catalog kinds {output.clean(found['name'])} --json")


def openapi(
    write: Annotated[
        Path | None, typer.Option(help="Write the document and each kind's JSON Schema into this folder.")
    ] = None,
    check: Annotated[Path | None, typer.Option(help="Fail unless this folder holds exactly these files.")] = None,
) -> None:
    """Print the OpenAPI document of this version; needs no running catalog."""
    from catalog.cli import contracts
    from catalog.errors import Conflict

    files = contracts.files()
    if write is not None:
        contracts.write(write, files)
        output.say(f"wrote {len(files)} files to {write}")
    elif check is not None:
        stale = contracts.stale(check, files)
        if stale:
            raise Conflict(
                f"{check} does not say what the code does: {', '.join(stale)}. "
                f"Run `catalog openapi --write {check}`, review the change and commit it."
            )
        output.say(f"{check}: {len(files)} files as the code has them")
    else:
        output.data(files[contracts.DOCUMENT].rstrip("\n"))


def _one_of(known: tuple[str, ...], given: list[str], option: str) -> None:
    for one in given:
        if one not in known:
            raise typer.BadParameter(f"{one!r} is not one of {', '.join(known)}", param_hint=option)


def _show_page(page: "SearchPage") -> None:
    hits = page["hits"]
    columns = ("title", "kind", "project", "licence", "year", "files", "id")
    if hits:
        output.table(columns, [_row(hit) for hit in hits])
    for name, facet in page["facets"].items():
        output.data("")
        rows: list[tuple[object, object]] = [(_named(bucket), bucket["count"]) for bucket in facet["buckets"]]
        rows += [("(others)", facet["rest"])] if facet["rest"] else []
        rows += [("(not said)", facet["missing"])] if facet["missing"] else []
        output.table((name, "objects"), rows)
    total = page["total"]
    if not total:
        output.say("nothing found: try fewer words or filters; `catalog search` alone lists everything you may see")
    elif len(hits) < total:
        output.say(f"{len(hits)} of {total}; --all shows all, --kind and other filters narrow")
    else:
        output.say(f"{total} found; `catalog show ID` tells more, `catalog get ID` downloads")


def _named(bucket: "Bucket") -> str | int:
    return f"{bucket['label']} <{bucket['value']}>" if "label" in bucket else bucket["value"]


def _row(hit: "Hit") -> list[object]:
    licence, year = hit["licence"] or "", hit["year"] or ""
    private = "" if hit["visibility"] == "public" else f" ({hit['visibility']})"
    return [hit["title"] + private, hit["kind"], hit["project"], licence, year, hit["files_total"], hit["id"]]


def _show_object(found: "Object") -> None:
    described = {name: value for name, value in found.items() if name not in {"title", "files", "files_total"}}
    output.data(output.clean(found["title"]))
    for line in output.lines_of(described, INDENT_BELOW):
        output.data(line)
    output.files(found["files"])
