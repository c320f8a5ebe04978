"""Stores that organizations bring, on the command line."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from catalog.cli import connecting, inventory, output, quotas
from catalog.cli.access import PANEL, Json
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.backends import Backend, Capabilities, Storages, UseName

Told = TypeVar("Told")
Organization = Annotated[str, typer.Argument(metavar="ORG", help="The organization.")]
BackendId = Annotated[str, typer.Argument(metavar="ID", help="The id that `catalog backend list` shows.")]
Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="An organization, or a project written org/project.")]
Name = Annotated[str | None, typer.Option(help="What people call it.")]
Bucket = Annotated[str | None, typer.Option(help="The bucket.")]
Prefix = Annotated[str, typer.Option(help="The folder in the bucket, without slashes around it; else all of it.")]
Documents = Annotated[bool, typer.Option("--document", help="The catalog writes and reads what it is brought.")]
Data = Annotated[bool, typer.Option("--data", help="The catalog lists and reads, and writes nothing.")]
AccessKey = Annotated[str | None, typer.Option(help="The access key; left out, the catalog uses its own.")]
SecretFile = Annotated[
    Path | None, typer.Option(help="A file with the secret key, or - for standard input.", dir_okay=False)
]

backends = Commands(help="Stores that organizations bring.", no_args_is_help=True)
storages = Commands(help="Which stores an organization or a project uses.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(backends, name="backend", rich_help_panel=PANEL)
    inventory.register(backends)
    connecting.register(backends)
    app.add_typer(storages, name="storages", rich_help_panel=PANEL)


def asked(context: typer.Context, ask: "Callable[[Catalog], Told]") -> Told:
    """Ask the catalog that is meant."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        return ask(catalog)


def _uses(*, document: bool, data: bool) -> "list[UseName]":
    if not (document or data):
        raise typer.BadParameter("say --document, --data or both", param_hint="--document")
    uses: list[UseName] = []
    if document:
        uses.append("document")
    if data:
        uses.append("data")
    return uses


def _keys(access_key: str | None, secret_file: Path | None) -> dict[str, str]:
    if (access_key is None) != (secret_file is None):
        raise typer.BadParameter("say both --access-key and --secret-file, or neither", param_hint="--secret-file")
    if access_key is None or secret_file is None:
        return {}
    try:
        text = sys.stdin.read() if str(secret_file) == "-" else secret_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise typer.BadParameter(f"cannot be read: {type(fault).__name__}", param_hint="--secret-file") from None
    return {"access_key": access_key, "secret_key": text.strip()}


def shown(found: "Backend", *, json: bool) -> None:
    """Write a store and what was tried of it."""
    if json:
        output.as_json(found)
        return
    output.data(found["id"])
    output.say(f"{found['name']}: {found['health']}")
    for one in found["checks"]:
        output.say(f"  {one['action']}: {'ok' if one['ok'] else one['reason']}")
    for line in abilities(found["capabilities"]):
        output.say(f"  {line}")
    for warning in found["warnings"]:
        output.say(f"  warning: {warning}")


# What nobody knows, or what keys may not find out, is told as that.
_SAID = {True: "yes", False: "no", None: "not known"}


def abilities(can: "Capabilities") -> list[str]:
    """Return what a store can do, a line for each."""
    return [
        f"keeps versions: {can['versioning'] or _SAID[None]}",
        f"refuses other bytes than a ticket names: {_SAID[can['checksums']]}",
        f"refuses to replace what a ticket brought: {_SAID[can['conditional_writes']]}",
        f"makes temporary credentials: {_SAID[can['temporary_credentials']]}",
        f"tells somebody of its keys: {can['notifications'] or _SAID[None]}",
    ]


@backends.command("list")
def list_backends(context: typer.Context, organization: Organization, *, json: Json = False) -> None:
    """List the stores that an organization brought."""
    found = asked(context, lambda catalog: catalog.backends.listed(organization))
    if json:
        output.as_json(found)
        return
    rows = [
        [
            one["id"],
            one["name"],
            f"{one['endpoint']}/{one['bucket']}/{one['prefix']}",
            " ".join(one["uses"]),
            one["health"],
        ]
        for one in found
    ]
    output.table(["id", "name", "place", "uses", "health"], rows)


@backends.command("create")
def create_backend(
    context: typer.Context,
    organization: Organization,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.")],
    *,
    endpoint: Annotated[str, typer.Option(help="The S3 endpoint: scheme, host and perhaps a port.")],
    bucket: Annotated[str, typer.Option(help="The bucket.")],
    prefix: Prefix = "",
    region: Annotated[str, typer.Option(help="The region that signatures name.")] = "us-east-1",
    virtual_host: Annotated[
        bool, typer.Option("--virtual-host", help="Addresses name the bucket as a host, not in their path.")
    ] = False,
    document: Documents = False,
    data: Data = False,
    access_key: AccessKey = None,
    secret_file: SecretFile = None,
    json: Json = False,
) -> None:
    """Connect a store, once every action that it is for went well; print its id."""
    wanted: dict[str, Any] = {
        "name": name,
        "endpoint": endpoint,
        "bucket": bucket,
        "prefix": prefix,
        "region": region,
        "addressing": "virtual" if virtual_host else "path",
        "uses": _uses(document=document, data=data),
        **_keys(access_key, secret_file),
    }
    made = asked(context, lambda catalog: catalog.backends.create(organization, wanted))
    shown(made, json=json)
    if not json:
        output.say(f"`catalog storages set {organization} --document {made['id']}` lets its projects use it")


@backends.command("change")
def change_backend(
    context: typer.Context,
    organization: Organization,
    backend_id: BackendId,
    *,
    name: Name = None,
    access_key: AccessKey = None,
    secret_file: SecretFile = None,
    capacity: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What it can hold: 500GB, 2TB, 1.5TiB; `none`, nobody knows.")
    ] = None,
    watermark: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="How full it may get; `none`, as everywhere.")
    ] = None,
    reserved: Annotated[
        str | None, typer.Option(metavar="GB", help="How many GB stay free in any case; `none`, as everywhere.")
    ] = None,
    json: Json = False,
) -> None:
    """Give a store another name, other keys, which are tried first, or tell how much it may take."""
    changes: dict[str, Any] = {**({} if name is None else {"name": name}), **_keys(access_key, secret_file)}
    if capacity is not None:
        changes["capacity_bytes"] = quotas.number_of("bytes", capacity, option="--capacity")
    if watermark is not None:
        changes["watermark_percent"] = quotas.number_of("watermark", watermark)
    if reserved is not None:
        changes["reserved_gb"] = quotas.number_of("reserved", reserved)
    if not changes:
        raise typer.BadParameter("say what shall be otherwise, as --name or --capacity", param_hint="--name")
    shown(asked(context, lambda catalog: catalog.backends.change(organization, backend_id, changes)), json=json)


@backends.command("remove")
def remove_backend(
    context: typer.Context,
    organization: Organization,
    backend_id: BackendId,
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Although files lie there: nobody can fetch them then.")
    ] = False,
) -> None:
    """Disconnect a store and forget its keys. Nothing is removed from the store."""
    asked(context, lambda catalog: catalog.backends.remove(organization, backend_id, detach=detach))
    output.say("disconnected; who used it uses the next one")


@backends.command("policy")
def backend_policy(
    context: typer.Context,
    organization: Organization,
    backend_id: Annotated[str | None, typer.Argument(metavar="ID", help="A store that is connected.")] = None,
    *,
    bucket: Bucket = None,
    prefix: Prefix = "",
    document: Documents = False,
    data: Data = False,
    json: Annotated[bool, typer.Option("--json", help="It is JSON, said or not.")] = True,  # noqa: ARG001
) -> None:
    """Print the least that a store's keys must be allowed, of one that is connected or of one that shall be."""
    if (backend_id is None) == (bucket is None):
        raise typer.BadParameter("name a connected store, or say --bucket", param_hint="ID")
    if backend_id is not None:
        connected = backend_id
        output.as_json(asked(context, lambda catalog: catalog.backends.policy(organization, connected)))
        return
    uses, wanted = _uses(document=document, data=data), bucket or ""
    output.as_json(asked(context, lambda catalog: catalog.backends.planned_policy(organization, wanted, prefix, uses)))


@storages.command("show")
def show_storages(context: typer.Context, scope: Scope, *, json: Json = False) -> None:
    """Show which stores are used, and who chose them."""
    _used(asked(context, lambda catalog: catalog.backends.storages(scope)), json=json)


@storages.command("set")
def set_storages(
    context: typer.Context,
    scope: Scope,
    *,
    document: Annotated[
        str | None, typer.Option(help="Where what is brought goes: an id or `default`; left out, as the organization.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Where data lie, once for each; left out, as the organization.")
    ] = None,
    json: Json = False,
) -> None:
    """Choose which stores are used from now on. Files that are there stay where they are."""
    _used(
        asked(context, lambda catalog: catalog.backends.choose(scope, document=document, data=data or None)), json=json
    )


def _used(found: "Storages", *, json: bool) -> None:
    if json:
        output.as_json(found)
        return
    rows = [("document", found["document"]), *(("data", one) for one in found["data"])]
    output.table(
        ["use", "id", "name", "chosen by"],
        [[use, one["id"], one["name"], one["chosen_by"]] for use, one in rows],
    )
    for warning in found["warnings"]:
        output.say(f"warning: {warning}")
