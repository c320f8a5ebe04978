"""Indices on the real engine, and objects to put into them."""

import threading
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest

from catalog.access.audience import ANONYMOUS, Audience, readers_of, user_token
from catalog.search import query
from catalog.search.answers import Found
from catalog.search.document import CreatorProjection, Projection, document_from
from catalog.search.index import Index, Outcome, Verdict, Written
from catalog.search.query import Question

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
OWNER = UUID("01900000-0000-7000-8000-000000000001")
STRANGER = UUID("01900000-0000-7000-8000-000000000002")
# As the access room makes them; here only to ask on behalf of somebody.
AS_OWNER = Audience(frozenset({"public", user_token(OWNER)}))
AS_STRANGER = Audience(frozenset({"public", user_token(STRANGER)}))
AS_ADMIN = Audience(frozenset(), everything=True)


def entry(**told: Any) -> Projection:
    """Return an object; what a test does not tell is plain."""
    visibility = told.get("visibility", "public")
    plain: dict[str, Any] = {
        "id": uuid4(),
        "kind": "model",
        "project": "sage/cloud",
        "revision": 1,
        "readers": readers_of(visibility=visibility, owner_id=OWNER, project=told.get("project", "sage/cloud")),
        "title": "Untitled",
        "description": "",
        "keywords": [],
        "creators": [CreatorProjection("Noether, Emmy")],
        "licence": None,
        "year": None,
        "visibility": visibility,
        "created_at": NOON,
        "updated_at": NOON,
        "formats": [],
        "member_texts": [],
        "file_paths": [],
        "state": "draft",
        "quality": "fair",
        "withdrawn": False,
    }
    return Projection(**plain | told)


def written(one: Projection) -> Written:
    """Return what the indexer writes for an object."""
    return Written(one.id, one.revision, document_from(one))


async def put(index: Index, *entries: Projection) -> None:
    """Write objects and make them searchable."""
    outcomes = await index.write([written(one) for one in entries])
    assert outcomes == [Outcome(Verdict.WRITTEN)] * len(entries)
    await index.refresh()


async def ask(index: Index, text: str | None = None, audience: Audience = ANONYMOUS, **told: Any) -> Found:
    """Ask as the API does."""
    question = Question(text, **told)
    return await index.find(query.body_of(question, audience), question)


@dataclass(frozen=True)
class Library:
    """A filled index that tests read and none changes; objects have names here, for the tests to speak of."""

    index: Index
    named: dict[str, Projection]

    async def ask(self, text: str | None = None, audience: Audience = ANONYMOUS, **told: Any) -> Found:
        """Ask as the API does."""
        return await ask(self.index, text, audience, **told)

    def names(self, found: Found) -> list[str]:
        """Return what was found, by the names of this library, in its order."""
        by_id = {one.id: name for name, one in self.named.items()}
        return [by_id[hit.id] for hit in found.hits]

    async def names_of(self, text: str | None = None, audience: Audience = ANONYMOUS, **told: Any) -> list[str]:
        """Return the names of what answers a question, sorted by name."""
        return sorted(self.names(await self.ask(text, audience, **told)))


def _shelves() -> dict[str, Projection]:
    return {
        "silero": entry(
            title="Silero VAD",
            description="Tells speech from silence. <script>alert('x')</script> & more",
            keywords=["voice activity", "speech"],
            creators=[CreatorProjection("Müller, Ana", "0000-0002-1825-0097"), CreatorProjection("Silero Team")],
            licence="MIT",
            year=2021,
            formats=["application/onnx", "text/plain"],
            file_paths=["models/silero_vad.onnx", "READ-ME.txt"],
            hashes=["1a153a22f4509e29" + "0" * 48],
            created_at=NOON,
        ),
        "penguins": entry(
            kind="training-dataset",
            project="lter/antarctica",
            title="Palmer Archipelago",
            description="Sizes of three species, measured near a weather station.",
            keywords=["penguins", "Antarctica"],
            licence="CC0-1.0",
            year=2020,
            formats=["text/csv"],
            file_paths=["penguins.csv"],
            created_at=NOON + timedelta(days=1),
        ),
        "reanalysis": entry(
            kind="training-dataset",
            project="lter/antarctica",
            title="ERA5-Land weather",
            description="Hourly wind_speed and 2m temperature.",
            licence="CC-BY-4.0",
            year=2021,
            formats=["application/x-netcdf"],
            file_paths=["era5/2024-05-01/t2m_10.nc"],
            created_at=NOON + timedelta(days=2),
        ),
        "resnet": entry(
            title="ResNet50 weights",
            description="Trained on Penguin pictures by the HTMLParser group.",
            creators=[CreatorProjection("Hastings, Reed", None, "https://ror.org/05gq02987")],
            licence="MIT",
            created_at=NOON + timedelta(days=3),
        ),
        "bundle": entry(
            kind="ecr-bundle",
            title="élan counter",
            description="Counts leaves in spectra.",
            keywords=["\N{SNAIL}", "\N{SNOWMAN}"],
            member_texts=["decoder", "registry.example/counter@sha256:0123abcd"],
            created_at=NOON + timedelta(days=4),
        ),
        # Noise that nobody but its owner may meet, and a withdrawn object that nobody may.
        "secret": entry(
            visibility="private",
            kind="sensor-blob",
            project="secret/project",
            title="Secret penguins weather Silero",
            keywords=["classified"],
            creators=[CreatorProjection("Nobody, A.")],
            licence="LicenseRef-secret",
            year=1999,
            formats=["application/x-secret"],
            created_at=NOON + timedelta(days=5),
        ),
        "withdrawn": entry(title="Silero penguins weather gone", withdrawn=True),
    }


@pytest.fixture(scope="session")
def search_url(engines_ready: dict[str, Any]) -> str:
    """Where the search engine listens."""
    url: str = engines_ready["environment"]["CATALOG_SEARCH_URL"]
    return url


@pytest.fixture(scope="session")
async def library(search_url: str) -> AsyncGenerator[Library]:
    """A few objects of every sort, on an index that tests only read."""
    index = Index(search_url, f"library-{uuid4().hex[:12]}")
    await index.ensure()
    named = _shelves()
    await put(index, *named.values())
    yield Library(index, named)
    await index.drop()
    await index.close()


@pytest.fixture
async def absent(search_url: str) -> AsyncGenerator[Index]:
    """An index that is not there yet."""
    index = Index(search_url, f"fresh-{uuid4().hex[:12]}")
    yield index
    await index.drop()
    await index.close()


@pytest.fixture
async def index(absent: Index) -> Index:
    """An index of this test's own, with one object in it that no test may touch."""
    await absent.ensure()
    await put(absent, entry(title="Bystander", project="noise/noise"))
    return absent


@pytest.fixture(scope="session")
def engine(search_url: str) -> Generator[httpx2.Client]:
    """The engine itself, for what only an operator or an accident does."""
    with httpx2.Client(base_url=search_url, timeout=30) as client:
        yield client


Refuse = Callable[[str, bytes], tuple[int, bytes] | None]
Rewrite = Callable[[str, int, bytes], tuple[int, bytes]]


@dataclass
class Between:
    """A proxy before the engine that refuses requests and rewrites answers as a test wants."""

    url: str = ""
    refuse: Refuse = field(default=lambda _path, _body: None)
    rewrite: Rewrite = field(default=lambda _path, status, body: (status, body))
    sizes: list[int] = field(default_factory=list)

    def items(self, change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
        """Rewrite each item of a bulk answer, by its place and what the engine says of it."""

        def rewrite(path: str, status: int, body: bytes) -> tuple[int, bytes]:
            if not path.partition("?")[0].endswith("/_bulk"):
                return status, body
            told = msgspec.json.decode(body)
            told["items"] = [
                {verb: change(place, said) for verb, said in item.items()} for place, item in enumerate(told["items"])
            ]
            told["errors"] = True
            return status, msgspec.json.encode(told)

        self.rewrite = rewrite


@pytest.fixture
def between(search_url: str) -> Generator[Between]:
    """A proxy before the engine; without a rewrite it changes nothing."""
    between = Between()
    client = httpx2.Client(base_url=search_url, timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def passed(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            between.sizes.append(len(body))
            if (refused := between.refuse(self.path, body)) is None:
                told = client.request(
                    self.command, self.path, content=body or None, headers={"content-type": "application/json"}
                )
                status, answer = between.rewrite(self.path, told.status_code, told.content)
            else:
                status, answer = refused
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = passed  # noqa: N815 - the library's names.

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name.
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    between.url = f"http://127.0.0.1:{server.server_port}"
    yield between
    server.shutdown()
    server.server_close()
    thread.join()
    client.close()


@pytest.fixture
async def behind(index: Index, between: Between) -> AsyncGenerator[Index]:
    """The test's own index, met through the proxy."""
    through = Index(between.url, index.alias)
    yield through
    await through.close()
