"""What the command line writes: data on stdout, everything else on stderr, and the exit codes."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import difflib
import json
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from catalog.client import Catalog
    from catalog.client.folders import Got
    from catalog.client.transfer import Progress
    from catalog.errors import CatalogError

FAILED, USAGE, AUTH, NOT_FOUND, CONFLICT, UNAVAILABLE, DIFFERS, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 130
EXIT_CODES = MappingProxyType(
    {
        0: "done",
        FAILED: "failed",
        USAGE: "wrong usage or faulty input",
        AUTH: "token missing, unknown or not enough",
        NOT_FOUND: "not there",
        CONFLICT: "in conflict with the present state",
        UNAVAILABLE: "no answer or not available now",
        DIFFERS: "something differs",
        INTERRUPTED: "interrupted",
    }
)
# Somebody waits for an answer, or something big is under way.
ASKING_SECONDS = 3.0
MOVING_SECONDS = 30.0

# What the server's statuses mean to a shell script; any other is 1.
CODE_OF_STATUS = MappingProxyType(
    {
        400: USAGE,
        401: AUTH,
        403: AUTH,
        404: NOT_FOUND,
        409: CONFLICT,
        410: NOT_FOUND,
        412: CONFLICT,
        413: USAGE,
        415: USAGE,
        422: CONFLICT,
        428: CONFLICT,
        429: UNAVAILABLE,
        502: UNAVAILABLE,
        503: UNAVAILABLE,
        504: UNAVAILABLE,
        507: CONFLICT,
    }
)
# What completes; a test holds them against the rooms that own them, which a client may not have.
KINDS = (
    *("binary", "calibration", "decoder-plugin", "docker-image", "dockerfile", "ecr-bundle", "edge-code", "job"),
    *("labels", "model", "sensor-blob", "sensor-data", "training-dataset", "trigger-app", "weights"),
)
FORMS = ("ndjson", "csv", "parquet", "bibtex", "manifest", "aria2", "rclone")
QUEUES = (
    *("without-licence", "broken-references", "wrong-terms", "wrong-files", "without-bytes", "failed-dois"),
    "not-passing",
)
ROLES = ("admin", "curator", "ingest", "reader")
PERMISSIONS = ("READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL")
# A DOI begins with a digit.
KIND_AND_NAME = re.compile(r"[a-z][a-z-]*/[^/]+")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was said before the command: it wins over the environment."""

    url: str | None
    token_file: Path | None

    def catalog(self, patience_seconds: float = ASKING_SECONDS) -> "Catalog":
        """Return the client of the catalog that is meant, which waits so long for one that does not answer."""
        from catalog.client import Catalog
        from catalog.settings import ClientSettings

        settings = ClientSettings.from_environment(url=self.url, token_file=self.token_file)
        token = settings.token
        secret = None if token is None else token.get_secret_value()
        return Catalog(settings.url, secret, patience_seconds=patience_seconds)


def choices(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what completes one of these values."""

    def complete(incomplete: str) -> list[str]:
        return [one for one in known if one.startswith(incomplete)]

    return complete


def must_be_one_of(known: Sequence[str], given: Iterable[str], option: str) -> None:
    """Raise BadParameter that names the nearest, and all that there are, for what is none of them."""
    for one in given:
        if one not in known:
            near = difflib.get_close_matches(one, known, n=1)
            nearest = f"; did you mean {near[0]}?" if near else ""
            raise typer.BadParameter(f"{one!r} is not one of {', '.join(known)}{nearest}", param_hint=option)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with the noun in its form: 1 file, 3 files; `many` where an s does not make it."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def whole_name(object_id: str, project: str | None) -> str:
    """Return how an object is named with its project before it, where kind/name alone was typed and a project said."""
    alone = project is not None and KIND_AND_NAME.fullmatch(object_id) is not None
    return f"{project}/{object_id}" if alone else object_id


def data(text: str) -> None:
    """Write to stdout what was asked for."""
    sys.stdout.write(f"{text}\n")


def as_json(value: Any) -> None:
    """Write JSON to stdout: indented for people, and for programs all the same."""
    data(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def as_line(value: Any) -> None:
    """Write JSON to stdout on one line, for what comes one after the other."""
    data(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def is_styled(stream: TextIO) -> bool:
    """Whether colours and bold are wanted there: on a terminal that can, and where NO_COLOR does not forbid it."""
    if not stream.isatty():
        return False
    from rich.console import Console

    console = Console(file=stream)
    return not console.no_color and not console.is_dumb_terminal


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    return Console(file=stream, color_system="auto" if is_styled(stream) else None, highlight=False)


def say(text: str) -> None:
    """Tell the person something that is not data."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def clean(text: object) -> str:
    """Return text that cannot move a terminal's cursor or recolour it: control characters become visible."""
    return "".join(
        "\ufffd" if unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in "\n\t" else character
        for character in str(text)
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows: aligned on a terminal, tab-separated with whole values anywhere else.

    What does not fit side by side stands below each other, one row after the other: an id that is cut cannot be copied.
    """
    cleaned = [
        ["" if value is None else clean(value).replace("\n", " ").replace("\t", " ") for value in row] for row in rows
    ]
    if not sys.stdout.isatty():
        for row in [columns, *cleaned]:
            data("\t".join(row))
        return
    console = _console(sys.stdout)
    if not _fits(columns, cleaned, console.width):
        for row in cleaned:
            _stacked(columns, row, console.width)
        return
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        drawn.add_column(column, no_wrap=column in UNCUT, overflow="fold" if column in UNCUT else "ellipsis")
    for row in cleaned:
        drawn.add_row(*(Text(value) for value in row))
    console.print(drawn)


def _fits(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> bool:
    needed = 0
    for place, column in enumerate(columns):
        natural = max(len(column), *(len(row[place]) for row in rows)) if rows else len(column)
        needed += GAP + (natural if column in UNCUT else min(natural, READABLE))
    return needed - GAP <= width


def _stacked(columns: Sequence[str], row: Sequence[str], width: int) -> None:
    """Write the first value as a heading, and below it the others with their names, as many in a line as fit."""
    heading = row[0] or "-"
    data(f"\x1b[1m{heading}\x1b[0m" if is_styled(sys.stdout) else heading)
    held = ""
    for column, value in zip(columns[1:], row[1:], strict=True):
        if not value:
            continue
        told = f"{column}: {value}"
        if held and len(held) + GAP + len(told) + GAP > width:
            data(f"  {held}")
            held = ""
        held = f"{held}  {told}" if held else told
    if held:
        data(f"  {held}")


def files(held: Iterable[Mapping[str, Any]]) -> None:
    """Write the files of an object or version as a table, set apart from what stands before; none: nothing."""
    from rich.filesize import decimal

    rows = [[file["path"], decimal(file["size"]), file["state"], file["media_type"], file["sha256"]] for file in held]
    if rows:
        data("")
        table(("file", "size", "state", "type", "sha256"), rows)


# Between two columns; and how much of a text says something.
GAP, READABLE = 2, 16
UNCUT = frozenset({"id", "kind", "year", "files", "size", "state", "subject", "address", "receipt"})


def refusal(fault: "CatalogError") -> int:
    """Tell what went wrong and how to mend it; return the exit code."""
    from catalog import errors
    from catalog.client import Problem

    say(f"catalog: {clean(fault.detail)}")
    for one in fault.faults:
        mended = f" ({clean(one.suggestion)})" if one.suggestion else ""
        say(f"  {clean(one.pointer)}: {clean(one.message)}{mended}")
    if isinstance(fault, Problem):
        if fault.status == 401:  # ruff: ignore[PLR2004] - Unauthorized.
            say("  put your token into a file, and name the file in CATALOG_TOKEN_FILE or by --token-file")
        if fault.status >= 500 and fault.request_id:  # ruff: ignore[PLR2004] - faults of the server, which logs them.
            say(f"  request id {clean(fault.request_id)}, for whoever looks after the catalog")
        return CODE_OF_STATUS.get(fault.status, FAILED)
    for kind, code in {
        errors.Invalid: USAGE,
        errors.Unauthenticated: AUTH,
        errors.Forbidden: AUTH,
        errors.NotFound: NOT_FOUND,
        errors.Gone: NOT_FOUND,
        errors.Conflict: CONFLICT,
        errors.PreconditionFailed: CONFLICT,
        errors.Unprocessable: CONFLICT,
        errors.Unavailable: UNAVAILABLE,
    }.items():
        if isinstance(fault, kind):
            return code
    return FAILED


@contextmanager
def bar(what: str, total_bytes: int) -> "Iterator[Progress]":
    """Show a progress bar on stderr while the block runs; without a terminal there, one line that says what is done."""
    if not sys.stderr.isatty() or _console(sys.stderr).is_dumb_terminal:
        from rich.filesize import decimal

        say(f"{what}: {decimal(total_bytes)}")
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, TimeRemainingColumn(), console=_console(sys.stderr)) as progress:
        task = progress.add_task(what, total=total_bytes)
        yield lambda moved: progress.advance(task, moved)


@contextmanager
def resumable() -> Iterator[None]:
    """Say how to go on, where somebody stops what the block does."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; to go on: {shlex.join(['catalog', *sys.argv[1:]])}")
        raise


def outcome(got: "Got") -> str:
    """Return in a word what became of a file that was to be fetched."""
    if got.moved is None:
        return "skipped"
    return "resumed" if got.moved.resumed_from else "downloaded"


def lines_of(value: Any, indent: str = "") -> Iterator[str]:
    """Write nested values as indented lines."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if inner in (None, "", [], {}):
                continue
            if isinstance(inner, str | int | float):
                yield f"{indent}{name}: {clean(inner)}"
            else:
                yield f"{indent}{name}:"
                yield from lines_of(inner, indent + "  ")
    elif isinstance(value, list) and all(isinstance(one, str | int | float) or one is None for one in value):
        yield indent + ", ".join(clean(one) for one in value)
    elif isinstance(value, list):
        for one in value:
            first, *rest = list(lines_of(one, indent + "  "))
            yield f"{indent}- {first.strip()}"
            yield from rest
    else:
        yield f"{indent}{clean(value)}"
