"""What stores really hold, on the command line: scans of them, files that no object claims, sums."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from catalog.cli import output
from catalog.cli.output import Invocation
from catalog.cli.quotas import Json

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.inventory import FoundFile, Scan

LOOK_SECONDS = 1.0
CONFLICT = 409

Backend = Annotated[str, typer.Argument(metavar="ID", help="A store's id, or `default` for the catalog's own.")]
Organization = Annotated[str, typer.Argument(metavar="ORG", help="The organization.")]
Stage = Literal["source", "uploaded", "harmonized"]


def register(backends: typer.Typer) -> None:
    """Add these commands."""
    backends.command("scan")(scan_backend)
    backends.command("scans")(list_scans)
    backends.command("files")(list_files)
    backends.command("hash")(hash_files)


def scan_backend(
    context: typer.Context,
    backend: Backend,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="End when the scan has ended; with 1 if it failed.")] = False,
    json: Json = False,
) -> None:
    """Have all that lies in a store listed and compared with what is recorded. Goes on in the background."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        scan = catalog.inventory.scan(backend)
        while wait and scan["state"] == "running":
            time.sleep(LOOK_SECONDS)
            scan = catalog.inventory.read_scan(scan["id"])
            output.say(_line(scan))
    if json:
        output.as_json(scan)
    else:
        output.data(scan["id"])
        output.say(_line(scan))
    if scan["state"] == "failed":
        raise typer.Exit(output.FAILED)


def _line(scan: "Scan") -> str:
    told = f"{scan['state']}: {scan['files']:,} files, {scan['bytes']:,} bytes; "
    told += f"{scan['added']:,} new, {scan['changed']:,} changed, {scan['looks']:,} keys looked at"
    return told if scan["reason"] is None else f"{told}. {scan['reason']}"


def _rows(items: Sequence[Mapping[str, object]], columns: Sequence[str]) -> list[list[object]]:
    return [["" if one[name] is None else one[name] for name in columns] for one in items]


def list_scans(context: typer.Context, backend: Backend, *, json: Json = False) -> None:
    """List the last scans of a store, the newest first."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.inventory.scans(backend)
    if json:
        output.as_json(found)
        return
    columns = ("id", "state", "files", "bytes", "added", "changed", "looks", "started_at", "ended_at")
    output.table(columns, _rows(found, columns))


def list_files(
    context: typer.Context,
    organization: Organization,
    *,
    backend: Annotated[str | None, typer.Option(help="Only in this store: its id, or `default`.")] = None,
    project: Annotated[str | None, typer.Option(help="Only of this project, written org/project.")] = None,
    stage: Annotated[Stage | None, typer.Option(help="Only in this stage.")] = None,
    json: Json = False,
) -> None:
    """List the files of an organization that no object claims, newest first, all of them."""
    invocation: Invocation = context.obj
    files: list[FoundFile] = []
    with invocation.catalog() as catalog:
        cursor: str | None = None
        while True:
            page = catalog.inventory.found(organization, backend=backend, project=project, stage=stage, cursor=cursor)
            files += page["items"]
            cursor = page["cursor"]
            if cursor is None:
                break
    if json:
        output.as_json(files)
        return
    columns = ("id", "stage", "size", "modified_at", "key")
    output.table(columns, _rows(files, columns))


def hash_files(
    context: typer.Context,
    organization: Organization,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Ids that `catalog backend files` shows.")],
) -> None:
    """Have files that no object claims read for their SHA-256, in the background."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        queued = catalog.inventory.hash(organization, files)
    output.say(f"{queued:,} files will be read; `catalog backend files {organization} --json` shows their hashes")


def adopt(
    context: typer.Context,
    object_id: Annotated[str, typer.Argument(metavar="OBJECT", help="The object: its id, or how it is named.")],
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE[=PATH]...", help="Ids that `catalog backend files` shows, and their paths."),
    ],
    *,
    wait: Annotated[bool, typer.Option(help="Wait until files that nobody has read yet have been read.")] = True,
    json: Json = False,
) -> None:
    """Make files that lie in a bucket already an object's, where they are. Nothing is copied."""
    wanted = {file_id: path or None for file_id, _, path in (one.partition("=") for one in files)}
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        told = _adopted(catalog, object_id, wanted, wait=wait)
    if json:
        output.as_json(told)
        return
    for one in told["files"]:
        output.data(one["path"])


def _adopted(catalog: "Catalog", object_id: str, wanted: Mapping[str, str | None], *, wait: bool) -> dict[str, Any]:
    from catalog.client import Problem

    while True:
        try:
            return catalog.inventory.adopt(object_id, wanted)
        except Problem as refused:
            unread = [fault for fault in refused.errors if fault.pointer.endswith("/discovered")]
            if not (wait and refused.status == CONFLICT and unread):
                raise
            output.say(f"{len(unread)} files are being read")
            time.sleep(LOOK_SECONDS)


def accounting(context: typer.Context, organization: Organization, *, json: Json = False) -> None:
    """Show how much of an organization lies where: by project, store and stage, claimed by objects or not."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.inventory.accounting(organization)
    if json:
        output.as_json(found)
        return
    columns = ("project", "backend_name", "stage", "claimed", "files", "bytes")
    output.table(columns, _rows(found["items"], columns))
    output.say(f"{found['files']:,} files, {found['bytes']:,} bytes in all")
