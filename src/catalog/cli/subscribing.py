"""Subscriptions: have changes of objects told to a service, see how that goes, and end it."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.subscriptions import EventsTelling, Subscription

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Of the subscription; `catalog subscription list` shows it.")]
Webhook = Annotated[str | None, typer.Option(help="Post to this https address.")]
Nats = Annotated[str | None, typer.Option(help="Publish under this subject of NATS; for admins of the catalog.")]
Amqp = Annotated[
    str | None,
    typer.Option(
        metavar="EXCHANGE/ROUTING.KEY", help="Publish to this exchange of AMQP (RabbitMQ); for admins of the catalog."
    ),
]
Place = Annotated[str | None, typer.Option("--in", help="Of an organization or a project alone.")]
Kind = Annotated[list[str] | None, typer.Option(help="Of objects of this kind alone; may be repeated.")]
Type = Annotated[list[str] | None, typer.Option("--type", help="Events of this type alone; may be repeated.")]

commands = Commands(help="Have changes of objects told to a service, event by event.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="subscription", rich_help_panel="Finding")


@commands.command()
def add(
    context: typer.Context,
    *,
    webhook: Webhook = None,
    nats: Nats = None,
    amqp: Amqp = None,
    place: Place = None,
    kind: Kind = None,
    types: Type = None,
    json: Json = False,
) -> None:
    """Have each change of what you may see told from now on, in the order of each object's changes."""
    tell = _telling(webhook=webhook, nats=nats, amqp=amqp)
    if tell is None:
        raise typer.BadParameter("say where: --webhook, --nats or --amqp", param_hint="--webhook")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.subscriptions.add(tell, place=place, kinds=kind or (), types=types or ())
    if json:
        output.as_json(made)
        return
    output.data(made["id"])
    if webhook is not None:
        output.say(
            f"`catalog subscription secret {made['id']} --into FILE` makes what its receiver checks signatures with"
        )


@commands.command()
def change(
    context: typer.Context,
    subscription_id: Id,
    *,
    webhook: Webhook = None,
    nats: Nats = None,
    amqp: Amqp = None,
    place: Annotated[
        str | None, typer.Option("--in", help="Of an organization or a project alone; `all` for the whole catalog.")
    ] = None,
    kind: Kind = None,
    types: Type = None,
    json: Json = False,
) -> None:
    """Change a subscription, or let it go on after it stopped. What is not said stays."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        before = catalog.subscriptions.read(subscription_id)
        made = catalog.subscriptions.change(
            subscription_id,
            _telling(webhook=webhook, nats=nats, amqp=amqp) or before["tell"],
            place=before["place"] if place is None else None if place == "all" else place,
            kinds=before["kinds"] if kind is None else kind,
            types=before["types"] if types is None else types,
        )
    if json:
        output.as_json(made)
        return
    output.say(f"{_of(made)}, {_where(made)}: {made['state']}")


def _telling(*, webhook: str | None, nats: str | None, amqp: str | None) -> "EventsTelling | None":
    ways: tuple[tuple[Literal["webhook", "nats", "amqp"], str | None], ...] = (
        ("webhook", webhook),
        ("nats", nats),
        ("amqp", amqp),
    )
    said: list[EventsTelling] = [{"by": by, "address": address} for by, address in ways if address is not None]
    if len(said) > 1:
        raise typer.BadParameter("say one of --webhook, --nats and --amqp", param_hint="--webhook")
    return said[0] if said else None


def _of(one: "Subscription") -> str:
    return " ".join([output.clean(one["place"] or "everything"), *one["kinds"], *one["types"]])


def _where(one: "Subscription") -> str:
    return f"{one['tell']['by']} {output.clean(one['tell']['address'])}"


@commands.command(name="list")
def list_subscriptions(context: typer.Context, *, json: Json = False) -> None:
    """List your subscriptions, oldest first."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.subscriptions.mine()
    if json:
        output.as_json(found)
        return
    rows = [
        [one["id"], _of(one), _where(one), one["state"], (one["told_at"] or "")[:19], one["fault"] or ""]
        for one in found
    ]
    output.table(("id", "of", "told to", "state", "last told", "what is wrong"), rows)


@commands.command()
def show(context: typer.Context, subscription_id: Id, *, json: Json = False) -> None:
    """Show one of your subscriptions, and how telling goes."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.subscriptions.read(subscription_id)
    if json:
        output.as_json(found)
        return
    rows = [
        ["of", _of(found)],
        ["told to", _where(found)],
        ["state", found["state"]],
        ["since", found["created_at"][:19]],
        ["last told", (found["told_at"] or "never")[:19]],
        ["what is wrong", found["fault"] or ""],
        ["tried again", (found["retry_at"] or "")[:19]],
    ]
    output.table(("", ""), rows)


@commands.command()
def secret(
    context: typer.Context,
    subscription_id: Id,
    *,
    into: Annotated[Path, typer.Option(help="Write the secret into this file, which only you can read.")],
) -> None:
    """Make a secret with which a receiver checks events; the former one signs nothing any more."""
    from catalog.cli.saving import write

    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        made = catalog.subscriptions.renew_secret(subscription_id)
    write(into, f"{made}\n")
    output.say(f"{into}: the secret")


@commands.command()
def remove(context: typer.Context, subscription_id: Id) -> None:
    """End a subscription."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.subscriptions.remove(subscription_id)
    output.say("removed")
