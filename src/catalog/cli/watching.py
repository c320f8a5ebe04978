"""How stores are, on the command line: tried, told of, and how full."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.cli import eventing, output, saving, tokens
from catalog.cli.access import Json
from catalog.cli.backends import BackendId, Organization, abilities, asked, shown
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalog.client.backends import Capacity, Health

FULLNESS = ("held", "of", "grows a day", "full on")


def register(backends: typer.Typer) -> None:
    """Add these commands."""
    backends.command("show")(show_backend)
    backends.command("check")(check_backend)
    backends.command("history")(backend_history)
    backends.command("alert")(alert)
    backends.command("event-token")(event_token)
    backends.command("notify")(eventing.notify)
    backends.command("capacity")(backend_capacity)


def show_backend(
    context: typer.Context,
    organization: Annotated[
        str, typer.Argument(metavar="ORG", help="The organization; `default` alone is the catalog's own store.")
    ],
    backend_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id that `catalog backend list` shows.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Show a store: how it was when it was tried last, and what it can do."""
    if backend_id is not None:
        shown(asked(context, lambda catalog: catalog.backends.read(organization, backend_id)), json=json)
        return
    _must_be_own(organization)
    _own_shown(asked(context, lambda catalog: catalog.backends.own_health(limit=1)), json=json)


def _must_be_own(organization: str) -> None:
    if organization != "default":
        raise typer.BadParameter("name a store of the organization, or only `default`", param_hint="ID")


def _own_shown(found: "Health", *, json: bool) -> None:
    if json:
        output.as_json(found)
        return
    output.data(found["backend"])
    output.say(f"{found['backend']}: {found['state']}")
    for fault in found["faults"]:
        output.say(f"  {fault['action']}: {fault['reason']}")
    for line in abilities(found["capabilities"]):
        output.say(f"  {line}")


def check_backend(
    context: typer.Context,
    organization: Annotated[
        str | None, typer.Argument(metavar="ORG", help="The organization, with --all its stores alone; or `default`.")
    ] = None,
    backend_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id that `catalog backend list` shows.")
    ] = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Every store: of the organization, or of all and the catalog's own.")
    ] = False,
    json: Json = False,
) -> None:
    """Try a store again, or all. Ends with exit code 1 when anything fails."""
    if every and backend_id is None:
        _check_all(context, organization, json=json)
        return
    if not every and organization == "default" and backend_id is None:
        own = asked(context, lambda catalog: catalog.backends.check_own())
        _own_shown(own, json=json)
        if own["faults"]:
            raise typer.Exit(output.FAILED)
        return
    if every or organization is None or backend_id is None:
        raise typer.BadParameter("name an organization and a store, or say --all", param_hint="ID")
    found = asked(context, lambda catalog: catalog.backends.check(organization, backend_id))
    shown(found, json=json)
    if found["health"] != "healthy":
        raise typer.Exit(output.FAILED)


def _check_all(context: typer.Context, organization: str | None, *, json: bool) -> None:
    invocation: Invocation = context.obj
    tried: list[dict[str, Any]] = []
    with invocation.catalog() as catalog:
        if organization is None:
            own = catalog.backends.check_own()
            tried.append(_tried("default", "default", None, own["faults"]))
            named = [(one["organization"], one["id"]) for one in catalog.backends.everywhere()]
            listed = [(of, backend_id) for of, backend_id in named if of is not None]
        else:
            listed = [(organization, one["id"]) for one in catalog.backends.listed(organization)]
        for of, backend_id in listed:
            found = catalog.backends.check(of, backend_id)
            failed = [one for one in found["checks"] if not one["ok"]]
            tried.append(_tried(backend_id, found["name"], of, failed))
    if json:
        output.as_json(tried)
    else:
        rows = [
            [
                one["id"],
                one["organization"] or "",
                one["name"],
                "ok"
                if not one["faults"]
                else "; ".join(f"{each['action']}: {each['reason']}" for each in one["faults"]),
            ]
            for one in tried
        ]
        output.table(["id", "organization", "name", "found"], rows)
    if any(one["faults"] for one in tried):
        raise typer.Exit(output.FAILED)


def _tried(
    backend_id: str, name: str, organization: str | None, faults: "Sequence[Mapping[str, Any]]"
) -> dict[str, Any]:
    told = [{"action": one["action"], "reason": one["reason"]} for one in faults]
    return {"id": backend_id, "name": name, "organization": organization, "faults": told}


def backend_history(
    context: typer.Context,
    organization: Annotated[
        str, typer.Argument(metavar="ORG", help="The organization; `default` alone is the catalog's own store.")
    ],
    backend_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The id that `catalog backend list` shows.")
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="The newest so many.")] = 30,
    json: Json = False,
) -> None:
    """Show how a store is, and what was found when it was tried."""
    if backend_id is None:
        _must_be_own(organization)
    found = asked(
        context,
        lambda catalog: (
            catalog.backends.own_health(limit=limit)
            if backend_id is None
            else catalog.backends.health(organization, backend_id, limit=limit)
        ),
    )
    if json:
        output.as_json(found)
        return
    rows = [
        [
            one["at"],
            "ok" if one["ok"] else "; ".join(f"{each['action']}: {each['reason']}" for each in one["faults"]),
            f"{one['milliseconds']} ms",
        ]
        for one in found["history"]
    ]
    output.table(["tried", "found", "in"], rows)
    output.say(f"{found['state']} since {found['since'] or 'it was connected'}")
    if found["suspected_since"]:
        output.say(f"it has failed since {found['suspected_since']}, which counts only if it goes on for some minutes")


def alert(
    context: typer.Context,
    organization: Organization,
    *,
    webhook: Annotated[
        str | None, typer.Option(help="Post notices to this https address from now on; `none` ends it.")
    ] = None,
    secret_into: Annotated[
        Path | None,
        typer.Option(help="Make another secret that signs them, and write it into this file, which only you can read."),
    ] = None,
    mail: Annotated[
        str | None, typer.Option(help="Have whoever reads this address asked whether mail for you may go there.")
    ] = None,
    json: Json = False,
) -> None:
    """Show, or choose, who is told when a store of an organization fails or works again."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if mail is not None:
            catalog.backends.want_mail(mail)
        if webhook is not None:
            catalog.backends.choose_notices(organization, webhook=None if webhook == "none" else webhook)
        if secret_into is not None:
            saving.write(secret_into, f"{catalog.backends.renew_notice_secret(organization)}\n")
        found = catalog.backends.notices(organization)
    if json:
        output.as_json(found)
        return
    output.table(
        ["told by", "where"],
        [
            ["webhook", found["webhook"] or "nobody"],
            ["mail to", " ".join(found["mailed"]) or "nobody"],
        ],
    )
    if found["fault"]:
        output.say(f"the last notice did not arrive: {found['fault']}")
    if mail is not None:
        output.say(f"{mail} is asked; mail goes there once whoever reads it has agreed")
    if secret_into is not None:
        output.say(f"{secret_into}: the secret")


def event_token(
    context: typer.Context,
    organization: Organization,
    backend_id: BackendId,
    *,
    overlap: Annotated[
        str | None,
        typer.Option(metavar="1d", help="How long the value it has now works on, 30d at most; 0 ends it at once."),
    ] = None,
    into: tokens.Into = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="End it at once, and make no other.")] = False,
    json: Json = False,
) -> None:
    """Make the token with which a store tells of its keys and print it, this once; again, it gets a new value."""
    if revoke:
        asked(context, lambda catalog: catalog.backends.revoke_event_token(organization, backend_id))
        output.say("ended; its keys are looked at all the same, some minutes later")
        return
    seconds = tokens.overlap_seconds(overlap)
    made = asked(
        context,
        lambda catalog: catalog.backends.renew_event_token(organization, backend_id, overlap_seconds=seconds),
    )
    if into is not None:
        saving.write(into, f"{made['token']}\n")
        output.say(f"{into}: the token")
    shown_to = {name: value for name, value in made.items() if into is None or name != "token"}
    if json:
        output.as_json(shown_to)
    elif into is None:
        output.data(made["token"])
    if made["former_until"]:
        output.say(f"the former value works until {made['former_until']}")


def backend_capacity(
    context: typer.Context,
    organization: Annotated[
        str | None, typer.Argument(metavar="ORG", help="The organization; left out, every store there is.")
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Show how full stores are, and when no more will fit as they grow."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if organization is None:
            every = catalog.backends.everywhere()
            told: list[Any] = list(every)
            rows = [(one["id"], one["organization"], one["name"], *fullness(one["capacity"])) for one in every]
        else:
            listed = catalog.backends.capacity(organization)
            told = list(listed)
            rows = [(one["id"], organization, one["name"], *fullness(one["capacity"])) for one in listed]
    if json:
        output.as_json(told)
        return
    output.table(("id", "organization", "name", *FULLNESS), rows)


def fullness(told: "Capacity") -> tuple[str, str, str, str]:
    """Return how full a store is, for people: what counts, what may be, how it grows, and the day."""
    limit, growth = told["limit"], told["growth_per_day"]
    return (
        _gb(told["stored"] + told["awaited"]),
        "not known" if limit is None else _gb(limit),
        "not known yet" if growth is None else _gb(growth),
        told["full_on"] or "",
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
