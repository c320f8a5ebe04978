"""The index behind its alias: find, write with versions, create, inspect.

Reads the engine's answers to the last item and says what each means for who asked. Knows no field and no ranking, and
never repeats a write: the queue does that.
"""

import asyncio
import importlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID, uuid4

import msgspec

from catalog.errors import CatalogError, Fault, Invalid, Unavailable
from catalog.search import answers, holding, query
from catalog.search.answers import Found, Place
from catalog.search.document import MAPPING_VERSION, Document, index_body, version_of, within_fields
from catalog.search.holding import Held, Span
from catalog.search.query import Question

if TYPE_CHECKING:
    from catalog.search.connection import Connection

# OpenSearch advises 5 to 15 MB a bulk; it refuses what exceeds a tenth of its heap, 51 MB for the smallest we run.
BULK_BYTES_MAX = 10 * 1024 * 1024
BULK_DOCUMENTS_MAX = 2_000

# The engine gives up before we do, so that its reason reaches us.
FIND_SECONDS_MAX = query.TIMEOUT_SECONDS + 2
WRITE_SECONDS_MAX = 60
SHARD_WAIT_SECONDS = 20
MANAGE_SECONDS_MAX = 60
PING_SECONDS_MAX = 2

# 403 is a blocked index or a wrong right of ours; neither is the document's fault.
PASSING = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
}

REPAIR = "run `catalog migrate`, which creates it"


class MappingChanged(CatalogError):
    """The index was made for another mapping than this version's."""


class EngineSays(CatalogError):
    """The search engine refuses, for a reason that no caller can mend."""


class NoIndex(Unavailable):
    """There is no index behind the alias."""


class Verdict(StrEnum):
    """What became of one document."""

    WRITTEN = "written"
    STALE = "stale"  # The index has this revision or a newer one: done.
    RETRY = "retry"  # Nothing wrong with the document: later.
    REJECTED = "rejected"  # It would be refused again: park it.


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one document, and why where it is not in the index."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A document to be written; an index that holds this revision or a newer one keeps what it has."""

    id: UUID
    revision: int
    document: Document


@dataclass(frozen=True, slots=True)
class Shape:
    """What an index is made for: the version of its mapping, and the body that creates it."""

    version: str
    body: Callable[..., dict[str, Any]]


OBJECTS = Shape(MAPPING_VERSION, index_body)


def shape_of(shards: int) -> Shape:
    """Return the shape of an index of objects in so many shards."""
    return Shape(version_of(shards), partial(index_body, shards=shards))


class _Fault(msgspec.Struct):
    type: str = ""
    reason: str | None = None
    caused_by: "_Fault | None" = None

    def __str__(self) -> str:
        told = f"{self.type}: {self.reason}" if self.reason else self.type
        return f"{told} ({self.caused_by})" if self.caused_by else told


class _Item(msgspec.Struct):
    status: int
    error: _Fault | None = None


class _Bulk(msgspec.Struct):
    errors: bool
    items: list[dict[str, _Item]]


class _Refusal(msgspec.Struct):
    error: _Fault | str = ""


class _Counted(msgspec.Struct):
    count: int


class _Row(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    found: bool = False
    version: int = msgspec.field(name="_version", default=0)
    source: Document = msgspec.field(name="_source", default_factory=dict)


class _Rows(msgspec.Struct):
    docs: list[_Row]


_bulk_decoder = msgspec.json.Decoder(_Bulk)
_count_decoder = msgspec.json.Decoder(_Counted)
_rows_decoder = msgspec.json.Decoder(_Rows)
_standing_decoder = msgspec.json.Decoder(dict[str, dict[str, Any]])
_encode = msgspec.json.Encoder().encode

# Nothing is kept of an answer: how soon one comes tells nobody what others have asked.
# One process asks the same copy of a shard while there is one: what its searches saw once they see again, though copies
# make documents searchable at different moments, and pages do not overlap. Several processes share the copies out.
_ASKING = {"allow_partial_search_results": "false", "request_cache": "false", "preference": uuid4().hex}

WRITTEN = Outcome(Verdict.WRITTEN)
STALE = Outcome(Verdict.STALE)


class Index:
    """The documents behind one alias. Nothing is opened before the first call."""

    def __init__(
        self,
        url: str | Sequence[str],
        alias: str,
        refresh: timedelta = timedelta(seconds=1),
        shape: Shape = OBJECTS,
        fields: Collection[str] | None = None,
    ) -> None:
        # Several addresses are of nodes of one cluster.
        self.alias = alias
        self.shape = shape
        self.refresh_interval = f"{max(1, round(refresh.total_seconds() * 1000))}ms"
        self._url, self._refresh = url, refresh
        # None: all that there are.
        self._fields = None if fields is None else frozenset(fields)
        self._line = _Line(url)

    def beside(self, alias: str, fields: Collection[str] | None = None) -> "Index":
        """Return another index of the same engine, reached as this one is and closed with it.

        With fields, it was made for another mapping: of a document it is given these alone.
        """
        other = Index(self._url, alias, self._refresh, self.shape, fields)
        other._line = self._line
        return other

    # Reading

    async def find(self, body: Mapping[str, Any], question: Question) -> Found:
        """Return what answers the question; raises Invalid when the engine refuses it, Unavailable when it is away."""
        return answers.found_from(await self._search(body), question.limit)

    async def explained(self, body: Mapping[str, Any]) -> tuple[set[str], dict[str, list[str]]] | None:
        """Return the named parts that hold of the one hit, and its marked words; None without one. Raises as `find`."""
        return answers.explained_from(await self._search(body))

    async def named(self, body: Mapping[str, Any]) -> dict[UUID, set[str]]:
        """Return which named parts of a request hold of each of its hits; raises as `find` does."""
        return answers.named_from(await self._search(body))

    async def ids(self, body: Mapping[str, Any]) -> list[UUID]:
        """Return the ids alone of what answers a request, in its order; raises as `find` does."""
        return answers.ids_from(await self._search(body))

    async def _search(self, body: Mapping[str, Any]) -> bytes:
        status, answer = await self.ask(
            "POST",
            "/_search",
            params=_ASKING,
            body=_encode(body),
            seconds=FIND_SECONDS_MAX,
        )
        if status == HTTPStatus.BAD_REQUEST:
            fault = Fault("/q", "The search engine cannot answer this question.", "Ask for fewer and shorter words.")
            raise Invalid("The search engine refuses the question.", faults=[fault]) from EngineSays(reason_of(answer))
        if status != HTTPStatus.OK:
            self.refuse(status, answer)
        return answer

    async def count(self) -> int:
        """Return how many objects a search could find: tombstones do not count."""
        body = _encode({"query": {"bool": {"must_not": {"term": {"tombstone": True}}}}})
        answer = await self.told("POST", "/_count", body=body, seconds=FIND_SECONDS_MAX)
        return answers.read(_count_decoder, answer).count

    async def versions(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the revision that the index holds of each of these objects, searchable yet or not, tombstones too."""
        if not ids:
            return {}
        body = _encode({"ids": ids})
        answer = await self.told("POST", "/_mget", params={"_source": "false"}, body=body, seconds=FIND_SECONDS_MAX)
        rows = answers.read(_rows_decoder, answer).docs
        return {UUID(row.id): row.version for row in rows if row.found}

    async def documents(self, ids: Sequence[UUID]) -> list[Document]:
        """Return the documents of these objects, searchable yet or not, where there are any: never for an answer."""
        if not ids:
            return []
        body = _encode({"ids": ids})
        answer = await self.told("POST", "/_mget", params={"_source": "true"}, body=body, seconds=FIND_SECONDS_MAX)
        return [row.source for row in answers.read(_rows_decoder, answer).docs if row.found]

    async def seen_revisions(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """Return the revision of each of these objects that searches see, tombstones too: never for an answer."""
        body = {"query": {"ids": {"values": ids}}, "_source": ["revision"], "size": len(ids)}
        return answers.revisions_from(await self._search(body))

    # Comparing

    async def held_in(self, span: Span | None, place: Place | None, *, most: int) -> tuple[list[Held], Place | None]:
        """Return what searches see of a span, by id, and the place after it if there may be more; raises as `find`.

        Without a span, the documents that tell no id at all.
        """
        return holding.page_from(await self._search(holding.body_of(span, place, most)), most)

    async def held(self, ids: Sequence[str]) -> dict[str, Held]:
        """Return the documents known by these ids, searchable yet or not, tombstones too: never for an answer."""
        if not ids:
            return {}
        answer = await self.told("POST", "/_mget", body=_encode({"ids": ids}), seconds=FIND_SECONDS_MAX)
        return holding.rows_from(answer)

    async def remove_held(self, documents: Sequence[Held]) -> list[Outcome]:
        """Remove documents for good; one that was written since stays (STALE), one that is gone is WRITTEN."""
        return await self._bulk([_encode(holding.removal_of(one)) + b"\n" for one in documents])

    # Writing

    async def write(self, documents: Sequence[Written]) -> list[Outcome]:
        """Write documents and return what became of each, in their order; raises Unavailable when the engine is away.

        After Unavailable some may have been written: writing them again answers STALE.
        """
        return await self._bulk([_line_of(document, self._fields) for document in documents])

    async def purge(self, object_id: UUID, revision: int) -> Outcome:
        """Remove a tombstone of this revision for good; a newer document stays (STALE)."""
        # Asked first: unlike a write, a removal with a version makes up the index it does not find.
        await self.told("GET", "", target=f"_alias/{self.alias}", seconds=MANAGE_SECONDS_MAX)
        operation = {
            "delete": {"_id": object_id, "version": revision, "version_type": "external_gte"},
        }
        (outcome,) = await self._bulk([_encode(operation) + b"\n"])
        return outcome

    async def _bulk(self, lines: Sequence[bytes | Outcome]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {place: line for place, line in enumerate(lines) if isinstance(line, Outcome)}
        sendable = [(place, line) for place, line in enumerate(lines) if isinstance(line, bytes)]
        for batch in _batches(sendable):
            outcomes.update(await self._send(batch))
        return [outcomes[place] for place in range(len(lines))]

    async def _send(self, batch: Sequence[tuple[int, bytes]]) -> dict[int, Outcome]:
        status, answer = await self.ask(
            "POST",
            "/_bulk",
            # Without `require_alias` a missing index would be made up by its first document, with a guessed mapping.
            params={"require_alias": "true", "timeout": f"{SHARD_WAIT_SECONDS}s"},
            body=b"".join(line for _, line in batch),
            seconds=WRITE_SECONDS_MAX,
        )
        if status in {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
            # Refused as a whole: one of them is the reason. Halving finds it, and its neighbours are written.
            if len(batch) == 1:
                return {batch[0][0]: Outcome(Verdict.REJECTED, reason_of(answer) or f"HTTP {status}")}
            half = len(batch) // 2
            return {**await self._send(batch[:half]), **await self._send(batch[half:])}
        if status != HTTPStatus.OK:
            self.refuse(status, answer)
        told = answers.read(_bulk_decoder, answer)
        if not told.errors:
            return dict.fromkeys((place for place, _ in batch), WRITTEN)
        items = [next(iter(item.values())) for item in told.items]
        return {place: self._outcome(item) for (place, _), item in zip(batch, items, strict=True)}

    def _outcome(self, item: _Item) -> Outcome:
        fault = item.error
        if fault is None:
            return WRITTEN
        if fault.type == "index_not_found_exception":
            raise self._missing()
        if item.status == HTTPStatus.CONFLICT:
            return STALE
        # A full disk blocks the index, a full queue refuses: both pass, as does what the engine calls its own fault.
        if item.status in PASSING or item.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Outcome(Verdict.RETRY, str(fault))
        return Outcome(Verdict.REJECTED, str(fault))

    # Looking after the index

    async def ensure(self) -> bool:
        """Create the index behind its alias where there is none; return whether this call did.

        Any number of processes may call it at once. Raises MappingChanged when there is one for another mapping.
        """
        standing = await self._standing()
        created = standing is None and await self._create()
        name, there = self._checked(standing or await self._standing() or {})
        if there["settings"]["index"].get("refresh_interval") != self.refresh_interval:
            # The operator's to choose, no part of the mapping: changed in place.
            body = _encode({"index": {"refresh_interval": self.refresh_interval}})
            await self.told("PUT", "/_settings", target=name, body=body, seconds=MANAGE_SECONDS_MAX)
        return created

    async def _create(self) -> bool:
        # Named by its mapping: of processes that create at once, the engine hears one and refuses the others. The alias
        # comes with the index, so nobody meets one without the other.
        name = f"{self.alias}-{self.shape.version}"
        body = _encode(self.shape.body(refresh_interval=self.refresh_interval) | {"aliases": {self.alias: {}}})
        status, answer = await self.ask("PUT", "", target=name, body=body, seconds=MANAGE_SECONDS_MAX)
        if status != HTTPStatus.OK and "resource_already_exists_exception" not in reason_of(answer):
            self.refuse(status, answer)
        return status == HTTPStatus.OK

    async def _standing(self) -> dict[str, dict[str, Any]] | None:
        """Return what stands behind the alias, by concrete name; None where there is nothing."""
        status, answer = await self.ask("GET", "", seconds=MANAGE_SECONDS_MAX)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            self.refuse(status, answer)
        return answers.read(_standing_decoder, answer)

    def _checked(self, standing: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if not standing:
            raise CatalogError(
                f"The index of alias {self.alias!r} exists without its alias: add the alias, or remove the index."
            )
        if self.alias in standing:
            raise CatalogError(
                f"{self.alias!r} is an index, not an alias: remove it or set CATALOG_SEARCH_INDEX to another name."
            )
        if len(standing) > 1:
            raise CatalogError(f"The alias {self.alias!r} points to several indices: {', '.join(sorted(standing))}.")
        ((name, found),) = standing.items()
        version = found["mappings"].get("_meta", {}).get("version")
        if version != self.shape.version:
            raise MappingChanged(
                f"Index {name!r} was made for mapping {version}, this version needs {self.shape.version}: run"
                " `catalog migrate`, which has it built anew beside this one."
            )
        return name, found

    async def refresh(self) -> None:
        """Make everything written so far searchable now."""
        await self.told("POST", "/_refresh", seconds=MANAGE_SECONDS_MAX)

    async def drop(self) -> None:
        """Remove whatever stands behind the alias, for good."""
        for name in sorted(await self._standing() or {}):
            await self.told("DELETE", "", target=name, seconds=MANAGE_SECONDS_MAX)

    async def ping(self) -> None:
        """Return when searches can be answered; raises Unavailable otherwise."""
        await self.told("GET", "/_count", params={"terminate_after": "1"}, seconds=PING_SECONDS_MAX)

    async def close(self) -> None:
        """Close the connections; a later call opens them again."""
        await self._line.close()

    # Talking

    async def ask(
        self,
        method: str,
        path: str,
        *,
        seconds: float = MANAGE_SECONDS_MAX,
        target: str | None = None,
        params: dict[str, Any] | None = None,
        body: bytes | None = None,
    ) -> tuple[int, bytes]:
        """Return status and body of the engine's answer to a request of the alias, or of another target."""
        place = self.alias if target is None else target
        whole = f"/{place}{path}" if place else path
        return await self._line.ask(method, whole, params=params, body=body, seconds=seconds)

    async def told(self, method: str, path: str, **how: Any) -> bytes:
        """Return the body of what went well; raises NoIndex, Unavailable, EngineSays."""
        status, answer = await self.ask(method, path, **how)
        if status != HTTPStatus.OK:
            self.refuse(status, answer)
        return answer

    def refuse(self, status: int, answer: bytes) -> NoReturn:
        """Raise what a refusal means: NoIndex, Unavailable, EngineSays."""
        # The engine's own words are for the log: they name nodes, indices and parts of the question.
        says = EngineSays(reason_of(answer) or f"HTTP {status}")
        if status == HTTPStatus.NOT_FOUND:
            raise self._missing() from says
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable("The search engine cannot do this now.") from says
        raise says

    def _missing(self) -> NoIndex:
        return NoIndex(f"There is no search index {self.alias!r}: {REPAIR}.")


class _Line:
    """The connections to one engine; nothing is opened before the first request."""

    def __init__(self, url: str | Sequence[str]) -> None:
        self._urls = [url] if isinstance(url, str) else list(url)
        self._opening: asyncio.Task[Connection] | None = None

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, bytes]:
        if self._opening is None:
            self._opening = asyncio.create_task(_opened(self._urls))
        connection = self._opening.result() if self._opening.done() else await asyncio.shield(self._opening)
        return await connection.ask(method, path, **how)

    async def close(self) -> None:
        if self._opening is not None:
            opening, self._opening = self._opening, None
            await (await opening).close()


async def _opened(urls: Sequence[str]) -> "Connection":
    # In a thread: the library takes most of a second to import, and requests are being answered meanwhile.
    module = await asyncio.to_thread(importlib.import_module, "catalog.search.connection")
    connection: Connection = module.Connection(urls)
    return connection


def _line_of(written: Written, fields: Collection[str] | None) -> bytes | Outcome:
    operation = {
        "index": {"_id": written.id, "version": written.revision, "version_type": "external"},
    }
    document = written.document if fields is None else within_fields(written.document, fields)
    try:
        line = b"%b\n%b\n" % (_encode(operation), _encode(document))
    except (TypeError, ValueError) as fault:
        return Outcome(Verdict.REJECTED, f"The document is not JSON: {fault}")
    if len(line) > BULK_BYTES_MAX:
        return Outcome(
            Verdict.REJECTED, f"The document has {len(line)} bytes; at most {BULK_BYTES_MAX} can be indexed."
        )
    return line


def _batches(lines: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for place, line in lines:
        if batch and (size + len(line) > BULK_BYTES_MAX or len(batch) == BULK_DOCUMENTS_MAX):
            yield batch
            batch, size = [], 0
        batch.append((place, line))
        size += len(line)
    if batch:
        yield batch


def reason_of(answer: bytes) -> str:
    """Return why the engine refuses, in its own words, if it says so."""
    try:
        return str(msgspec.json.decode(answer, type=_Refusal).error)
    except msgspec.DecodeError:
        return ""
