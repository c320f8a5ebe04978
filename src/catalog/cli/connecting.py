"""Connecting many stores from one file: each row is tried and stands for itself. Run again, it changes nothing."""

# ruff: noqa: PLC0415 - `catalog --help` must come at once: what a command needs is imported when it runs.

import csv
import difflib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import typer

from catalog.cli import output, quotas
from catalog.cli.access import Json
from catalog.cli.output import Invocation
from catalog.errors import CatalogError, Invalid

if TYPE_CHECKING:
    from catalog.client import Catalog
    from catalog.client.backends import Backend

FILE_BYTES_MAX = 2 * 1024 * 1024
# An organization may have 200 backends.
ROWS_MAX = 1000
COLUMNS = (
    *("organization", "name", "endpoint", "bucket", "prefix", "region", "addressing", "uses"),
    *("access_key", "secret_key", "access_key_env", "secret_key_env"),
    *("arn", "account_id", "account_alias", "user", "capacity_bytes", "watermark_percent", "reserved_gb"),
)
ACCOUNT = ("arn", "account_id", "account_alias", "user")
SIZES = {"capacity_bytes": "bytes", "watermark_percent": "percent", "reserved_gb": "GB"}
KEYS = ("access_key", "secret_key")
# Whoever wrote the file must not learn what else stands in the environment: an access key is sent to the endpoint.
VARIABLE = re.compile(r"BACKEND_[A-Z0-9_]{1,100}", re.ASCII)
PORTS = {"http": 80, "https": 443}

Result: TypeAlias = Literal["created", "would be created", "there", "refused"]
Place: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One store as the file has it, and what is wrong with it already."""

    line: int
    told: Mapping[str, Any] = field(repr=False)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a row."""

    line: int
    organization: str
    name: str
    result: Result
    id: str | None = None
    reasons: list[str] = field(default_factory=list)


def register(backends: typer.Typer) -> None:
    """Add this command."""
    backends.command("import")(import_backends)


def import_backends(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="*.csv with a heading, *.ndjson with one store a line, or *.json with a list.")
    ],
    *,
    organization: Annotated[
        str | None, typer.Option(help="Whose stores they are, where a row does not say `organization`.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try every store, and connect none.")] = False,
    json: Json = False,
) -> None:
    """Connect many stores, each as `catalog backend create` does; print what became of each row.

    Columns are the fields of a store, `uses` being `document`, `data` or both. Keys are `access_key` and `secret_key`,
    or the names of variables in `access_key_env` and `secret_key_env`, which begin with BACKEND_. Run again, it changes
    nothing: a row whose store is there as it says is left alone. A row that is refused holds up no other; the exit code
    is 2 then.
    """
    rows = list(read(file))
    _warn_of_readers(file, rows)
    invocation: Invocation = context.obj
    done: list[Done] = []
    try:
        with invocation.catalog() as catalog, output.resumable():
            importing = Importing(catalog, organization, dry_run=dry_run)
            # One by one, so that what was done can be told wherever it ends.
            done.extend(map(importing.bring, rows))
    finally:
        _show(done, json=json)
    counts = [(what, sum(one.result == what for one in done)) for what in dict.fromkeys(one.result for one in done)]
    output.say(", ".join(f"{count} {what}" for what, count in counts) or "the file has no rows")
    if any(one.result == "refused" for one in done):
        raise typer.Exit(output.USAGE)


def _show(done: list[Done], *, json: bool) -> None:
    if json:
        output.as_json([asdict(one) for one in done])
        return
    columns = ("line", "organization", "name", "result", "id", "reason")
    cells = [(one.line, one.organization, one.name, one.result, one.id, "; ".join(one.reasons)) for one in done]
    output.table(columns, [[None if cell is None else str(cell) for cell in row] for row in cells])


def _warn_of_readers(file: Path, rows: list[Row]) -> None:
    if file.stat().st_mode & 0o077 and any(row.told.get("secret_key") for row in rows):
        output.say(f"warning: others on this machine may read {file}, which has secrets in it")


class Importing:
    """One import: what each organization had before, and what came to be."""

    def __init__(self, catalog: "Catalog", organization: str | None, *, dry_run: bool) -> None:
        self._catalog = catalog
        self._organization = organization
        self._dry_run = dry_run
        self._there: dict[str, dict[Place, Mapping[str, Any]]] = {}

    def bring(self, row: Row) -> Done:
        """Connect what a row says, unless it is there; raises what is not about this row alone."""
        from catalog.client import Problem

        whose = row.told.get("organization") or self._organization or ""
        told: tuple[int, str, str] = row.line, str(whose), str(row.told.get("name", ""))
        if row.fault is not None or not whose:
            return Done(*told, "refused", reasons=[row.fault or "say `organization` here, or --organization for all"])
        try:
            return self._brought(row, told)
        except Invalid as fault:
            return Done(*told, "refused", reasons=[fault.detail])
        except Problem as problem:
            if problem.status == 401:  # ruff: ignore[PLR2004] - Unauthorized: no other row would fare better.
                raise
            reasons = [_reason(one.pointer, one.message) for one in problem.errors]
            return Done(*told, "refused", reasons=[problem.detail, *reasons])

    def _brought(self, row: Row, told: tuple[int, str, str]) -> Done:
        whose = told[1]
        wanted = {name: value for name, value in row.told.items() if name not in _OURS}
        there = self._of(whose)
        place = place_of(whose, wanted)
        found = there.get(place)
        if found is not None:
            differ = differences(found, wanted, has_keys=any(row.told.get(name) for name in _KEY_COLUMNS))
            reason = f"this place is connected already, with {', '.join(differ)}: `catalog backend change` changes it"
            return Done(*told, "refused" if differ else "there", found.get("id"), [reason] if differ else [])
        sent = wanted | keys_of(row.told)
        if self._dry_run:
            self._catalog.backends.try_out(whose, sent)
            there[place] = wanted | {"has_keys": "access_key" in sent}
            return Done(*told, "would be created")
        made = self._catalog.backends.create(whose, sent)
        there[place] = made
        return Done(*told, "created", made["id"], made["warnings"])

    def _of(self, organization: str) -> dict[Place, Mapping[str, Any]]:
        if organization not in self._there:
            listed: list[Backend] = self._catalog.backends.listed(organization)
            self._there[organization] = {place_of(organization, one): one for one in listed}
        return self._there[organization]


_KEY_COLUMNS = (*KEYS, *(f"{name}_env" for name in KEYS))
_OURS = frozenset(("organization", *_KEY_COLUMNS))


def _reason(pointer: str, message: str) -> str:
    return f"{pointer}: {message}" if pointer else message


def place_of(organization: str, told: Mapping[str, Any]) -> Place:
    """Return where a store is, however its endpoint is written; the catalog keeps it in one way."""
    endpoint = str(told.get("endpoint", "")).strip()
    try:
        parts = urlsplit(endpoint)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = "" if parts.port in {None, PORTS.get(parts.scheme)} else f":{parts.port}"
        endpoint = f"{parts.scheme}://{host}{port}"
    except ValueError:
        pass
    return organization, endpoint, str(told.get("bucket", "")), str(told.get("prefix") or "")


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], *, has_keys: bool) -> list[str]:
    """Return in what a store that is there is otherwise; keys are never shown, so that only having some counts."""
    usual = {"region": "us-east-1", "addressing": "path"}
    said = {name: wanted.get(name, usual.get(name)) for name in ("name", "region", "addressing", "uses")}
    said |= {name: wanted[name] for name in SIZES if name in wanted}
    said |= _account(wanted)
    held = {**usual, **found, **_account(found)}
    differ = [name for name, value in said.items() if _same(held.get(name)) != _same(value)]
    return [f"another {name}" for name in differ] + (
        [] if found.get("has_keys") == has_keys else ["other keys or none"]
    )


def _account(told: Mapping[str, Any]) -> Mapping[str, Any]:
    account = told.get("account")
    return account if isinstance(account, dict) else {}


def _same(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value


def keys_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of a row, from the file or the environment; raises Invalid, which shows none."""
    from catalog.settings import inherited_environment

    found: dict[str, str] = {}
    for name in KEYS:
        value, variable = told.get(name), told.get(f"{name}_env")
        if value and variable:
            raise Invalid(f"{name} and {name}_env say the same thing twice.")
        if variable:
            if not isinstance(variable, str) or VARIABLE.fullmatch(variable) is None:
                raise Invalid(f"{name}_env names no variable that begins with BACKEND_, the only ones that are read.")
            value = inherited_environment().get(variable, "").strip()
            if not value:
                raise Invalid(f"The environment has no {variable}, which {name}_env names.")
        if value:
            found[name] = value
    return found


def read(file: Path) -> Iterator[Row]:
    """Yield the rows of a file; raises Invalid for a file that is none. No fault shows what is in a row."""
    readers: dict[str, Callable[[str], Iterator[Row]]] = {
        ".csv": _of_csv,
        ".ndjson": _of_lines,
        ".jsonl": _of_lines,
        ".json": _of_json,
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise Invalid(f"{file} ends in none of {', '.join(readers)}, which say how it is written.")
    try:
        with file.open("rb") as opened:
            raw = opened.read(FILE_BYTES_MAX + 1)
        text = raw.decode("utf-8-sig")
    except OSError as fault:
        raise Invalid(f"{file} cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise Invalid(f"{file} is not in UTF-8.") from None
    if len(raw) > FILE_BYTES_MAX:
        raise Invalid(f"{file} has more than {FILE_BYTES_MAX:,} bytes.")
    for number, row in enumerate(reader(text), 1):
        if number > ROWS_MAX:
            raise Invalid(f"{file} has more than {ROWS_MAX:,} rows: divide it.")
        yield row


def _of_csv(text: str) -> Iterator[Row]:
    heading = text.partition("\n")[0]
    # Spreadsheets of half of the world write semicolons.
    between = next((one for one in (",", ";", "\t") if one in heading), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _must_be_columns(columns)
        line = reader.line_num
        for cells in reader:
            first, line = line + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                yield Row(first, {}, f"{len(cells)} cells, and the heading has {len(columns)}")
                continue
            yield _row_of_cells(first, dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
    except csv.Error:
        raise Invalid(f"Line {reader.line_num} is no CSV: look at its quotes.") from None


def _must_be_columns(columns: list[str]) -> None:
    for name in columns:
        if name not in COLUMNS or columns.count(name) > 1:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            meant = f" Did you mean {near[0]}?" if near and near[0] != name else ""
            raise Invalid(f"{name[:80]!r} is no column, or is there twice; there are {', '.join(COLUMNS)}.{meant}")


def _row_of_cells(line: int, cells: Mapping[str, str]) -> Row:
    said: dict[str, Any] = {name: cell for name, cell in cells.items() if cell}
    account = {name: said.pop(name) for name in ACCOUNT if name in said}
    if account:
        said["account"] = account
    if "uses" in said:
        said["uses"] = re.split(r"[\s,;|+]+", said["uses"])
    try:
        for name in SIZES.keys() & said.keys():
            said[name] = quotas.number_of(SIZES[name], said[name], option=name)
    except CatalogError as fault:
        return Row(line, said, "; ".join(f"{one.pointer}: {one.message}" for one in fault.faults))
    return Row(line, said)


def _parsed(text: str) -> Any:
    """Read JSON; raises ValueError also for what Python alone takes for some, and what no UTF-8 can hold."""
    found = json.loads(text, parse_constant=_no_number)
    if "\\u" in text:
        json.dumps(found, ensure_ascii=False).encode()
    return found


def _no_number(name: str) -> None:
    raise ValueError(name)


def _of_lines(text: str) -> Iterator[Row]:
    for line, one in enumerate(text.split("\n"), 1):
        if one.strip():
            yield _row_of_json(line, one)


def _row_of_json(line: int, text: str) -> Row:
    from catalog.objects import sent_json

    try:
        found = _parsed(text)
    except (ValueError, RecursionError):
        return Row(line, {}, "no JSON")
    if sent_json.repeated(text):
        return Row(line, {}, "it says something twice")
    return Row(line, found) if isinstance(found, dict) else Row(line, {}, "no JSON object")


def _of_json(text: str) -> Iterator[Row]:
    from catalog.objects import sent_json

    try:
        found = _parsed(text)
    except ValueError as fault:
        where = f": line {fault.lineno}, column {fault.colno}" if isinstance(fault, json.JSONDecodeError) else ""
        raise Invalid(f"The file is not JSON{where}.") from None
    except RecursionError:
        raise Invalid("The file is nested too deeply.") from None
    if sent_json.repeated(text):
        raise Invalid("The file says something twice.")
    if not isinstance(found, list):
        raise Invalid("The file holds no list of stores: [{…}, {…}].")
    for number, one in enumerate(found, 1):
        # Their places in the list: a line may have several.
        yield Row(number, one) if isinstance(one, dict) else Row(number, {}, "no JSON object")
