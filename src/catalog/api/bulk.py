"""`POST /api/bulk/objects`: many registrations in one request, one line each, one line of answer for each.

The answer begins when the whole request has come: most clients write first and read afterwards, and would wait for us
while we wait for them. Meanwhile results lie in a temporary file; memory holds a few batches, whatever the size.
"""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import IO, Any, Literal
from uuid import UUID

import msgspec
import psycopg
import pydantic_core
import sqlalchemy as sa
import structlog
from litestar import Response
from litestar.exceptions import InternalServerException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from catalog.access.principals import Caller
from catalog.api import problems, requests, shapes, written
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import BODY_BYTES_MAX, IDEMPOTENCY_KEY, AnyRequest
from catalog.errors import CatalogError, Fault, Invalid, Unsupported
from catalog.objects import awaited, bulk, sent_json, validation
from catalog.objects.bulk import Fate, Misrow, Outcome, Row
from catalog.objects.remembering import Remember

log = structlog.get_logger("catalog.bulk")

NDJSON = "application/x-ndjson"
LINE_BYTES_MAX = BODY_BYTES_MAX
# What one transaction takes: enough to make statements cheap, and few enough that others never wait long for the locks.
BATCH_ROWS = 500
BATCH_BYTES = 4 * 1024 * 1024
# Rows whose shape is wrong and whose terms are looked up together.
MISSHAPEN_ROWS = 100
# Between two looks at what else the process has to do; a row takes about a tenth of a millisecond.
ROWS_AT_ONCE = 20
RESULTS_IN_MEMORY_BYTES = 1024 * 1024
# Two loads of the same names at once: the second finds them there when it tries again.
ATTEMPTS_MAX = 5

MEANWHILE = (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
AWAY = (
    *(psycopg.OperationalError, psycopg.InterfaceError),
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError),
)


OURS = "something unexpected happened with this row; it is logged under the request id"


class RowFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with a row: where (a JSON pointer), what, and how to mend it."""

    pointer: str
    message: str
    suggestion: str | None = None


class BulkResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the row on one line; `errors` where it failed. Rows are answered in any order."""

    line: int
    status: Literal["created", "changed", "unchanged", "failed"]
    id: UUID | None = None
    revision: int | None = None
    errors: list[RowFault] = []


_encode = msgspec.json.Encoder().encode


class _Sent:
    """A line as it was sent, with its number, counted from 1."""

    __slots__ = ("number", "text")

    def __init__(self, number: int, text: bytes) -> None:
        self.number = number
        self.text = text


async def _lines(request: AnyRequest) -> AsyncIterator[_Sent]:
    """Yield the lines of the body; one that is too long comes without text. Empty lines count and do not come."""
    number, rest, passing_over = 0, b"", False
    async for chunk in request.stream():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            if passing_over or len(line) > LINE_BYTES_MAX:
                passing_over = False
                yield _Sent(number, b"")
            elif not line.isspace() and line:
                yield _Sent(number, line)
        if len(rest) > LINE_BYTES_MAX:
            rest, passing_over = b"", True
    if passing_over or len(rest) > LINE_BYTES_MAX:
        yield _Sent(number + 1, b"")
    elif rest and not rest.isspace():
        yield _Sent(number + 1, rest)


def _row(sent: _Sent, prefix: str) -> Row:
    """Read a row; raises Invalid with every fault."""
    if not sent.text:
        raise Invalid(faults=[Fault("", f"a line has at most {LINE_BYTES_MAX:,} bytes")])
    text, remember = sent.text, None
    if b'"idempotency_key"' in text:
        text, remember = _without_key(text)
    return Row(sent.number, validation.draft_from(text, prefix=prefix), remember)


def _without_key(text: bytes) -> tuple[bytes, Remember | None]:
    raw = sent_json.value_of(text)
    # Written anew, it would have lost what stands in it twice.
    if sent_json.may_repeat(text) and sent_json.repeated(text):
        return text, None
    if not isinstance(raw, dict) or "idempotency_key" not in raw:
        return text, None
    key = raw.pop("idempotency_key")
    if not isinstance(key, str) or not IDEMPOTENCY_KEY.fullmatch(key):
        raise Invalid(faults=[Fault("/idempotency_key", "1 to 200 visible ASCII characters")])
    return pydantic_core.to_json(raw), Remember(key, hashlib.sha256(b"POST /api/bulk/objects\n" + text).digest())


class _Waiting:
    """Rows that name objects which may yet come, in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self.count = 0

    def add(self, sent: _Sent) -> None:
        """Keep a row for later."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # ruff: ignore[SIM115] - closed when the last row has been read.
        self._file.write(f"{sent.number}\t".encode() + sent.text + b"\n")
        self.count += 1

    async def rows(self) -> AsyncIterator[_Sent]:
        """Yield the rows, once."""
        if self._file is None:
            return
        self._file.seek(0)
        with self._file:
            for line in self._file:
                number, _, text = line.rstrip(b"\n").partition(b"\t")
                yield _Sent(int(number), text)


class _Loading:
    """One bulk registration on its way: what comes is read, recorded batch by batch, and told."""

    def __init__(self, request: AnyRequest, told: IO[bytes]) -> None:
        self._request = request
        self._engines = requests.engines(request)
        self._told = told
        self._given_up: str | None = None

    async def run(self) -> None:
        """Read the request to its end; then try what waits for objects again, as long as that helps."""
        waiting = await self._pass(_lines(self._request))
        while waiting.count:
            again = await self._pass(waiting.rows())
            if again.count == waiting.count:
                await self._pass(again.rows(), last=True)
                return
            waiting = again

    async def _pass(self, lines: AsyncIterator[_Sent], *, last: bool = False) -> _Waiting:
        waiting = _Waiting()
        recording: asyncio.Task[None] | None = None
        sent: dict[int, _Sent] = {}
        rows: list[Row] = []
        misshapen: list[Misrow] = []
        size = 0
        try:
            async for one in lines:
                try:
                    rows.append(_row(one, self._engines.placement.prefix))
                except validation.Misshapen as fault:
                    misshapen.append(Misrow(one.number, fault))
                    if len(misshapen) >= MISSHAPEN_ROWS:
                        await self._tell_misshapen(misshapen)
                        misshapen = []
                    continue
                except Invalid as fault:
                    self._tell(Outcome(one.number, Fate.FAILED, faults=fault.faults))
                    continue
                except Exception:
                    log.exception("bulk row not read", request_id=problems.request_id.get(), line=one.number)
                    self._tell(Outcome(one.number, Fate.FAILED, faults=[Fault("", OURS)]))
                    continue
                sent[one.number] = one
                size += len(one.text)
                if len(rows) % ROWS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if len(rows) >= BATCH_ROWS or size >= BATCH_BYTES:
                    # The next batch is read while this one is recorded.
                    if recording is not None:
                        await recording
                    recording = asyncio.create_task(self._record(rows, sent, None if last else waiting))
                    rows, sent, size = [], {}, 0
        finally:
            # Also when the client has hung up: what was begun is finished.
            if recording is not None:
                await recording
        await self._record(rows, sent, None if last else waiting)
        await self._tell_misshapen(misshapen)
        return waiting

    async def _record(self, rows: list[Row], sent: dict[int, _Sent], waiting: _Waiting | None) -> None:
        for outcome in await self._loaded(rows) if rows else ():
            if outcome.fate is Fate.WAITING and waiting is not None:
                waiting.add(sent[outcome.line])
            else:
                self._tell(outcome)

    async def _loaded(self, rows: list[Row]) -> Sequence[Outcome]:
        if self._given_up:
            return _failed(rows, self._given_up)
        try:
            for _ in range(ATTEMPTS_MAX):
                # Anew for every batch: a token that was revoked meanwhile registers nothing more.
                caller = await requests.caller(self._request)
                try:
                    async with self._engines.database.transaction() as session:
                        return await bulk.load(session, rows, caller=caller)
                except (psycopg.Error, sa.exc.DBAPIError) as fault:
                    if not isinstance(getattr(fault, "orig", fault), MEANWHILE):
                        raise
            return _failed(rows, "others register objects of the same names or keys; send the row again")
        except CatalogError as fault:
            self._given_up = f"not tried: {fault.detail}"
        except AWAY as fault:
            log.warning("bulk registration given up", reason=type(fault).__name__)
            self._given_up = "the database does not answer; send the row again"
        except Exception:
            if len(rows) == 1:
                log.exception("bulk row not recorded", request_id=problems.request_id.get(), line=rows[0].line)
                return _failed(rows, OURS)
            # Nothing of the batch was recorded. By halves the row comes out that does it, and its neighbours stay.
            half = len(rows) // 2
            return [*await self._loaded(rows[:half]), *await self._loaded(rows[half:])]
        return _failed(rows, self._given_up)

    async def _tell_misshapen(self, rows: list[Misrow]) -> None:
        """Tell of these rows what is wrong with their shape, and with what they name as far as that can be asked."""
        faults: list[list[Fault]] = [[] for _ in rows]
        if rows and not self._given_up:
            try:
                caller = await requests.caller(self._request)
                async with self._engines.database.transaction() as session:
                    faults = await bulk.faults_of(session, rows, caller=caller)
            except CatalogError as fault:
                self._given_up = f"not tried: {fault.detail}"
            except (*AWAY, psycopg.Error, sa.exc.DBAPIError) as fault:
                # What is known already is told all the same.
                log.warning("terms of misshapen rows not looked up", reason=type(fault).__name__)
        for row, more in zip(rows, faults, strict=True):
            self._tell(Outcome(row.line, Fate.FAILED, faults=row.wrong.with_more(more).faults))

    def _tell(self, outcome: Outcome) -> None:
        faults = [RowFault(fault.pointer, fault.message, fault.suggestion) for fault in outcome.faults]
        # Who still waits when all has been tried waits for nothing.
        fate = Fate.FAILED if outcome.fate is Fate.WAITING else outcome.fate
        result = BulkResult(outcome.line, fate.value, outcome.id, outcome.revision, faults)  # type: ignore[arg-type]  # As above.
        self._told.write(_encode(result) + b"\n")


def _failed(rows: Sequence[Row], why: str) -> list[Outcome]:
    return [Outcome(row.line, Fate.FAILED, faults=[Fault("", why)]) for row in rows]


ROW: dict[str, Any] = {
    "type": "string",
    "description": (
        "One registration a line, as POST /api/objects takes it, and perhaps an `idempotency_key`. A registration with "
        "a `name` creates the object or brings it to what the row says; one with a key makes its object once."
    ),
}


@operation(
    "POST",
    "/api/bulk/objects",
    Operation(
        id="register_objects",
        summary="Register many objects",
        description=(
            "NDJSON in, one line of NDJSON out for each row, in any order. Every row stands for itself: one that fails "
            "tells why and hinders no other. Rows may name objects that come after them by `kind/name`. Ask for upload "
            "tickets by POST /api/uploads."
        ),
        tag="objects",
        token=True,
        body=Body(ROW, NDJSON, example=None),
        answers={200: Answer("What became of each row.", BulkResult, NDJSON, headers=written.TOLD)},
        problems=(403, 415),
    ),
)
async def register_objects(request: AnyRequest) -> Response[Any]:
    """Register the rows of a body of any length."""
    caller = await requests.caller(request)
    caller.must_register()
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != NDJSON:
        raise Unsupported(f"Send the rows as Content-Type: {NDJSON}, not {sent[:80] or 'without one'}.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unsupported("Send the rows without Content-Encoding.")
    told = tempfile.SpooledTemporaryFile(RESULTS_IN_MEMORY_BYTES)  # ruff: ignore[SIM115] - closed when it was sent.
    try:
        await _Loading(request, told).run()
    except InternalServerException:
        # What Litestar calls its own fault here is the client's: it hung up. What was recorded stays recorded.
        told.close()
        raise Invalid("The connection was closed before the whole body had come.") from None
    told.seek(0)
    headers = {"Cache-Control": "no-store", **await _token(request, caller)}
    return Stream(shapes.blocks(told), media_type=NDJSON, status_code=200, headers=headers)


async def _token(request: AnyRequest, caller: Caller) -> dict[str, str]:
    """Return the header with the token of all rows together; nothing when the database has gone meanwhile."""
    try:
        async with requests.engines(request).database.transaction() as session:
            moment = await awaited.moment(session)
    except AWAY:
        return {}
    return written.token_until(request, caller, moment)


ROUTES: list[HTTPRouteHandler] = [register_objects]
