"""Bringing and fetching: register, put, get. Interrupted, they are run again and send or fetch what is missing."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli import asking, exporting, inventory, output
from catalog.cli.output import KINDS, Invocation

if TYPE_CHECKING:
    from catalog.client.folders import Piece
    from catalog.client.shapes import Registered

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
New = Annotated[
    bool, typer.Option("--new", help="Register another object, even if the very same was registered before.")
]


VISIBILITIES = ("public", "organization", "project", "private", "embargoed")
# One registration a line.
ROWS = {".ndjson", ".jsonl"}
FAILURES_SHOWN = 10
# What a large file of rows may take to be indexed.
FOUND_SECONDS_MAX = 120.0


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("register", rich_help_panel="Bringing and fetching")(register_object)
    app.command(rich_help_panel="Bringing and fetching")(put)
    app.command(rich_help_panel="Bringing and fetching")(get)
    app.command(rich_help_panel="Bringing and fetching")(inventory.adopt)


def register_object(
    context: typer.Context,
    file: Annotated[
        str,
        typer.Argument(help="JSON as `catalog kinds KIND` shows it, or .ndjson with one a line; - reads one object."),
    ],
    *,
    datacite: Annotated[
        bool, typer.Option("--datacite", help="FILE is a DataCite record, *.json or *.xml; needs the options below.")
    ] = False,
    project: Annotated[str | None, typer.Option(help="With --datacite: where it belongs, written org/project.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="With --datacite: what it is.", autocompletion=output.choices(KINDS))
    ] = None,
    contact: Annotated[
        str | None, typer.Option(help="With --datacite: whom to ask, 'Ana Rivera <ana@example.org>'.")
    ] = None,
    public: Annotated[bool, typer.Option("--public/--private", help="With --datacite: who may see it.")] = False,
    meta: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="With --datacite: of its kind, labelled=true.")
    ] = None,
    new: New = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when a search finds what was registered.")] = False,
    json: Json = False,
) -> None:
    """Register one object from JSON; print its id, and how to upload each declared file.

    A file named *.ndjson or *.jsonl registers one object a line, in any order, in one request. Run again, it changes
    only what is new. Rows that fail are written to FILE.failed.ndjson with the reasons: mend and register that.
    """
    from catalog.cli import drafts
    from catalog.client import folders

    if datacite:
        if project is None or kind is None or contact is None:
            raise typer.BadParameter("needs --project, --kind and --contact", param_hint="--datacite")
        told = {"project": project, "kind": kind, "visibility": "public" if public else "private"}
        _register_record(context.obj, Path(file), told, contact=contact, meta=meta or [], new=new, wait=wait, json=json)
        return
    if Path(file).suffix in ROWS:
        _register_rows(context.obj, Path(file), new=new, wait=wait, json=json)
        return
    draft = drafts.read(file)
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog, _withdrawn_explained():
        registered = catalog.register(draft, idempotency_key=None if new else folders.key_of(draft))
        token = catalog.written
        found = not wait or catalog.is_found(FOUND_SECONDS_MAX)
    if json:
        output.as_json({**registered, "written": token})
        _must_be_found(found=found)
        return
    output.data(registered["id"])
    for ticket in registered["uploads"]:
        output.data(f"\n{output.clean(ticket['path'])}, until {ticket['expires_at']}:")
        if ticket["url"] is None:
            output.data("  in parts: `catalog put` sends them")
            continue
        output.data(f"  {ticket['method']} {ticket['url']}")
        for name, value in ticket["headers"].items():
            output.data(f"  {name}: {value}")
    if registered["uploads"]:
        output.say("send each file as shown, with all headers; `catalog put` registers and sends in one go")
    _must_be_found(found=found)


def _must_be_found(*, found: bool) -> None:
    if not found:
        output.say(f"registered, and not found by searches within {FOUND_SECONDS_MAX:g} s")
        raise typer.Exit(output.UNAVAILABLE)


def _register_record(
    invocation: Invocation,
    file: Path,
    told: dict[str, str],
    *,
    contact: str,
    meta: list[str],
    new: bool,
    wait: bool,
    json: bool,
) -> None:
    import hashlib
    import json as json_text
    import uuid

    from catalog.cli import drafts
    from catalog.client import dois
    from catalog.errors import Invalid

    media_type = dois.MEDIA_TYPES.get(file.suffix)
    if media_type is None:
        raise Invalid(f"{file} is no DataCite record by its name: it ends in {' or '.join(dois.MEDIA_TYPES)}.")
    try:
        record = file.read_bytes()
    except OSError as fault:
        raise Invalid(f"{file} cannot be read: {fault.strerror}.") from None
    person = drafts.contact(contact)
    told |= {"contact_name": person["name"], "contact_email": person["email"]}
    told["metadata"] = json_text.dumps(drafts.metadata(meta, {}))
    whole = record + json_text.dumps(told, sort_keys=True).encode()
    key = uuid.uuid4().hex if new else f"record-{hashlib.sha256(whole).hexdigest()}"
    with invocation.catalog() as catalog, _withdrawn_explained():
        made = catalog.dois.import_record(record, media_type, idempotency_key=key, told=told)
        found = not wait or catalog.is_found(FOUND_SECONDS_MAX)
    if json:
        output.as_json(made)
        _must_be_found(found=found)
        return
    output.data(made["id"])
    for one in made["left_out"]:
        output.say(f"left out {output.clean(one['pointer'])}: {output.clean(one['message'])}")
    _must_be_found(found=found)


def _register_rows(invocation: Invocation, file: Path, *, new: bool, wait: bool, json: bool) -> None:
    from catalog.client import rows
    from catalog.errors import Invalid

    try:
        size = file.stat().st_size
    except OSError as fault:
        raise Invalid(f"{file} cannot be read: {fault.strerror}.") from None
    bar = output.bar("registering", size)
    with invocation.catalog(output.MOVING_SECONDS) as catalog, output.resumable(), bar as progress:
        loaded = catalog.register_rows(file, new=new, progress=progress)
        found = not wait or catalog.is_found(FOUND_SECONDS_MAX)
    target = file.with_name(f"{file.name.removesuffix(file.suffix).removesuffix('.failed')}.failed.ndjson")
    if loaded.failed:
        rows.write_failed(loaded, file, target)
    if json:
        output.as_json(loaded.counts | ({"failed_rows": str(target)} if loaded.failed else {}))
    else:
        output.data(", ".join(f"{count} {status}" for status, count in loaded.counts.items()))
    for line, errors in sorted(loaded.failed.items())[:FAILURES_SHOWN]:
        output.say(f"line {line}: " + "; ".join(map(_told, errors)))
    if loaded.failed:
        more = len(loaded.failed) - FAILURES_SHOWN
        output.say((f"and {more} more; " if more > 0 else "") + f"all with their reasons: {target}")
        raise typer.Exit(output.USAGE)
    _must_be_found(found=found)


def _told(error: Mapping[str, str]) -> str:
    place = f"{error['pointer']}: " if error["pointer"] else ""
    nearest = f" ({error['suggestion']})" if "suggestion" in error else ""
    return output.clean(f"{place}{error['message']}{nearest}")


def put(
    context: typer.Context,
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A file, or a folder with all below it.")],
    *,
    described: Annotated[
        str | None, typer.Option("--from", metavar="JSON", help="Metadata from a JSON file; options here win over it.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="What it is; `catalog kinds` lists the kinds.", autocompletion=output.choices(KINDS)),
    ] = None,
    project: Annotated[str | None, typer.Option(help="The project it belongs to, written org/project.")] = None,
    title: Annotated[str | None, typer.Option(help="Its title.")] = None,
    name: Annotated[
        str | None, typer.Option(help="What others may call it, as kind/name; unique in its project and kind.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is, in prose.")] = None,
    creator: Annotated[
        list[str] | None, typer.Option(help="Who made it: 'Rivera, Ana' or 'Rivera, Ana (ORCID)'; repeat for more.")
    ] = None,
    contact: Annotated[str | None, typer.Option(help="Whom to ask: 'Ana Rivera <ana@example.org>'.")] = None,
    keyword: Annotated[list[str] | None, typer.Option(help="A keyword; repeat for more.")] = None,
    licence: Annotated[str | None, typer.Option(help="An SPDX id, such as CC-BY-4.0.")] = None,
    public: Annotated[
        bool | None, typer.Option("--public/--private", help="Who may see it; private if not said.")
    ] = None,
    visibility: Annotated[
        str | None,
        typer.Option(
            help="Who may see it: public, organization, project, private or embargoed.",
            autocompletion=output.choices(VISIBILITIES),
        ),
    ] = None,
    embargo_until: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="Embargoed until then: 2027-01-31T00:00:00Z.")
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of its kind: labelled=true, sensor.id=A1."),
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Leave out such names: '*.tmp'.")] = None,
    new: New = False,
    json: Json = False,
) -> None:
    """Register a file or folder and upload it; print the object's id when every file is available.

    Interrupted, run it again: it finds the same object and sends only what is missing. Changed files or metadata make
    another object.
    """
    from catalog.cli import drafts
    from catalog.client import Problem, folders

    given: dict[str, Any] = {
        "kind": kind,
        "project": project,
        "title": title,
        "name": name,
        "description": description,
        "creators": [drafts.creator(one) for one in creator or []] or None,
        "contact": None if contact is None else drafts.contact(contact),
        "keywords": keyword or None,
        "licence": licence,
        "visibility": visibility or (None if public is None else "public" if public else "private"),
        "embargo_until": embargo_until,
    }
    if embargo_until is not None:
        given["visibility"] = given["visibility"] or "embargoed"
    start = {"metadata": {}} | (drafts.read(described) if described is not None else {})
    draft = start | {name: value for name, value in given.items() if value is not None}
    draft["metadata"] = drafts.metadata(meta or [], start["metadata"])
    pieces = folders.pieces_in(place, exclude=exclude or [])
    invocation: Invocation = context.obj
    try:
        with invocation.catalog(output.MOVING_SECONDS) as catalog, _withdrawn_explained(), output.resumable():
            with output.bar("hashing", sum(piece.size for piece in pieces)) as progress:
                pieces = folders.read_through(pieces, progress)
            result = _brought(catalog, draft, pieces, new=new)
    except Problem as problem:
        if described is None:
            problem.faults = tuple(drafts.pointed(problem.faults, draft))
        raise
    found = result.object
    if json:
        files = [{**file, "sent": file["path"] in result.sent} for file in found["files"]]
        summary = {name: found[name] for name in ("id", "revision", "kind", "project", "title")}
        output.as_json({**summary, "files": files, "nudged": sorted(result.nudged)})
        return
    output.data(found["id"])
    already = len(pieces) - len(result.sent)
    output.say(
        f"{output.counted(len(pieces), 'file')} available"
        + (f", {already} of them were there already" if already else "")
    )


@asking.asks
def get(
    context: typer.Context,
    object_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The object's id, a DOI of it, or org/project/kind/name.")
    ] = None,
    paths: Annotated[list[str] | None, typer.Argument(metavar="[PATH]...", help="Only these files.")] = None,
    *,
    project: Annotated[str | None, typer.Option(help="Of this project, where ID is only kind/name.")] = None,
    query: Annotated[
        str | None, typer.Option(help="In place of ID: all that `catalog search` finds with this text; '': everything.")
    ] = None,
    wanted: dict[str, Any],
    similar: asking.Similar = False,
    to: Annotated[Path, typer.Option("--to", "-o", metavar="DIR", help="Where to put them.")] = Path(),
    json: Json = False,
) -> None:
    """Download an object's files and check their SHA-256; print where each one is.

    Files that are there already with the right SHA-256 are left alone, and begun ones are gone on with. With --query
    or options that narrow, all files of a whole result, each object's in a folder named by its id.
    """
    if query is not None or wanted:
        if object_id is not None:
            raise typer.BadParameter("give either an ID or what to search for", param_hint="ID")
        wanted |= {"project": [project]} if project else {}
        exporting.get_found(context.obj, query, wanted, to, similar=similar, json=json)
        return
    if object_id is None:
        raise typer.BadParameter("give an ID, or --query", param_hint="ID")
    from catalog.client import file_of
    from catalog.errors import CatalogError

    invocation: Invocation = context.obj
    with invocation.catalog(output.MOVING_SECONDS) as catalog, output.resumable():
        found = catalog.get(output.whole_name(object_id, project))
        chosen = [file_of(found, path) for path in paths or []] or found["files"]
        if not chosen:
            output.say("this object has no files")
        with output.bar("downloading", sum(file["size"] for file in chosen)) as progress:
            outcomes = catalog.fetch(found, to, [file["path"] for file in chosen], progress=progress)
    fetched = [(file, got) for file, got in zip(chosen, outcomes, strict=True) if not isinstance(got, CatalogError)]
    if json:
        output.as_json(
            {
                "id": found["id"],
                "files": [
                    {
                        "path": file["path"],
                        "target": str(got.target),
                        "size": file["size"],
                        "sha256": file["sha256"],
                        "outcome": output.outcome(got),
                    }
                    for file, got in fetched
                ],
            }
        )
    else:
        for _, got in fetched:
            output.data(str(got.target))
    failed = [outcome for outcome in outcomes if isinstance(outcome, CatalogError)]
    if failed:
        codes = [output.refusal(fault) for fault in failed]
        output.say(f"{len(failed)} of {len(chosen)} files were not fetched; run the same command again to go on")
        raise typer.Exit(codes[0])


def _brought(catalog: Any, draft: dict[str, Any], pieces: "list[Piece]", *, new: bool) -> Any:
    import uuid

    from catalog.client import folders

    shown = ExitStack()
    bars: list[Callable[[int], None]] = []

    def registered(answer: "Registered") -> None:
        there = sum(file["state"] == "available" for file in answer["files"])
        resumed = f", {there} of {len(pieces)} files are there already" if there else ""
        output.say(f"registered as {answer['id']}{resumed}")
        # Not before: what is refused is not uploaded.
        bars.append(shown.enter_context(output.bar("uploading", sum(piece.size for piece in pieces))))

    def late(paths: list[str]) -> None:
        output.say(
            f"the store has not told the catalog of {len(paths)} of {len(pieces)} files within "
            f"{folders.NOTICE_SECONDS:g} s: asking the catalog to look"
        )

    def moved(count: int) -> None:
        for bar in bars:
            bar(count)

    with shown:
        return folders.put(
            catalog,
            draft,
            pieces,
            idempotency_key=uuid.uuid4().hex if new else None,
            on_registered=registered,
            on_late=late,
            progress=moved,
        )


@contextmanager
def _withdrawn_explained() -> Iterator[None]:
    from catalog.client import Problem

    try:
        yield
    except Problem as problem:
        if problem.status == 410:  # ruff: ignore[PLR2004] - Gone.
            problem.detail += " It was registered with exactly this content; --new registers it as another object."
        raise
