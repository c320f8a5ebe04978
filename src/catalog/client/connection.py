"""The two wires: connections to one catalog, and to its store, which never sees the token.

`wire` says what to send next; `Blocking` and `Awaiting` add how one sends and waits, and nothing else.
"""

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx2

from catalog.client.calls import Call, Listing, Pause, Steps, Stream, pause_before_more
from catalog.client.patience import Patience
from catalog.client.problems import Closed, Problem, Unreachable
from catalog.client.wire import AGENT, CONNECTIONS_MAX, WRITTEN, Wire

# A store may think for a while at the end of a large PUT.
STORE_ANSWER_SECONDS_MAX = 300.0

R = TypeVar("R")

_END = object()


class Blocking(Wire):
    """Sends, and waits for the answer."""

    def __init__(self, url: str, token: str | None, **timing: float) -> None:
        super().__init__(url, token, **timing)
        self._catalog = httpx2.Client(**self.for_catalog(token))
        self.store = httpx2.Client(
            # Sizes and hashes are of the bytes as stored.
            headers=AGENT | {"accept-encoding": "identity"},
            timeout=httpx2.Timeout(STORE_ANSWER_SECONDS_MAX, connect=self.connect_seconds),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
        )

    def close(self) -> None:
        """Close the connections."""
        self.closed = True
        self._catalog.close()
        self.store.close()

    def run(self, told: Call[R] | Steps[R]) -> R:
        """Return what was asked for; raises Problem, Unreachable, NotACatalog, Closed."""
        steps = self.steps(told)
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as over:
                return cast("R", over.value)
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                answer = None
                continue
            try:
                answer = self._catalog.request(**step)
            except httpx2.TransportError as fault:
                answer = fault

    def walk(self, listing: Listing[R]) -> Iterator[R]:
        """Yield what all pages have, asking for the next one as it is wanted."""
        cursor: str | None = None
        while True:
            page = self.run(listing.call(cursor))
            yield from listing.read(page)
            cursor = page["cursor"]
            if cursor is None:
                return

    def stream(self, stream: Stream[R]) -> Iterator[R]:
        """Yield what a stream tells, and go on with it where the line breaks."""
        patience = Patience(self.patience_seconds)
        while True:
            try:
                with self.opened(stream.call()) as response:
                    for piece in response.iter_bytes() if stream.raw else response.iter_lines():
                        yield from stream.feed(piece)
                        patience.renew()
            except (Problem, Unreachable) as fault:
                failed = fault
            else:
                return
            time.sleep(pause_before_more(stream, failed, patience))

    @contextmanager
    def opened(self, call: Call[Any]) -> Iterator[httpx2.Response]:
        """Send a request once and yield the answer while it comes; raises Problem for a refusal, Unreachable."""
        self.must_be_open()
        try:
            with self._catalog.stream(**self.sending(call)) as response:
                if not response.is_success:
                    response.read()
                    raise Problem.of(response)
                self.written = response.headers.get(WRITTEN, self.written)
                yield response
        except httpx2.TransportError as fault:
            raise self.broken_off(fault) from None

    def apart(self, work: Callable[..., R], room: Any, args: Any, named: Any) -> R:
        """Do work that waits for disks: here and now."""
        self.must_be_open()
        return work(room, *args, **named)

    def each_apart(self, work: Callable[..., Iterator[R]], room: Any, args: Any, named: Any) -> Iterator[R]:
        """Yield what such work yields."""
        self.must_be_open()
        return work(room, *args, **named)


class Awaiting(Wire):
    """Sends, and lets others run until the answer comes; on asyncio.

    Bytes between disk and store go over a blocking wire in threads of their own: disks block whoever waits for them.
    """

    def __init__(self, url: str, token: str | None, **timing: float) -> None:
        super().__init__(url, token, **timing)
        self._catalog = httpx2.AsyncClient(**self.for_catalog(token))
        self._blocking: Callable[[], Any] = partial(_nobody, self)
        self._twin: Any = None

    def bring_blocking(self, make: Callable[[], Any]) -> None:
        """Say how the room over a blocking wire is made that threads use."""
        self._blocking = make

    def _room(self) -> Any:
        self.must_be_open()
        if self._twin is None:
            self._twin = self._blocking()
        return self._twin

    async def close(self) -> None:
        """Close the connections."""
        self.closed = True
        await self._catalog.aclose()
        if self._twin is not None:
            self._twin.close()

    async def run(self, told: Call[R] | Steps[R]) -> R:
        """Return what was asked for; raises Problem, Unreachable, NotACatalog, Closed."""
        steps = self.steps(told)
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as over:
                return cast("R", over.value)
            if isinstance(step, Pause):
                await anyio.sleep(step.seconds)
                answer = None
                continue
            try:
                answer = await self._catalog.request(**step)
            except httpx2.TransportError as fault:
                answer = fault

    async def walk(self, listing: Listing[R]) -> AsyncIterator[R]:
        """Yield what all pages have, asking for the next one as it is wanted."""
        cursor: str | None = None
        while True:
            page = await self.run(listing.call(cursor))
            for item in listing.read(page):
                yield item
            cursor = page["cursor"]
            if cursor is None:
                return

    async def stream(self, stream: Stream[R]) -> AsyncIterator[R]:
        """Yield what a stream tells, and go on with it where the line breaks."""
        patience = Patience(self.patience_seconds)
        while True:
            self.must_be_open()
            try:
                async with self._catalog.stream(**self.sending(stream.call())) as response:
                    if not response.is_success:
                        await response.aread()
                        raise Problem.of(response)
                    async for piece in response.aiter_bytes() if stream.raw else response.aiter_lines():
                        for told in stream.feed(piece):
                            yield told
                        patience.renew()
            except httpx2.TransportError as fault:
                failed: Problem | Unreachable = self.broken_off(fault)
            except Problem as fault:
                failed = fault
            else:
                return
            await anyio.sleep(pause_before_more(stream, failed, patience))

    async def apart(self, work: Callable[..., R], _: Any, args: Any, named: Any) -> R:
        """Do work that waits for disks in a thread; cancelled, it stops at its next piece, and then this ends."""
        room = self._room()
        stop: threading.Event = named.setdefault("stop", None) or threading.Event()
        named["stop"] = stop
        outcome = await _in_thread(partial(work, room, *args, **named), stop)
        self.written = room.written or self.written
        return outcome

    async def each_apart(self, work: Callable[..., Iterator[R]], _: Any, args: Any, named: Any) -> AsyncIterator[R]:
        """Yield what such work yields, each taken in a thread."""
        stop: threading.Event = named.setdefault("stop", None) or threading.Event()
        named["stop"] = stop
        each = work(self._room(), *args, **named)
        while (one := await _in_thread(partial(next, each, _END), stop)) is not _END:
            yield cast("R", one)


def _nobody(wire: Awaiting) -> Any:
    raise Closed(f"{wire} has no room for threads.")


async def _in_thread(work: Callable[[], R], stop: threading.Event) -> R:
    """Return what work in a thread returns; cancelled, tell it to stop and wait until it has."""
    done: list[R] = []
    failed: list[BaseException] = []
    over = threading.Event()

    async def tell_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            if not over.is_set():
                stop.set()

    def kept() -> None:
        try:
            done.append(work())
        except BaseException as fault:  # ruff: ignore[BLE001] - raised again where it is awaited.
            failed.append(fault)
        finally:
            over.set()

    async with anyio.create_task_group() as group:
        group.start_soon(tell_when_cancelled)
        try:
            await anyio.to_thread.run_sync(kept)
        except BaseException:
            # Cancelled in asyncio's own way, which leaves threads alone: nothing goes on behind our back.
            stop.set()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(over.wait)
            raise
        group.cancel_scope.cancel()
    await anyio.lowlevel.checkpoint_if_cancelled()
    if failed:
        raise failed[0]
    return done[0]
