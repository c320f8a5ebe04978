"""`/api/search/export`: everything that answers a question, however much, in one answer that is written as it is read.

The index is walked in the order of ids, a step at a time, so that nothing is held open there and a client may take its
time (ADR 0029). Before anything of a step is written, who asks is identified anew and the database is asked what this
caller may see: what is revoked on the way is left out from then on. Memory holds one step, which has a limit in bytes.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID

import anyio
import msgspec
import structlog
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from catalog.access.principals import Caller
from catalog.access.scopes import Scope as TokenScope
from catalog.api import limits, manifests, problems, questions, requests, shapes
from catalog.api.bulk import NDJSON
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.questions import ExportBody, ExportQuery
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.doi import describing
from catalog.engines import Engines
from catalog.errors import CatalogError, TooManyRequests
from catalog.exchange import citation, columns, parquet, spreadsheet
from catalog.exchange.formats import BIBTEX
from catalog.exchange.parquet import Holds, Sheet
from catalog.objects import reading
from catalog.objects.reading import Entry
from catalog.search import meant, query
from catalog.search.query import Question, Walk

log = structlog.get_logger("catalog.exports")

# Of ids the engine tells many at once; of objects memory holds a few. The first step is short: something comes soon.
IDS_FIRST = 50
IDS_AT_ONCE = 1_000
OBJECTS_AT_ONCE = 100
# Of their records too: a list of a hundred may be small, and a single one has 2 MiB at most. Read, each takes several
# times as much.
RECORD_BYTES_AT_ONCE = 2 * 1024 * 1024
# What is sent at once has to be taken in time, so that who reads nothing holds no place: 4 KiB a second are enough.
PIECE_BYTES_MAX = 256 * 1024
PIECE_SECONDS_MAX = 60.0
# An export keeps a core busy for as long as its client reads. Each process counts for itself.
AT_ONCE_PER_CALLER = 3
AT_ONCE = 20
# The others are left to callers with accounts: addresses cost nothing.
AT_ONCE_WITHOUT_ACCOUNT = 10
RETRY_SECONDS = 10
# Clocks of databases and of this process differ by less.
CLOCKS_DIFFER = timedelta(minutes=1)

CSV = "text/csv"
LINK_SECONDS = "Catalog-Link-Seconds"

_encode = msgspec.json.Encoder().encode


class NotTaken(CatalogError):
    """Whoever asked for the export does not read it."""


class Exports:
    """How many exports are under way in this process, and whose they are."""

    def __init__(self) -> None:
        self._of: dict[tuple[bool, Hashable], int] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return sum(self._of.values())

    def begin(self, caller: Hashable, *, known: bool) -> None:
        """Count one more of this caller, `known` where it has an account; call `end` when it has ended.

        Raises TooManyRequests with the limit.
        """
        held = self._of.get((known, caller), 0)
        if held >= AT_ONCE_PER_CALLER:
            detail = f"You have {held} exports under way here, and may have {AT_ONCE_PER_CALLER}: let one end first."
            raise TooManyRequests(detail, retry_after_seconds=RETRY_SECONDS)
        if not known and sum(held for (has, _), held in self._of.items() if not has) >= AT_ONCE_WITHOUT_ACCOUNT:
            detail = (
                f"{AT_ONCE_WITHOUT_ACCOUNT} exports of callers without a token are under way here, and more are not "
                f"begun; send a token, or come back in {RETRY_SECONDS} s."
            )
            raise TooManyRequests(detail, retry_after_seconds=RETRY_SECONDS)
        if len(self) >= AT_ONCE:
            detail = f"{AT_ONCE} exports are under way here, and more are not begun; come back in {RETRY_SECONDS} s."
            raise TooManyRequests(detail, retry_after_seconds=RETRY_SECONDS)
        self._of[known, caller] = held + 1

    def end(self, caller: Hashable, *, known: bool) -> None:
        """Count one less of this caller."""
        held = self._of.pop((known, caller)) - 1
        if held:
            self._of[known, caller] = held


Step = Callable[[AnyRequest, Caller, Sequence[UUID]], AsyncGenerator[bytes]]


@dataclass(frozen=True, slots=True)
class Hand:
    """What writes one export: what stands first, each step, and what stands last."""

    step: Step
    head: bytes = b""
    # Whether it reads the records of the objects, so that a step has few of them where they are long.
    whole: bool = True
    end: Callable[[], Awaitable[bytes]] | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """How one form is written; each export has a hand of its own, which may remember what it wrote."""

    media_type: str
    ending: str
    hand: Callable[[], Hand]
    # Whether it holds links, which live as long as the header says.
    signs: bool = False


async def _entries(request: AnyRequest, caller: Caller, ids: Sequence[UUID]) -> list[Entry]:
    """Return those of these objects that the caller may see now, in their order."""
    found = await reading.find_each(
        requests.engines(request).database, ids, caller.audience, files_most=shapes.FILES_SHOWN_MAX
    )
    return [found[one] for one in ids if one in found]


async def _json_lines(request: AnyRequest, caller: Caller, ids: Sequence[UUID]) -> AsyncGenerator[bytes]:
    entries = await _entries(request, caller, ids)
    lines = bytearray()
    for entry in entries:
        lines += _encode(shapes.shown_object(entry)) + b"\n"
        if len(lines) >= PIECE_BYTES_MAX:
            # Others are answered while it is sent.
            yield bytes(lines)
            lines.clear()
    yield bytes(lines)


async def _rows(engines: Engines, entries: Sequence[Entry]) -> list[list[object]]:
    """Return what stands in the columns of each of these."""
    async with engines.database.transaction() as session:
        dois = await describing.public_dois(session, [entry.id for entry in entries])
    pages = f"{engines.house.address}/objects"
    return [columns.row(entry, doi=dois.get(entry.id), address=f"{pages}/{entry.id}") for entry in entries]


async def _csv_lines(request: AnyRequest, caller: Caller, ids: Sequence[UUID]) -> AsyncGenerator[bytes]:
    entries = await _entries(request, caller, ids)
    yield b"".join(map(spreadsheet.line, await _rows(requests.engines(request), entries)))


def _parquet() -> Hand:
    sheet = Sheet({**columns.COLUMNS, "record": Holds.TEXT})

    async def rows(request: AnyRequest, caller: Caller, ids: Sequence[UUID]) -> AsyncGenerator[bytes]:
        entries = await _entries(request, caller, ids)
        told = await _rows(requests.engines(request), entries)
        whole = [[*row, _encode(shapes.shown_object(entry)).decode()] for row, entry in zip(told, entries, strict=True)]
        # A group takes many milliseconds: others are answered meanwhile.
        yield await anyio.to_thread.run_sync(sheet.add, whole)

    async def end() -> bytes:
        return await anyio.to_thread.run_sync(sheet.end)

    return Hand(rows, end=end)


async def _references(request: AnyRequest, caller: Caller, ids: Sequence[UUID]) -> AsyncGenerator[bytes]:
    entries = await _entries(request, caller, ids)
    engines = requests.engines(request)
    async with engines.database.transaction() as session:
        works = await describing.works_to_cite(session, entries, engines.house)
    yield "".join(f"{citation.bibtex(work, citation.key_among_many(work))}\n\n" for work in works).encode()


FORMS: Mapping[str, Writing] = MappingProxyType(
    {
        "ndjson": Writing(NDJSON, "ndjson", lambda: Hand(_json_lines)),
        "csv": Writing(f"{CSV}; header=present", "csv", lambda: Hand(_csv_lines, spreadsheet.head())),
        "parquet": Writing(parquet.MEDIA_TYPE, "parquet", _parquet),
        "bibtex": Writing(BIBTEX, "bib", lambda: Hand(_references)),
        "manifest": Writing(
            NDJSON, "ndjson", lambda: Hand(manifests.step(manifests.json_lines), whole=False), signs=True
        ),
        "aria2": Writing(
            manifests.ARIA2, "aria2.txt", lambda: Hand(manifests.step(manifests.aria2), whole=False), signs=True
        ),
        "rclone": Writing(CSV, "csv", lambda: Hand(manifests.step(manifests.rclone), whole=False), signs=True),
    }
)


@dataclass(frozen=True, slots=True)
class _Walked:
    """The first step of a walk, and what the others need: it was asked with these words."""

    question: Question
    walk: Walk
    ids: list[UUID]


async def _begun(engines: Engines, asked: ExportQuery | ExportBody, question: Question, caller: Caller) -> _Walked:
    """Take the first step: a question is asked as it was written, and once more with similar words, as a search is."""
    walk = Walk(now() + CLOCKS_DIFFER, None, IDS_FIRST)
    ids = await engines.index.ids(query.walk_body_of(question, caller.audience, walk))
    if not ids and asked.similar and (wider := meant.widened(question)):
        question = wider
        ids = await engines.index.ids(query.walk_body_of(question, caller.audience, walk))
    if asked.after is None:
        return _Walked(question, walk, ids)
    # Which words are meant is decided by the whole result, wherever one goes on in it.
    walk = replace(walk, after=asked.after)
    return _Walked(question, walk, await engines.index.ids(query.walk_body_of(question, caller.audience, walk)))


async def _pieces(request: AnyRequest, begun: _Walked, hand: Hand) -> AsyncGenerator[bytes]:
    """Yield what is written of everything; raises what goes wrong on the way, when the answer has long begun."""
    if hand.head:
        yield hand.head
    async for piece in _steps(request, begun, hand):
        for part in _parts(piece):
            yield part
    # Only here: what broke off has no end.
    if hand.end is not None:
        for part in _parts(await hand.end()):
            yield part


def _parts(piece: bytes) -> Iterator[bytes]:
    for start in range(0, len(piece), PIECE_BYTES_MAX):
        yield piece[start : start + PIECE_BYTES_MAX]


async def _steps(request: AnyRequest, begun: _Walked, hand: Hand) -> AsyncGenerator[bytes]:
    index = requests.engines(request).index
    question, walk, ids = begun.question, begun.walk, begun.ids
    while ids:
        async for few in _few(requests.engines(request), ids, hand):
            # Anew for every few objects: roles that were taken meanwhile, and tokens, count no more.
            caller = await requests.caller(request)
            async for piece in hand.step(request, caller, few):
                yield piece
        if len(ids) < walk.size:
            return
        walk = replace(walk, after=ids[-1], size=IDS_AT_ONCE)
        caller = await requests.caller(request)
        ids = await index.ids(query.walk_body_of(question, caller.audience, walk))


async def _few(engines: Engines, ids: Sequence[UUID], hand: Hand) -> AsyncGenerator[Sequence[UUID]]:
    """Yield so many of these objects, in their order, as memory may hold at once."""
    for start in range(0, len(ids), OBJECTS_AT_ONCE):
        several = ids[start : start + OBJECTS_AT_ONCE]
        if not hand.whole:
            yield several
            continue
        sizes = await reading.record_sizes(engines.database, several)
        few: list[UUID] = []
        taken = 0
        for one in several:
            size = sizes.get(one, 0)
            if few and taken + size > RECORD_BYTES_AT_ONCE:
                yield few
                few, taken = [], 0
            few.append(one)
            taken += size
        yield few


class _Whole(Stream):
    """A stream that tells when it has ended, however it did, and that is broken off where something went wrong."""

    def __init__(self, pieces: AsyncGenerator[bytes], ended: Callable[[], None], **options: Any) -> None:
        super().__init__(pieces, **options)
        self._pieces = pieces
        self._ended = ended

    def to_asgi_response(self, *args: Any, **options: Any) -> Any:
        """Return what sends the answer (ASGI 3)."""
        return _ended_after(super().to_asgi_response(*args, **options), self._pieces, self._ended)


def _ended_after(
    send_all: Callable[[Scope, Receive, Send], Awaitable[None]],
    pieces: AsyncGenerator[bytes],
    ended: Callable[[], None],
) -> ASGIApp:
    async def sending(scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: Message) -> None:
            try:
                with anyio.fail_after(PIECE_SECONDS_MAX):
                    await send(message)
            except TimeoutError:
                raise NotTaken(f"Nothing was taken for {PIECE_SECONDS_MAX:g} s.") from None

        try:
            await send_all(scope, receive, in_time)
        except* CatalogError as faults:
            # Left without its end, the answer shows that it is not whole: the server closes the connection.
            reasons = [fault.detail for fault in faults.exceptions if isinstance(fault, CatalogError)]
            log.warning("export broken off", request_id=problems.request_id.get(), reasons=reasons)
        finally:
            # Also when the client has hung up, even before the first piece.
            await pieces.aclose()
            ended()

    return sending


async def exported(request: AnyRequest, asked: ExportQuery | ExportBody) -> Response[Any]:
    """Return everything that answers the question, in the form that is asked for."""
    engines = requests.engines(request)
    question = await questions.read(engines, asked)
    caller = await requests.caller(request)
    writing = FORMS[asked.form]
    under_way: Exports = request.app.state.exports
    known = caller.id is not None
    whose: Hashable = caller.id if known else limits.asking_from(request.scope)
    under_way.begin(whose, known=known)
    try:
        begun = await _begun(engines, asked, question, caller)
    except BaseException:
        under_way.end(whose, known=known)
        raise
    if requests.HEAD in request.scope:
        # The head is whole; what would be written is nobody's to read.
        begun = replace(begun, ids=[])
    pieces = _pieces(request, begun, writing.hand())
    return _Whole(
        pieces,
        lambda: under_way.end(whose, known=known),
        media_type=writing.media_type,
        status_code=200,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="catalog-export.{writing.ending}"',
            **(
                {LINK_SECONDS: f"{request.app.state.settings.link_lifetime.total_seconds():.0f}"}
                if writing.signs
                else {}
            ),
        },
    )


def _promise(**differs: Any) -> Operation:
    return Operation(
        summary="Export everything that a search finds",
        description=(
            "As one stream of any length: objects as JSON, one on a line; a table as CSV or Parquet; BibTeX; or signed "
            "links to their files, for programs that download. In the order of ids; "
            "each object that answers the question throughout comes once, whatever is written meanwhile, with the "
            "rights of the moment. An answer that breaks off is not whole: go on with `after`. At most "
            f"{AT_ONCE_PER_CALLER} at once for each caller; one of which nothing is taken for {PIECE_SECONDS_MAX:g} s "
            "is broken off."
        ),
        tag="search",
        answers={
            200: Answer(
                "Everything that was found.",
                shapes.ShownObject,
                NDJSON,
                headers={
                    "Content-Disposition": "A file name.",
                    "Cache-Control": "no-store",
                    LINK_SECONDS: "How long each link works, from when it was written, if there are any.",
                },
                also=tuple(
                    dict.fromkeys(
                        one.media_type.partition(";")[0] for one in FORMS.values() if one.media_type != NDJSON
                    )
                ),
            )
        },
        **differs,
    )


@operation("GET", "/api/search/export", _promise(id="export_search", query=ExportQuery))
async def export_search(request: AnyRequest) -> Response[Any]:
    """Export by query parameters."""
    return await exported(request, requests.query(request, ExportQuery))


@operation(
    "POST",
    "/api/search/export",
    _promise(id="export_search_by_body", body=Body(ExportBody), problems=(413, 415), scope=TokenScope.READ),
)
async def export_search_by_body(request: AnyRequest) -> Response[Any]:
    """Export by a JSON body."""
    asked = await requests.sent(request, ExportBody, most_bytes=questions.BODY_BYTES_MAX)
    return await exported(request, asked)


ROUTES: list[HTTPRouteHandler] = [export_search, export_search_by_body]
