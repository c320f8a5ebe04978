"""Keys of the store for other tools, as they want to read them."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import output
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.credentials import Access, Credentials

REMOTE = "catalog"


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel="Bringing and fetching")(credentials)


def credentials(
    context: typer.Context,
    *,
    project: Annotated[str, typer.Option(help="Where, written org/project.")],
    prefix: Annotated[
        str, typer.Option(help="A folder of the project that ends in a slash, as uploads/gateway-7/; else all of it.")
    ] = "",
    read: Annotated[bool, typer.Option("--read", help="To list and get; so it is if nothing else is said.")] = False,
    write: Annotated[bool, typer.Option("--write", help="To put.")] = False,
    seconds: Annotated[int | None, typer.Option(min=1, help="How long they work; an hour if not said.")] = None,
    env: Annotated[
        bool, typer.Option("--env", help="Write variables for a shell, as it is without an option.")
    ] = False,
    rclone: Annotated[bool, typer.Option("--rclone", help="Write a section of rclone's configuration.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Get keys of the store that reach one folder for a short time, for tools that speak S3. They are secrets."""
    if env + rclone + json > 1:
        raise typer.BadParameter("say one of --env, --rclone and --json", param_hint="--env")
    access: list[Access] = []
    if read or not write:
        access.append("read")
    if write:
        access.append("write")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        given = catalog.credentials.issue(project, prefix, access=access, lifetime_seconds=seconds)
    if json:
        output.as_json(given)
        return
    output.data(_as_rclone(given) if rclone else _as_variables(given))
    output.say(f"these keys {' and '.join(given['access'])} below s3://{given['bucket']}/{given['prefix']}")
    output.say(f"until {given['expires_at']}; whoever reads them may use them")
    if rclone:
        place = shlex.quote(f"{REMOTE}:{given['bucket']}/{given['prefix']}")
        output.say(f"rclone copy {f'FOLDER {place}' if write else f'{place} FOLDER'}")


def _as_variables(given: "Credentials") -> str:
    told = {
        "AWS_ACCESS_KEY_ID": given["access_key"],
        "AWS_SECRET_ACCESS_KEY": given["secret_key"],
        "AWS_SESSION_TOKEN": given["session_token"],
        "AWS_ENDPOINT_URL_S3": given["endpoint"],
        "AWS_REGION": given["region"],
    }
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in told.items())


def _as_rclone(given: "Credentials") -> str:
    told = {
        "type": "s3",
        "provider": "Other",
        "access_key_id": given["access_key"],
        "secret_access_key": given["secret_key"],
        "session_token": given["session_token"],
        "endpoint": given["endpoint"],
        "region": given["region"],
        # Whether the bucket is there is not for these keys to ask.
        "no_check_bucket": "true",
    }
    if "read" not in given["access"]:
        # Nor is what became of a file that was put.
        told["no_head"] = "true"
    return "\n".join([f"[{REMOTE}]", *(f"{name} = {value}" for name, value in told.items())])
