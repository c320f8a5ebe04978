"""All commands together, and what becomes of an error: one clear line, one line per fault, an exit code."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from catalog.cli import (
    access,
    credentials,
    curating,
    dois,
    finding,
    linting,
    moving,
    operating,
    output,
    publishing,
    recording,
    showing,
    snapshots,
    stack,
    tracing,
    vocabularies,
)
from catalog.cli.output import EXIT_CODES, Invocation

EPILOG = "Exit codes: " + ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + "."

app = typer.Typer(
    name="catalog",
    help="Find, register, upload and download scientific objects, and run a catalog of them.",
    epilog=EPILOG,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="The catalog's address; CATALOG_URL says so too; else http://127.0.0.1:8000.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with your token; CATALOG_TOKEN_FILE names one too."),
    ] = None,
) -> None:
    """Find, register, upload and download scientific objects, and run a catalog of them."""
    context.obj = Invocation(url, token_file)
    if context.invoked_subcommand is None:
        output.say("catalog: which command?")
        context.get_help()
        raise typer.Exit(output.USAGE)


finding.register(app)
curating.register(app)
linting.register(app)
moving.register(app)
credentials.register(app)
publishing.register(app)
tracing.register(app)
recording.register(app)
operating.register(app)
dois.register(app)
showing.register(app)
snapshots.register(app)
stack.register(app)
vocabularies.register(app)
access.register(app)


def main() -> None:
    """Run the command line and exit with a code that says what happened."""
    # Names that are not UTF-8, and terminals that are not: shown with escapes, never a traceback.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # Replaced streams may lack it.
    try:
        sys.exit(_run())
    except BrokenPipeError:
        # Whoever reads our output has enough of it, such as `head`. Nothing must be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(output.FAILED)


def _run() -> int:
    """Run the command and return the exit code, having said what went wrong."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as wrong:
        # In plain lines, like every other refusal: a box would break what one wants to copy.
        output.say(f"catalog: {output.clean(wrong.format_message())}")
        context = getattr(wrong, "ctx", None)
        if context is not None:
            output.say(f"  {context.command_path} --help tells what it takes")
        return wrong.exit_code
    except typer.Abort:
        return output.INTERRUPTED
    except Exception as fault:
        from catalog.errors import CatalogError

        if not isinstance(fault, CatalogError):
            raise
        return output.refusal(fault)
    return code if isinstance(code, int) else 0
