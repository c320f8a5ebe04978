"""The checked-in contract: the OpenAPI document and the JSON Schemas of kinds and events, as files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.api.app import contract_document
from catalog.events import shapes as events
from catalog.objects import kinds, validation
from catalog.subscriptions import shapes as told

DOCUMENT = "catalog.json"


def files() -> dict[str, str]:
    """Return every file of the contract by its name below the folder."""
    schemas = {f"kinds/{name}.json": validation.schema_of(kind) for name, kind in kinds.known().items()}
    schemas |= {f"events/{name}.json": events.schema_of(name) for name in events.TYPES}
    schemas |= {f"events/{name}.json": told.schema_of(name) for name in told.TYPES}
    return {DOCUMENT: _text(contract_document())} | {name: _text(schema) for name, schema in schemas.items()}


def write(folder: Path, wanted: Mapping[str, str]) -> None:
    """Make the folder hold these files, and no other schema."""
    for name, text in wanted.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for file in _left_over(folder, wanted):
        file.unlink()


def stale(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Return the names of files that are missing, different or left over."""
    different = [name for name, text in wanted.items() if _read(folder / name) != text]
    return sorted(different + [file.relative_to(folder).as_posix() for file in _left_over(folder, wanted)])


def _left_over(folder: Path, wanted: Mapping[str, str]) -> list[Path]:
    there = [file for room in ("kinds", "events") for file in (folder / room).glob("*.json")]
    return [file for file in there if file.relative_to(folder).as_posix() not in wanted]


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
