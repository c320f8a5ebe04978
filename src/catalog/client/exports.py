"""Everything that a search finds, however much: objects one by one, or the bytes of a table or of references."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, Unpack, cast

from catalog.client.calls import C, Call, Room, Stream, asking, series, series_in_thread
from catalog.client.problems import NotACatalog
from catalog.client.shapes import File, Link, Object, Wanted
from catalog.client.transfer import at_once, download, inside, sha256_of
from catalog.errors import CatalogError

if TYPE_CHECKING:
    from catalog.client.folders import Got

# As the catalog takes them.
Form = Literal["ndjson", "csv", "parquet", "bibtex", "manifest", "aria2", "rclone"]
FORMS: tuple[Form, ...] = ("ndjson", "csv", "parquet", "bibtex", "manifest", "aria2", "rclone")
# Between two pieces of an answer: the catalog looks for the next ones meanwhile.
PIECE_SECONDS_MAX = 60.0
# So few that links seldom run out while they wait, and enough for several transfers at once.
FILES_AT_ONCE = 32
# No file of an object is likely to be called so.
PART = ".catalog-part"

Told = TypeVar("Told")


class ManifestLine(TypedDict):
    """A file of a result with its link; `to` is where it goes below a folder."""

    object: str
    path: str
    to: str
    size: int
    sha256: str
    media_type: str
    link: Link


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of a result, and where it is now with the right SHA-256, or what kept it from coming."""

    file: ManifestLine
    got: "Got | CatalogError"


class Exports(Room[C]):
    """Whole results, in the order of ids, each object once while others are written."""

    @series
    def export(self, text: str | None = None, **wanted: Unpack[Wanted]) -> Stream[Object]:
        """Yield every object that matches, each once; goes on by itself where the line breaks.

        Words are taken as written, unless `similar` is true. Each object shows its first files. Raises Problem,
        Unreachable when it cannot go on.
        """
        return _Lines(_Asked("ndjson", text, wanted), "id")

    @series
    def export_bytes(self, form: Form, text: str | None = None, **wanted: Unpack[Wanted]) -> Stream[bytes]:
        """Yield the bytes of an export; raises Unreachable where it breaks off, and what came is then not the whole."""
        return _Pieces(_Asked(form, text, wanted))

    @series
    def manifest(self, text: str | None = None, **wanted: Unpack[Wanted]) -> Stream[ManifestLine]:
        """Yield every file of what matches whose bytes are there, with a signed link that works for some minutes."""
        return _Files(_Asked("manifest", text, wanted))

    @series_in_thread
    def fetch_found(
        self: Any, folder: Path, text: str | None = None, *, stop: Event | None = None, **wanted: Unpack[Wanted]
    ) -> Iterator[Fetched]:
        """Fetch all files of what matches below a folder, each object's below its id, and yield what became of each.

        What is there with the right SHA-256 is left alone, what was begun is gone on with. A link that has run out
        is asked for anew. A file that fails does not keep the others from coming.
        """
        return _fetched(self, folder, self.manifest(text, **wanted), stop)


@dataclass(frozen=True, slots=True)
class _Asked:
    form: str
    text: str | None
    wanted: Mapping[str, Any]

    def call(self, after: str | None = None) -> Call[Any]:
        body = asking(self.text, {"as": self.form, "after": after, **self.wanted})
        headers = {"accept": "application/json"}
        return Call("POST", "/api/search/export", body=body, headers=headers, answer_seconds=PIECE_SECONDS_MAX)


@dataclass(slots=True)
class _Pieces:
    """Bytes as they come; once some have, there is no way to go on with them."""

    asked: _Asked
    raw: bool = True
    begun: bool = False

    def call(self) -> Call[Any]:
        return self.asked.call()

    def feed(self, piece: bytes) -> tuple[bytes]:
        self.begun = True
        return (piece,)

    def goes_on(self) -> bool:
        return not self.begun


@dataclass(slots=True)
class _Lines(Generic[Told]):
    """One JSON value a line; `named` is the field with the id of the object that a line is about."""

    asked: _Asked
    named: str
    raw: bool = False
    done: str | None = None

    def call(self) -> Call[Any]:
        return self.asked.call(self.done)

    def feed(self, piece: str) -> tuple[Told, ...]:
        told = _parsed(piece)
        self.done = told[self.named]
        return (told,)

    def goes_on(self) -> bool:
        return True


@dataclass(slots=True)
class _Files:
    """Lines about files. An object is told anew from its first file, so where to go on is the object before."""

    asked: _Asked
    raw: bool = False
    done: str | None = None
    at: str | None = None
    told: set[str] = field(default_factory=set)

    def call(self) -> Call[Any]:
        return self.asked.call(self.done)

    def feed(self, piece: str) -> tuple[ManifestLine, ...]:
        line = cast("ManifestLine", _parsed(piece))
        if line["object"] != self.at:
            self.done, self.at, self.told = self.at, line["object"], set()
        if line["path"] in self.told:
            return ()
        self.told.add(line["path"])
        return (line,)

    def goes_on(self) -> bool:
        return True


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise NotACatalog("What answers to an export is not a catalog; check the address.") from None


def _fetched(catalog: Any, folder: Path, files: Iterator[ManifestLine], stop: Event | None) -> Iterator[Fetched]:
    from catalog.client.folders import Got, links_to  # ruff: ignore[PLC0415] - it builds on this room.

    def fetch(file: ManifestLine, stop: Event) -> Got:
        target = inside(folder, file["to"])
        if (
            target.is_file()
            and target.stat().st_size == file["size"]
            and sha256_of(target, stop=stop)[0] == file["sha256"]
        ):
            return Got(file["path"], target, None)
        link = links_to(catalog, file["object"], file["path"], file["link"])
        declared = cast("File", file | {"state": "available"})
        return Got(file["path"], target, download(catalog.connection, link, declared, target, part=PART, stop=stop))

    while batch := list(islice(files, FILES_AT_ONCE)):
        outcomes = at_once(fetch, batch, stop=stop)
        yield from (Fetched(file, got) for file, got in zip(batch, outcomes, strict=True))
