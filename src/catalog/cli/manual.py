"""Help as a page of a manual: usage, description, options, examples, environment, exit codes, see also.

The same order on every page, wrapped to the terminal, bold headings where colours are wanted. `Commands` is how the
modules of this room gather theirs, so that each has such a page.
"""

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from catalog.cli import output
from catalog.cli.examples import EXAMPLES, SEE_ALSO

Command = TypeVar("Command", bound=Callable[..., Any])

WIDTH_MIN, WIDTH_MAX = 40, 100
INDENT = "  "
# The column of what an option does: a longer name stands on a line of its own.
NAMES_WIDTH = 24
HEADINGS = (
    "Usage",
    "Description",
    "Arguments",
    "Options",
    "Commands",
    "Examples",
    "Environment",
    "Exit codes",
    "See also",
)

# In the order in which people come to need them.
PANELS = (
    *("Finding", "Bringing and fetching", "Publishing", "Provenance", "Curating", "Who may see what"),
    *("Running it all on this machine", "Running a catalog", "Help"),
)
TYPES = re.compile(r"<([^>]+)>")
WORDS = MappingProxyType(
    {
        "str": "TEXT",
        "list[str]": "TEXT",
        "int": "NUMBER",
        "list[int]": "NUMBER",
        "int range": "NUMBER",
        "path": "FILE",
        "file": "FILE",
        "dir": "FOLDER",
    }
)
VARIABLES = MappingProxyType(
    {
        "CATALOG_URL": "the catalog's address; --url wins; else http://127.0.0.1:8000",
        "CATALOG_TOKEN": "your token",
        "CATALOG_TOKEN_FILE": "a file that holds it; --token-file wins",
        "CATALOG_JOB_KEY": "the key of the job; --key wins",
        "CATALOG_HOME": "the data folder of the embedded stack; --home wins; else .data",
        "CATALOG_DATABASE_URL": "PostgreSQL; with the other settings that a catalog runs with",
        "NO_COLOR": "if set, nothing is coloured; nor is it in a pipe, nor with TERM=dumb",
        "COLUMNS": "how wide the terminal is, where it does not tell",
    }
)
EVERYWHERE = ("NO_COLOR", "COLUMNS")
CLIENT = ("CATALOG_URL", "CATALOG_TOKEN", "CATALOG_TOKEN_FILE")
# What knows a catalog from inside, by its settings or those of an embedded stack.
INSIDE = ("CATALOG_DATABASE_URL", "CATALOG_HOME")
# The commands that do not ask a catalog, and what they read instead; of a group, all of it.
READS = MappingProxyType(
    {
        "push": (*CLIENT, "CATALOG_JOB_KEY"),
        "pull": (*CLIENT, "CATALOG_JOB_KEY"),
        "job": (*CLIENT, "CATALOG_JOB_KEY"),
        "openapi": (),
        "completion": (),
        "help": (),
        "up": ("CATALOG_HOME", "CATALOG_DATABASE_URL"),
        "down": ("CATALOG_HOME",),
        "status": ("CATALOG_HOME",),
        "doctor": ("CATALOG_HOME",),
        "demo": ("CATALOG_HOME",),
        "serve": ("CATALOG_DATABASE_URL",),
        "migrate": ("CATALOG_DATABASE_URL",),
        "diff": INSIDE,
        "reconcile": INSIDE,
        "backup": INSIDE,
        "restore": INSIDE,
        "reindex": INSIDE,
        "config": INSIDE,
        "schema": INSIDE,
        "principal": INSIDE,
        "keys": ("CATALOG_DATABASE_URL",),
        "token": (*CLIENT, *INSIDE),
    }
)


class Page(TyperCommand):
    """A command whose help is a page of the manual."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page_of(self, ctx))


class Chapter(TyperGroup):
    """A group of commands whose help is a page of the manual."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page_of(self, ctx))


class Commands(typer.Typer):
    """Commands with such pages."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cls": Chapter, "add_completion": False, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Command], Command]:
        """Return what adds a command; settings as typer has them."""
        return super().command(name, **{"cls": Page, **settings})


def page_of(command: Any, context: Any) -> str:
    """Return the page of a command in a context that names it."""
    path = " ".join(context.command_path.split()[1:])
    width = max(WIDTH_MIN, min(WIDTH_MAX, shutil.get_terminal_size().columns))
    bold = output.is_styled(sys.stdout)
    blocks = [
        (heading, list(lines))
        for heading, lines in zip(HEADINGS, _sections(command, context, path, width), strict=True)
    ]
    return "\n".join(
        "\n".join([f"\x1b[1m{heading}\x1b[0m" if bold else heading, *(line.rstrip() for line in lines), ""])
        for heading, lines in blocks
        if lines
    )


def _sections(command: Any, context: Any, path: str, width: int) -> Iterator[Iterator[str]]:
    """Yield the lines of each section, in the order of the headings."""
    pieces = [piece.replace("{", "").replace("}", "").upper() for piece in command.collect_usage_pieces(context)]
    usage = " ".join([context.command_path, *pieces])
    yield _wrapped(usage, width, INDENT, INDENT * 3)
    yield _paragraphs(command.help or "", width)
    records = [
        (parameter.param_type_name, parameter.get_help_record(context))
        for parameter in command.get_params(context)
        if not getattr(parameter, "hidden", False)
    ]
    arguments = [one for kind, one in records if kind == "argument" and one]
    yield _listed([(_plain(name).partition(" ")[0].upper(), told) for name, told in arguments], width)
    options = [one for kind, one in records if kind == "option" and one]
    yield _listed([(_plain(name), told) for name, told in options], width)
    yield _chapters(command, width)
    yield (line for one in EXAMPLES.get(path, ()) for line in _example(one, width))
    read = READS.get(path, READS.get(path.partition(" ")[0], CLIENT))
    yield _listed([(name, VARIABLES[name]) for name in (*read, *EVERYWHERE)], width)
    codes = "; ".join(f"{code} {meaning}" for code, meaning in output.EXIT_CODES.items())
    yield _wrapped(f"{codes}.", width, INDENT)
    also = SEE_ALSO.get(path) or _beside(context, path)
    yield _wrapped(", ".join(f"catalog {one}".replace(" ", "\xa0") for one in also), width, INDENT)


def _plain(name: str) -> str:
    """Return what is given to an option in a word for people; typer has the language's own types."""
    return TYPES.sub(lambda found: WORDS.get(found[1], "VALUE"), name)


def _beside(context: Any, path: str) -> Sequence[str]:
    """Return the commands of the same group, or those of the group itself."""
    group, _, own = path.rpartition(" ")
    if not group:
        return [f"{path} {name}" for name in getattr(context.command, "commands", ())]
    return [f"{group} {name}" for name in context.parent.command.commands if name != own]


def _chapters(command: Any, width: int) -> Iterator[str]:
    panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
    for name, one in getattr(command, "commands", {}).items():
        if not one.hidden:
            panels.setdefault(one.rich_help_panel or "", []).append((name, first_sentence(one.help or "")))
    for panel, commands in panels.items():
        if panel and commands:
            yield f"{INDENT}{panel}:"
        yield from _listed(commands, width, INDENT * 2 if panel else INDENT)


def first_sentence(text: str) -> str:
    """Return what a command is for, in one sentence without its full stop."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).partition(". ")[0].rstrip(".")


def _paragraphs(text: str, width: int) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        yield from _wrapped(" ".join(paragraph.split()), width, INDENT)


def _listed(rows: Sequence[tuple[str, str]], width: int, indent: str = INDENT) -> Iterator[str]:
    names = min(NAMES_WIDTH, max((len(name) for name, _ in rows), default=0))
    beside = f"{indent}{' ' * names}{INDENT}"
    for name, told in rows:
        if len(name) > names:
            yield f"{indent}{name}"
            yield from _wrapped(told, width, beside)
        else:
            yield from _wrapped(told, width, f"{indent}{name:{names}}{INDENT}", beside)


def _example(line: str, width: int) -> Iterator[str]:
    # As one may type it: what does not fit goes on after a backslash, at an option.
    if len(INDENT + line) <= width:
        yield INDENT + line
        return
    parts = line.replace(" --", "\n--").split("\n")
    held = INDENT + parts[0]
    for part in parts[1:]:
        if len(held) + len(part) + 3 > width:
            yield f"{held} \\"
            held = f"{INDENT * 3}{part}"
        else:
            held = f"{held} {part}"
    yield held


def _wrapped(text: str, width: int, first: str, rest: str | None = None) -> Iterator[str]:
    if not text:
        yield first if first.strip() else ""
        return
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (line.replace("\xa0", " ") for line in lines)
