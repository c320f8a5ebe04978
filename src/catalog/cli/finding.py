"""Looking: search, show, kinds, the API's own description."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from catalog.cli import asking, explaining, output, publishing
from catalog.cli.output import KINDS, Invocation

if TYPE_CHECKING:
    from catalog.client.shapes import Bucket, Hit, Object, PublishedVersion, SearchPage

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]

SORTS = ("relevance", "newest", "oldest", "title")
FACETS = (
    *(
        "kind",
        "project",
        "organization",
        "licence",
        "year",
        "creator",
        "keyword",
        "format",
        "stage",
        "state",
        "quality",
    ),
    *("sensor", "has_labels", "subject", "task", "runtime", "created_at", "bytes"),
)
TREES = ("subject", "task")
INDENT_BELOW = "  "


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(rich_help_panel="Finding")(search)
    app.command(rich_help_panel="Finding")(show)
    app.command(rich_help_panel="Finding")(similar)
    app.command(rich_help_panel="Finding")(kinds)
    app.command(rich_help_panel="Finding")(fields)
    app.command(rich_help_panel="Running a catalog")(openapi)


@asking.asks
def search(
    context: typer.Context,
    text: Annotated[
        list[str] | None,
        typer.Argument(help='Words that must occur; "a phrase", -without, begin*, year:>=2020 (see: catalog fields).'),
    ] = None,
    *,
    wanted: dict[str, Any],
    similar: asking.Similar = True,
    hybrid: Annotated[
        bool | None,
        typer.Option("--hybrid/--no-hybrid", help="Whether what means the same in other words is found too."),
    ] = None,
    facet: Annotated[
        list[str] | None,
        typer.Option(help=f"Also count values of {', '.join(FACETS)}.", autocompletion=output.choices(FACETS)),
    ] = None,
    tree: Annotated[
        list[str] | None,
        typer.Option(
            help="Count subject or task level by level, each concept with all that is narrower.",
            autocompletion=output.choices(TREES),
        ),
    ] = None,
    below: Annotated[
        list[str] | None,
        typer.Option(metavar="CONCEPT", help="Of --tree, the concepts directly below this one; else the topmost."),
    ] = None,
    sort: Annotated[str | None, typer.Option(help=f"{', '.join(SORTS)}.", autocompletion=output.choices(SORTS))] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="ID", help="Tell part by part why this object is found, or why not.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, max=100, help="How many objects to show; 0 shows counts alone.")] = 20,
    after_write: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="Wait until this write is found: `catalog register --json`.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show all that match, page by page.")] = False,
    json: Json = False,
) -> None:
    """Search for objects. The JSON holds signed links to their files."""
    output.must_be_one_of(SORTS, [sort] if sort else [], "--sort")
    output.must_be_one_of(FACETS, facet or [], "--facet")
    output.must_be_one_of(TREES, tree or [], "--tree")
    invocation: Invocation = context.obj
    typed = asking.words(text)
    question: dict[str, Any] = {
        **wanted,
        "similar": similar,
        "facet": facet or [],
        "tree": tree or [],
        "below": below or [],
        "sort": sort,
        # Nothing but counts is a page of which nothing is shown.
        "limit": 100 if everything else limit or 1,
        "after_write": after_write,
        "hybrid": hybrid,
    }
    if explain is not None:
        explaining.explain(invocation, explain, typed, question, json=json)
        return
    with invocation.catalog() as catalog:
        pages = catalog.search_pages(typed, **question)
        page = next(pages)
        if not limit and not everything:
            page["hits"], page["cursor"] = [], None
        if everything:
            page["hits"] = [*page["hits"], *(hit for more in pages for hit in more["hits"])]
            page["cursor"] = None
    if not page.get("fresh", True):
        output.say("the index has not got that write yet; this is what it knew")
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


def similar(
    context: typer.Context,
    object_id: Annotated[
        str, typer.Argument(metavar="ID", help="The object's id, a DOI of it, or org/project/kind/name.")
    ],
    *,
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many objects to show.")] = 10,
    json: Json = False,
) -> None:
    """Show what is most like an object, and what they share."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.similar(output.whole_name(object_id, None), limit=limit)
    if json:
        output.as_json(found)
    elif found:
        rows = [(one["title"], one["kind"], one["project"], "; ".join(one["shared"]), one["id"]) for one in found]
        output.table(("title", "kind", "project", "shared", "id"), rows)
    else:
        output.say("nothing shares a concept, a keyword, a creator, a sensor or a word of the title with it")


def kinds(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Show an example of this kind; with --json its JSON Schema too.", autocompletion=output.choices(KINDS)
        ),
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


def fields(context: typer.Context, *, json: Json = False) -> None:
    """List what searches can ask by name, with an example of each."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        every = catalog.fields()
    if json:
        output.as_json(every)
        return
    output.table(
        ("field", "type", "example", "what it is"),
        [[one["name"], one["type"], one["examples"][0], one["description"]] for one in every],
    )
    output.say("in the text as shown; in --filter as CQL2: \"kind = 'model' AND year >= 2020\"")


def openapi(
    write: Annotated[
        Path | None, typer.Option(help="Write the document and each kind's JSON Schema into this folder.")
    ] = None,
    check: Annotated[Path | None, typer.Option(help="Fail unless this folder holds exactly these files.")] = None,
    json: Annotated[bool, typer.Option("--json", help="It is JSON, said or not.")] = True,  # noqa: ARG001, FBT002
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


def _show_page(page: "SearchPage") -> None:
    hits = page["hits"]
    columns = ("title", "kind", "project", "licence", "year", "files", "id")
    if hits:
        output.table(columns, [_row(hit) for hit in hits])
    for name, facet in page["facets"].items():
        output.data("")
        above = facet.get("above", [])
        rows: list[tuple[object, object]] = [
            (f"{INDENT_BELOW * depth}{_named(bucket)}", bucket["count"]) for depth, bucket in enumerate(above)
        ]
        depth = INDENT_BELOW * len(above)
        rows += [(f"{depth}{_named(bucket)}", bucket["count"]) for bucket in facet["buckets"]]
        rows += [(f"{depth}(others)", facet["rest"])] if facet["rest"] else []
        rows += [(f"{depth}(not said)", facet["missing"])] if facet["missing"] else []
        output.table((name, "objects"), rows)
    total = page["total"]
    asking.say_similar(page)
    added = _say_hybrid(page)
    if not total and added:
        output.say(f"nothing has these words; shown are {len(hits)} of {added} that mean something near")
    elif not total:
        output.say("nothing found: try fewer words or filters; `catalog search` alone lists everything you may see")
    elif not hits:
        output.say(f"{total} found; --limit shows some of them, --all all")
    elif len(hits) < total + added:
        output.say(f"{len(hits)} of {total + added}; --all shows all, --kind and other filters narrow")
    else:
        output.say(f"{total} found; `catalog show ID` tells more, `catalog get ID` downloads")


def _say_hybrid(page: "SearchPage") -> int:
    """Say what there is to say of meanings; return how many hits there are that have not the words."""
    told = page.get("hybrid")
    if told is None:
        return 0
    if told["note"]:
        output.say(told["note"])
    if told["added"] and page["total"]:
        output.say(f"{page['total']} have these words; {told['added']} more mean something near")
    return told["added"]


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
