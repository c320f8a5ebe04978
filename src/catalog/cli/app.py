"""All commands together, and what becomes of an error: one clear line, one line per fault, an exit code."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import contextlib
import difflib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command, get_group

from catalog.cli import (
    access,
    accounts,
    agreeing,
    announcing,
    backends,
    backing_up,
    completion,
    credentials,
    curating,
    dois,
    exporting,
    finding,
    jobs,
    keys,
    linting,
    manual,
    moving,
    operating,
    output,
    publishing,
    queue,
    rebuilding,
    recording,
    relocating,
    retention,
    saving,
    showing,
    snapshots,
    stack,
    subscribing,
    tokens,
    tracing,
    vocabularies,
    watching,
)
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

app = Commands(
    name="catalog",
    help="Find, register, upload and download scientific objects, and run a catalog of them.",
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
        output.say("catalog: which command? `catalog --help` lists them")
        raise typer.Exit(output.USAGE)


finding.register(app)
exporting.register(app)
saving.register(app)
subscribing.register(app)
curating.register(app)
linting.register(app)
moving.register(app)
jobs.register(app)
credentials.register(app)
announcing.register(app)
publishing.register(app)
tracing.register(app)
recording.register(app)
operating.register(app)
agreeing.register(app)
backing_up.register(app)
backing_up.register(app)
rebuilding.register(app)
dois.register(app)
showing.register(app)
snapshots.register(app)
stack.register(app)
vocabularies.register(app)
access.register(app)
accounts.register(app)
tokens.register(app)
backends.register(app)
retention.register(app)
relocating.register(app)
watching.register(backends.backends)
keys.register(app)
queue.register(app)


def _command_names(incomplete: str) -> list[str]:
    return [name for name in get_group(app).commands if name.startswith(incomplete)]


completion.register(app, lambda: get_command(app))


@app.command("help", rich_help_panel="Help")
def help_of(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="The command, as it is typed.", autocompletion=_command_names),
    ] = None,
) -> None:
    """Show the page of a command; without one, of all commands together."""
    root = context.find_root()
    found, at = root.command, root
    for word in words or []:
        known = getattr(found, "commands", {})
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            nearest = f" Did you mean {near[0]!r}?" if near else ""
            raise typer.BadParameter(f"there is no command {word!r} there.{nearest}", param_hint="COMMAND")
        found = known[word]
        at = typer.Context(found, info_name=word, parent=at)
    output.data(manual.page_of(found, at).rstrip("\n"))


def main() -> None:
    """Run the command line and exit with a code that says what happened."""
    # Names that are not UTF-8, and terminals that are not: shown with escapes, never a traceback.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # Replaced streams may lack it.
    try:
        code = _run()
        # Here, where it can be told apart: at the interpreter's end a closed pipe is shown as an accident.
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads our output has enough of it, such as `head`. Nothing must be flushed to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = output.FAILED
    except KeyboardInterrupt:
        code = output.INTERRUPTED
    sys.exit(code)


def _run() -> int:
    """Run the command and return the exit code, having said what went wrong."""
    try:
        code = app(prog_name="catalog", standalone_mode=False)
    except typer.TyperException as wrong:
        # In plain lines, like every other refusal: a box would break what one wants to copy.
        context = getattr(wrong, "ctx", None)
        output.say(f"catalog: {output.clean(_nearest(wrong, context))}")
        if context is not None:
            output.say(f"  {context.command_path} --help tells what it takes")
        return wrong.exit_code
    except typer.Abort:
        return output.INTERRUPTED
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] in {"catalog", "indexer"}:
            raise
        output.say(f"catalog: {missing.name} is not installed. It comes with what runs a catalog:")
        output.say(
            "  from a clone: pip install '/path/to/clone[server]'; for the embedded stack: '/path/to/clone[local]'"
        )
        return output.FAILED
    except Exception as fault:
        from catalog.errors import CatalogError

        if not isinstance(fault, CatalogError):
            raise
        return output.refusal(fault)
    return code if isinstance(code, int) else 0


def _nearest(wrong: typer.TyperException, context: typer.Context | None) -> str:
    """Return what is wrong, with the option that was probably meant."""
    name = getattr(wrong, "option_name", None)
    if name is None or context is None:
        return wrong.format_message()
    known = [one for parameter in context.command.params for one in (*parameter.opts, *parameter.secondary_opts)]
    near = difflib.get_close_matches(name, [one for one in known if one.startswith("--")], n=1)
    return f"No such option: {name}." + (f" Did you mean {near[0]!r}?" if near else "")
