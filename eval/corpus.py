"""Everything that the questions are asked of: the demo's objects, the kinds' examples, records of others, and packages.

Fills a catalog as a service would: over HTTP, one registration, one import and one bulk load after the other.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from catalog.client.folders import key_of, read_through
from catalog.demo import collection
from catalog.demo.data import Package
from catalog.objects import kinds
from eval.sources import CONTACT, Sample, sample

# Objects of the kinds' examples that others of them name.
REFERENCES = {"labels": ("dataset", "training-dataset"), "weights": ("model", "model")}
LICENCES = {"mit": "MIT", "odc-by": "ODC-By-1.0", "cc0-1.0": "CC0-1.0", "afl-3.0": "AFL-3.0"}
FILES_MAX = 50


@dataclass(frozen=True, slots=True)
class Filled:
    """What was registered, by the names that the questions use, and what was refused with the reasons."""

    ids: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


async def register_demo(client: httpx2.AsyncClient, packages: Mapping[str, Package], filled: Filled) -> None:
    """Register the demo's objects with the hashes of their real files."""
    for specimen in collection.specimens():
        pieces = read_through(specimen.pieces(packages))
        ids = {name.removeprefix("demo/"): known for name, known in filled.ids.items()}
        draft = specimen.described(ids) | {"files": [piece.declaration() for piece in pieces]}
        await register(client, Sample(f"demo/{specimen.name}", draft), filled)


async def register_examples(client: httpx2.AsyncClient, filled: Filled) -> None:
    """Register the kinds' examples; those that name another come after it."""
    for kind in sorted(kinds.known(), key=lambda name: name in REFERENCES):
        draft = dict(kinds.known()[kind].example)
        if kind in REFERENCES:
            name, of = REFERENCES[kind]
            draft["metadata"] = draft["metadata"] | {name: filled.ids[f"example/{of}"]}
        await register(client, Sample(f"example/{kind}", draft), filled)


async def register(client: httpx2.AsyncClient, one: Sample, filled: Filled) -> None:
    """Register one object; repeated, it meets the same."""
    answer = await client.post("/api/objects", json=one.draft, headers={"Idempotency-Key": key_of(one.draft)})
    if answer.is_success:
        filled.ids[one.name] = answer.json()["id"]
    else:
        filled.refused[one.name] = answer.text


async def load(client: httpx2.AsyncClient, samples: Sequence[Sample], filled: Filled) -> None:
    """Register many objects in one request."""
    rows = [json.dumps({**one.draft, "idempotency_key": key_of(one.draft)}) for one in samples]
    answer = await client.post(
        "/api/bulk/objects",
        content="\n".join(rows).encode(),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=300,
    )
    answer.raise_for_status()
    for line in answer.text.splitlines():
        told = json.loads(line)
        name = samples[told["line"] - 1].name
        if "id" in told:
            filled.ids[name] = told["id"]
        else:
            filled.refused[name] = json.dumps(told["errors"])


async def import_records(client: httpx2.AsyncClient, folder: Path, filled: Filled) -> None:
    """Import DataCite records through the catalog's own importer; it refuses those that lack what is mandatory."""
    for file in [*sorted((folder / "datacite-json").glob("*.json")), *sorted((folder / "datacite-xml").glob("*.xml"))]:
        name = f"{file.parent.name}/{re.sub(r'^datacite[-_](example-)?', '', file.stem)}"
        answer = await client.post(
            "/api/imports/datacite",
            content=file.read_bytes(),
            params={
                "project": f"datacite/{file.suffix[1:]}-records",
                "kind": "training-dataset",
                "contact_email": CONTACT["email"],
                "visibility": "public",
                "metadata": '{"labelled": false}',
            },
            headers={
                "Content-Type": f"application/vnd.datacite.datacite+{file.suffix[1:]}",
                "Idempotency-Key": key_of({"record": name, "text": file.read_text(encoding="utf-8")}),
            },
        )
        if answer.is_success:
            filled.ids[name] = answer.json()["id"]
        else:
            filled.refused[name] = answer.text


def croissants(folder: Path) -> Iterator[Sample]:
    """Yield the data sets that a folder describes in Croissant."""
    for file in sorted((folder / "croissant").glob("*.json")):
        said = json.loads(file.read_text(encoding="utf-8"))
        yield _croissant(file.stem, said)


def _croissant(name: str, said: Mapping[str, Any]) -> Sample:
    licence = str(said.get("license") or "").lower()
    if match := re.fullmatch(r"cc-by(-sa)?-([34]\.0)", licence):
        licence = f"CC-BY{(match[1] or '').upper()}-{match[2]}"
    creator = said.get("creator") or {}
    fields = [one for record in said.get("recordSet", ()) for one in record.get("field", ())]
    named = [str(one.get("name") or one.get("@id") or "").rpartition("/")[2] for one in fields]
    address = str(said.get("url") or "")
    return sample(
        "croissant",
        name,
        title=said.get("name"),
        description=said.get("description"),
        creators=[{"name": creator["name"]}] if creator else [],
        keywords=said.get("keywords"),
        licence=licence if licence.startswith("CC-") else LICENCES.get(licence),
        identifiers=[{"type": "URL", "value": address}] if address.startswith("https://") else [],
        metadata={
            "labelled": False,
            "variables": [{"name": one} for one in dict.fromkeys(named) if one][:FILES_MAX],
        },
    )
