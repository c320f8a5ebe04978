"""The demo's objects: real data of real packages, described as what they are. One JSON file each in `objects/`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.client.folders import Piece
from catalog.demo.data import Package

FOLDER = Path(__file__).with_name("objects")


@dataclass(frozen=True, slots=True)
class Specimen:
    """An object to register: who registers it, its description, and where its files come from."""

    name: str
    by: str
    draft: Mapping[str, Any]
    files: tuple[Mapping[str, str], ...]

    def pieces(self, packages: Mapping[str, Package]) -> list[Piece]:
        """Return its files, to be read out of the packages."""
        pieces = []
        for file in self.files:
            package, _, member = file["from"].partition(":")
            pieces.append(Piece(file["path"], packages[package].opener(member), file["media_type"]))
        return pieces

    def members(self) -> list[str]:
        """Return the names of the specimens that it refers to, which have to be registered before it."""
        return [member["id"] for member in self.draft["metadata"].get("members", ()) if member["type"] == "object"]

    def described(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """Return its description with the ids that its members were given."""
        draft: dict[str, Any] = json.loads(json.dumps(self.draft))
        for member in draft["metadata"].get("members", ()):
            if member["type"] == "object":
                member["id"] = ids[member["id"]]
        return draft


def specimens() -> list[Specimen]:
    """Return every specimen; those that refer to others come last."""
    found = []
    for file in sorted(FOLDER.glob("*.json")):
        said = json.loads(file.read_text(encoding="utf-8"))
        found.append(Specimen(file.stem, said["by"], said["draft"], tuple(said["files"])))
    return sorted(found, key=lambda specimen: bool(specimen.members()))
