"""The demo's steps in their order. Each says what it did and when; a failure names the log to read."""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio
import httpx2

from catalog.access import principals
from catalog.access.audience import Role
from catalog.client import Catalog, Problem, folders
from catalog.client.folders import Piece
from catalog.client.shapes import Hit, Registered
from catalog.client.transfer import at_once
from catalog.database import Database
from catalog.demo import collection, data
from catalog.demo.collection import Specimen
from catalog.demo.telling import Teller, blaming, hits_table, show, tokens_table
from catalog.errors import CatalogError, Unavailable
from catalog.local import Stack
from catalog.local.home import write_private
from catalog.settings import Workstation

AVAILABLE_SECONDS_MAX = 60.0
SEARCHABLE_SECONDS_MAX = 60.0
POLL_SECONDS = 0.1
HASHED = "palmer-penguins"
PRIVATE_WORD = "Balsthal"

Result = TypeVar("Result")
Gathered = list[tuple[Specimen, list[Piece]]]


class DemoFailed(Unavailable):
    """The demo did not reach its end."""


class Story:
    """One run of the demo."""

    def __init__(self, home: Path | None, store: Literal["seaweedfs", "minio"] | None, over: asyncio.Event) -> None:
        self.told = False
        self._over = over
        self._say = Teller()
        self._stack = Stack(home, store=store, with_catalog=True, say=self._say)
        self._logs = self._stack.home.logs
        self._tokens: dict[str, str] = {}
        self._log_bytes_before = 0
        self._sent = 0

    async def tell(self, *, oneshot: bool) -> None:
        """Go through all steps; then stay up until `over`, unless it is one shot."""
        async with AsyncExitStack() as running:
            packages = await running.enter_async_context(AsyncExitStack())
            gathering = asyncio.create_task(self._gather(packages), name="gather")
            running.push_async_callback(_given_up, gathering)
            self._say(f"starting engines, API and indexer in {self._stack.home.folder}")
            self._log_bytes_before = _bytes_of(self._logs / "api.log")
            running.push_async_callback(self._stopped)
            starting = asyncio.create_task(running.enter_async_context(self._stack), name="start")
            running.push_async_callback(_given_up, starting)
            # Without data there is nothing to show: whoever waits for the engines is told at once.
            await asyncio.wait({starting, gathering}, return_when=asyncio.FIRST_COMPLETED)
            if gathering.done():
                gathering.result()
            await starting
            self._say(f"the catalog answers at {self._stack.api_address}")
            await self._make_tokens()
            gathered = await gathering
            ids = await self._register(gathered)
            await self._await_bytes(ids)
            await self._await_search(ids)
            await self._show_results(gathered)
            await self._look_at_pages(ids)
            if oneshot:
                self._say("everything was shown; stopping")
                return
            self.told = True
            self._invite()
            await self._over.wait()
            self._say("stopping; the data stays for the next time")

    async def _stopped(self) -> None:
        self._say("everything has stopped")

    async def _gather(self, held: AsyncExitStack) -> Gathered:
        """Fetch the packages and hash every file that will be registered."""
        log = self._logs / "downloads.log"
        packages = await held.enter_async_context(data.packages(Workstation().cache / "demo", log, self._say))
        found = await _in_thread(
            lambda: [(one, folders.read_through(one.pieces(packages))) for one in collection.specimens()]
        )
        pieces = [piece for _, some in found for piece in some]
        self._say(f"{len(pieces)} real files are at hand, {sum(piece.size for piece in pieces):,} bytes")
        return found

    async def _make_tokens(self) -> None:
        database = Database(self._stack.environment()["CATALOG_DATABASE_URL"], connections=1)
        try:
            self._tokens = await _tokens(database, self._stack.home.folder / "demo-tokens.json")
        finally:
            await database.close()
        show("\nTokens, made for this data folder:")
        tokens_table(self._tokens)
        show()

    async def _register(self, gathered: Gathered) -> dict[str, str]:
        """Register every object and bring its bytes; return the ids by name."""
        ids: dict[str, str] = {}
        sent: list[int] = []
        began = time.monotonic()

        def register(one: tuple[Specimen, list[Piece]], _stop: threading.Event) -> Registered:
            specimen, pieces = one
            with self._catalog(specimen.by) as catalog:
                draft = specimen.described(ids) | {"files": [piece.declaration() for piece in pieces]}
                registered = catalog.register(draft, idempotency_key=folders.key_of(draft))
                sent.append(len(folders.bring(catalog, registered, pieces)))
                return registered

        alone = [one for one in gathered if not one[0].members()]
        with blaming(self._logs / "api.log"):
            for some in (alone, [one for one in gathered if one[0].members()]):
                outcomes = await _in_thread(partial(at_once, register, some))
                for (specimen, _), outcome in zip(some, outcomes, strict=True):
                    if isinstance(outcome, CatalogError):
                        outcome.detail = f"{specimen.name}: {outcome.detail}"
                        raise outcome
                    ids[specimen.name] = outcome["id"]
        self._sent = sum(sent)
        took = time.monotonic() - began
        self._say(f"{len(ids)} objects are registered and {self._sent} files uploaded, in {took:.1f} s")
        return ids

    async def _await_bytes(self, ids: Mapping[str, str]) -> None:
        before = time.monotonic()
        with blaming(self._logs / "indexer.log"), self._catalog("admin") as catalog:
            for object_id in ids.values():
                left = max(0.0, AVAILABLE_SECONDS_MAX - (time.monotonic() - before))
                await _in_thread(partial(catalog.wait_until_available, object_id, left))
        if self._sent:
            noticed = _notifications(self._logs / "api.log", self._log_bytes_before)
            self._say(f"all files became available by the bucket's own word: {noticed} notifications, no call to look")
        else:
            self._say("all files are available, as the last run left them")

    async def _await_search(self, ids: Mapping[str, str]) -> None:
        wanted = set(ids.values())
        with blaming(self._logs / "indexer.log"), self._catalog("admin") as catalog:

            async def is_found() -> bool:
                return wanted <= {hit["id"] for hit in await _in_thread(lambda: list(catalog.hits()))}

            await _until(
                SEARCHABLE_SECONDS_MAX, is_found, f"not all of the {len(wanted)} objects are found by a search"
            )
        self._say(f"all {len(wanted)} objects are found by a search")

    async def _show_results(self, gathered: Gathered) -> None:
        with self._catalog() as anonymous, self._catalog("ingest") as owner:
            hits = await _in_thread(lambda: list(anonymous.hits()))
            piece = next(pieces[0] for specimen, pieces in gathered if specimen.name == HASHED)
            show(f"\nWhat anybody finds ({len(hits)} objects). Each file has a signed link, as {piece.path} shows:")
            hits_table(hits, piece.sha256)
            show()
            await self._download(hits, piece)
            public, own = [(await _in_thread(partial(one.search, PRIVATE_WORD)))["total"] for one in (anonymous, owner)]
        if (public, own) != (0, 1):
            raise DemoFailed(f"A private object was found {public} times by anybody and {own} times by its owner.")
        self._say(f"a search for {PRIVATE_WORD!r} finds the private object for its owner, and nothing for others")

    async def _download(self, hits: Sequence[Hit], piece: Piece) -> None:
        """Fetch a file through its signed link alone, as somebody would who was sent the link."""
        link = next(
            file["link"]["href"]
            for hit in hits
            for file in hit["files"]
            if file["sha256"] == piece.sha256 and file["link"]
        )
        async with httpx2.AsyncClient(trust_env=False) as client:
            response = await client.get(link)
        found = hashlib.sha256(response.content).hexdigest()
        if found != piece.sha256:
            raise DemoFailed(
                f"The link to {piece.path} answered {response.status_code} with other bytes than expected."
            )
        self._say(f"{piece.path} came through its link: {len(response.content):,} bytes with SHA-256 {found}")

    async def _look_at_pages(self, ids: Mapping[str, str]) -> None:
        async with httpx2.AsyncClient(base_url=self._stack.api_address, trust_env=False) as client:
            for path in ("/?q=penguins", f"/objects/{ids[HASHED]}"):
                answer = await client.get(path)
                if not answer.is_success or ids[HASHED] not in answer.text:
                    raise DemoFailed(f"The page {path} answered {answer.status_code} without the penguins.")
        self._say("the pages show it all, without a script")

    def _invite(self) -> None:
        folder = self._stack.home.folder
        show(f"The catalog is at {self._stack.api_address}/ until you press Ctrl-C. In another terminal:\n")
        show(f"  export CATALOG_URL={self._stack.api_address}")
        show("  .venv/bin/catalog search penguins")
        show(f"\nThe tokens above are in {folder / 'demo-tokens.json'}, the logs in {self._logs}.")

    def _catalog(self, role: str | None = None) -> Catalog:
        return Catalog(self._stack.api_address, self._tokens[role] if role else None)


async def _tokens(database: Database, remembered: Path) -> dict[str, str]:
    """Return a token for each role: those of the last time where they still work."""
    known = _remembered(remembered)
    tokens = {}
    for role in Role:
        try:
            await principals.identify(database, known.get(role.value, ""))
            tokens[role.value] = known[role.value]
        except CatalogError:
            async with database.transaction() as session:
                _, tokens[role.value] = await principals.create_token(session, name=role.value, role=role, label="demo")
    write_private(remembered, json.dumps(tokens, indent=2))
    return tokens


def _remembered(tokens: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(tokens.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _bytes_of(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _notifications(log: Path, begin_bytes: int) -> int:
    """Return how many notifications the API has accepted, by what it has logged from there on."""
    accepted = 0
    with log.open("rb") as lines:
        # A log that was put away meanwhile begins anew.
        lines.seek(begin_bytes if begin_bytes <= _bytes_of(log) else 0)
        for line in lines:
            if b"/api/notifications/" in line:
                said = json.loads(line)
                accepted += said["event"] == "request" and said["status"] < 300  # ruff: ignore[PLR2004]
    return accepted


async def _until(seconds: float, is_so: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if await is_so():
                return
        except (httpx2.HTTPError, Problem) as fault:
            if isinstance(fault, Problem) and fault.status not in {404, 503}:
                raise
        await asyncio.sleep(POLL_SECONDS)
    raise DemoFailed(f"After {seconds:.0f} s {otherwise}.")


async def _in_thread(work: Callable[[], Result]) -> Result:
    # Left behind when the demo is interrupted: what it waits for is about to stop answering anyway.
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


async def _given_up(task: asyncio.Task[Any]) -> None:
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
