"""Asking two catalogs the same: one with everything, and one with what the caller of each world may see."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2
import sqlalchemy as sa

from catalog.api.app import Outermost, litestar
from catalog.database import Database
from catalog.settings import Settings
from catalog.web import pages
from tests.interference.questions import QUESTIONS, Ask
from tests.interference.world import Rows, World, write

PAGES_FOLLOWED = 3
# Names of the moment (RDF 1.1, section 3.4).
BLANK = re.compile(r"_:\w+")
# Which of them ends a line depends on the order of the statements.
PUNCTUATION = re.compile(r"[][;,.]")

# When a link of an export was signed, and until when it works, as each form has it.
SIGNED = re.compile(r"X-Amz-(?:Date|Signature)=\w+|(?<=\"expires_at\":\")[^\"]+|(?<=# until ).+")

# The statements of the request at hand, in its order.
_asked: ContextVar[list[str] | None] = ContextVar("asked", default=None)


@dataclass(frozen=True)
class Told:
    """Everything that an answer tells, but for what is of this moment; `statements` where it is a refusal."""

    status: int
    headers: dict[str, str]
    text: str
    statements: list[str]


@dataclass(frozen=True)
class Leak:
    """A question to which both catalogs answer otherwise."""

    kind: str
    world: int
    asked: Ask
    with_all: list[Told]
    without: list[Told]


@dataclass
class Both:
    """A catalog with everything, one with what each caller may see, and the worlds that both hold."""

    full: httpx2.AsyncClient
    visible: httpx2.AsyncClient
    worlds: list[World]


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application with its pages here, and take down what it asks the database."""
    inner = litestar(settings, pages.ROUTES)
    app: Any = Outermost(inner, doi_prefix=settings.doi_prefix)
    transport = httpx2.ASGITransport(app)
    async with inner.lifespan(), httpx2.AsyncClient(transport=transport, base_url="http://catalog") as client:
        sa.event.listen(inner.state.engines.database.engine.sync_engine, "before_cursor_execute", _take_down)
        yield client


def _take_down(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    taken = _asked.get()
    if taken is not None:
        taken.append(statement)


async def fill(settings: Settings, worlds: Sequence[Rows]) -> None:
    """Write the rows of many worlds into the database."""
    database = Database(str(settings.database_url), connections=2)
    async with database.transaction() as session:
        await write(session, worlds)
    await database.close()


@dataclass(frozen=True)
class Filled:
    """Settings of the two catalogs, and the worlds that lie in both."""

    full: Settings
    visible: Settings
    worlds: list[World]

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Both]:
        """Serve both here, for the length of the block."""
        async with serving(self.full) as full, serving(self.visible) as visible:
            yield Both(full, visible, self.worlds)


async def told(client: httpx2.AsyncClient, asked: Ask, token: str | None) -> tuple[Told, str | None]:
    """Return what is answered, and the cursor to what follows."""
    headers = {**asked.headers, "x-request-id": "the-same"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    statements: list[str] = []
    _asked.set(statements)
    answer = await client.request(asked.method, asked.path, json=asked.json, headers=headers)
    # Two catalogs that fail alike tell nothing.
    assert answer.status_code < 500, (asked, answer.text)
    text = answer.text
    cursor = None
    if text.startswith("{") and '"cursor":"' in text:
        cursor = answer.json()["cursor"]
    if asked.path.startswith(("/api/search/export", "/api/jobs/")):
        text = SIGNED.sub("", answer.content.decode(errors="surrogateescape"))
    if asked.path.endswith(("json-ld", "turtle")):
        text = unnamed(text)
    kept = dict(answer.headers)
    if "catalog-written" in kept:
        # Sealed, and of the moment.
        kept["catalog-written"] = "sealed"
    if cursor is not None:
        # Sealed anew for every answer; how long it is tells what is in it, and stays.
        text = text.replace(cursor, "c" * len(cursor))
        kept["link"] = kept["link"].replace(cursor, "c" * len(cursor))
    if "location" in kept:
        kept["location"] = re.sub(r"X-Amz-(Date|Signature)=\w+", "", kept["location"])
    # Refusals are compared down to what was asked of the database: then they take the same time.
    return Told(answer.status_code, kept, text, statements if answer.status_code >= 400 else []), cursor


def unnamed(text: str) -> str:
    """Return a written graph without what its blank nodes are called and the order that comes of it."""
    return "\n".join(sorted(line.strip() for line in PUNCTUATION.sub("", BLANK.sub("_:", text)).splitlines()))


async def pages_of(client: httpx2.AsyncClient, asked: Ask, token: str | None) -> list[Told]:
    """Return the first pages of an answer."""
    found: list[Told] = []
    following = asked
    for _ in range(PAGES_FOLLOWED):
        page, cursor = await told(client, following, token)
        found.append(page)
        if cursor is None:
            break
        following = Ask(f"{asked.path}{'&' if '?' in asked.path else '?'}cursor={cursor}")
    return found


async def differing(both: Both, world: World, asked: Ask) -> tuple[list[Told], list[Told]] | None:
    """Return what both catalogs answer, where they do not answer alike."""
    with_all, without = await asyncio.gather(
        pages_of(both.full, asked, world.token), pages_of(both.visible, asked, world.token)
    )
    return None if with_all == without else (with_all, without)


async def leaks(
    both: Both, worlds: Sequence[World], *, kinds: Sequence[str] = tuple(QUESTIONS), times: int
) -> AsyncIterator[Leak]:
    """Yield where the worlds answer with what is hidden otherwise than without, each asked so many questions."""
    for world in worlds:
        # The same questions, whatever was asked before.
        world.dice.seed(f"{world.number} {kinds}")
        questions = [(name, QUESTIONS[name](world)) for name in world.dice.choices(kinds, k=times)]
        for name, asked in questions:
            found = await differing(both, world, asked)
            if found is not None:
                yield Leak(name, world.number, asked, *found)
