"""How many objects and files an export has, counted as its bytes pass: whoever writes them to a file is told."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from catalog.cli import output

if TYPE_CHECKING:
    from catalog.client.exports import Form

# As manifests name a file for programs: below a folder that is called as its object.
_BELOW = re.compile(rb"(?:^  out=|,\"?)([0-9a-f-]{36})/")
_LINKED = frozenset({"manifest", "aria2", "rclone"})


def _object_of(line: bytes) -> str:
    return str(json.loads(line)["object"])


def _folder_of(line: bytes) -> str | None:
    found = _BELOW.search(line)
    return None if found is None else found[1].decode()


# Which object a line begins to tell of; None where it goes on with what stands before.
_TOLD: Mapping[str, Callable[[bytes], str | None]] = MappingProxyType(
    {
        "ndjson": lambda _: "",
        "bibtex": lambda line: "" if line.startswith(b"@") else None,
        "manifest": _object_of,
        "aria2": _folder_of,
        "rclone": _folder_of,
    }
)


class Counted:
    """Counts what passes; Parquet tells at its end only, and in a form of its own: then `objects` is None."""

    def __init__(self, form: "Form") -> None:
        self._form = form
        self._rows = self._files = self._objects = 0
        self._at: str | None = None

    @property
    def objects(self) -> int | None:
        """How many objects have passed, where that is known."""
        if self._form == "parquet":
            return None
        # The first row of a table has the names of its columns.
        return max(0, self._rows - 1) if self._form == "csv" else self._objects

    @property
    def told(self) -> str:
        """How many these are, as the beginning of a sentence."""
        if self.objects is None:
            return ""
        files = f"{output.counted(self._files, 'file')} of " if self._form in _LINKED else ""
        return f"{files}{output.counted(self.objects, 'object')}, "

    def passing(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield what comes, and count it."""
        quoted, held = False, b""
        for piece in pieces:
            yield piece
            if self._form == "csv":
                for place, part in enumerate(piece.split(b'"')):
                    quoted ^= place > 0
                    self._rows += 0 if quoted else part.count(b"\n")
            elif self._form != "parquet":
                *lines, held = (held + piece).split(b"\n")
                for line in lines:
                    self._line(line)

    def _line(self, line: bytes) -> None:
        told = _TOLD[self._form](line) if line else None
        if told is None:
            return
        self._files += 1
        self._objects += self._form not in _LINKED or told != self._at
        self._at = told
