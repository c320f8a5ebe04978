"""What was set aside in the queue: listed, tried again, discarded. And what stores told that nobody could read."""

from itertools import islice
from typing import Annotated

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

SHOWN_DEFAULT = 100

commands = Commands(help="What was set aside, and waits for a person.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Topic = Annotated[str | None, typer.Option(help="Only of this topic, such as index, key or doi.")]
Reason = Annotated[str | None, typer.Option(help="Only those whose reason has this text.")]
Limit = Annotated[int, typer.Option(min=1, help="The first so many.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(commands, name="queue", rich_help_panel="Running a catalog")


@commands.command("list")
def list_parked(
    context: typer.Context,
    *,
    topic: Topic = None,
    reason: Reason = None,
    limit: Limit = SHOWN_DEFAULT,
    json: Json = False,
) -> None:
    """List entries of the queue that were set aside because trying again was no help, with the reason."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = list(islice(catalog.queue.parked(topic=topic, reason=reason), limit))
        counts = catalog.queue.counts()
    if json:
        output.as_json(found)
        return
    rows = [
        (one["id"], one["topic"], one["subject"], one["reason"], one["attempts"], one["parked_at"]) for one in found
    ]
    output.table(("id", "topic", "subject", "reason", "attempts", "parked at"), rows)
    told = ", ".join(f"{count:,} of {topic}" for topic, count in sorted(counts.items()))
    none = "nothing that is parked is like that; " if counts and not found else ""
    output.say(f"{none}parked: {told or 'nothing'}")


@commands.command()
def retry(
    context: typer.Context,
    entry_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="The id that `catalog queue list` shows.")
    ] = None,
    *,
    topic: Topic = None,
    reason: Reason = None,
    json: Json = False,
) -> None:
    """Have what was set aside tried again: one entry, or all of a topic, or all with a text in their reason."""
    if (entry_id is None) == (topic is None and reason is None):
        raise typer.BadParameter("name one id, or say --topic, --reason or both", param_hint="ID")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        done = catalog.queue.retry(entry_id, topic=topic, reason=reason)
    if json:
        output.as_json(done)
        return
    output.say(f"{done['retried']:,} will be tried again" + ("; there are more, repeat this" if done["more"] else ""))


@commands.command()
def discard(
    context: typer.Context,
    entry_id: Annotated[int, typer.Argument(metavar="ID", help="The id that `catalog queue list` shows.")],
) -> None:
    """Discard an entry that was set aside. What it was about stays as it is; who did it is kept in the audit."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        catalog.queue.discard(entry_id)
    output.say(f"entry {entry_id} was discarded")


@commands.command()
def unreadable(context: typer.Context, *, limit: Limit = SHOWN_DEFAULT, json: Json = False) -> None:
    """List notifications of stores that could not be read, newest first; they are kept for a month."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = list(islice(catalog.queue.unreadable(), limit))
    if json:
        output.as_json(found)
        return
    output.table(
        ("received", "dialect", "reason", "bytes kept"),
        [(one["received_at"], one["dialect"], one["reason"], one["kept_bytes"]) for one in found],
    )
