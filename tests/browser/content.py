"""A small catalog to look at: one of everything that the pages show."""

import asyncio
import io
import math
import struct
import wave
import zlib
from dataclasses import dataclass, field
from uuid import UUID

import httpx2

from catalog.alerts import addresses, saved
from catalog.engines import opened
from tests.api.conftest import BECAUSE, patch, plain, register
from tests.api.uploads import bring, declared, until
from tests.conftest import Clients, eventually

PROJECT = "field-lab/penguins"
TABLE = "species,island,mass_g\n" + "\n".join(
    f"{species},{island},{mass}"
    for species, island, mass in [
        ("Adelie", "Torgersen", 3750),
        ("Adelie", "Biscoe", 3800),
        ("Gentoo", "Biscoe", 4500),
        ("Chinstrap", "Dream", 3500),
    ]
    * 10
)


def png(width: int = 96, height: int = 64) -> bytes:
    """Return a small picture of a slope of colours (PNG, third edition)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in (2 * x, 3 * y, 160)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tone(seconds: float = 0.2) -> bytes:
    """Return a short tone (WAV, 8 kHz, 16 bit)."""
    written = io.BytesIO()
    with wave.open(written, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(n / 6))) for n in range(int(8000 * seconds))))
    return written.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "data/penguins.csv": (TABLE.encode(), "text/csv"),
    "data/raw/readings.json": (b'{"station": "Palmer", "readings": [1, 2, 3]}', "application/json"),
    "images/transect.png": (png(), "image/png"),
    "sounds/colony call.wav": (tone(), "audio/wav"),
    "README.md": (b"# Penguins\n\nMeasured with calipers.\n", "text/markdown"),
    "hostile.html": (b"<script>document.title='owned'</script>", "text/html"),
}


@dataclass
class Content:
    """What was made, by what it is."""

    ids: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> str:
        return f"/objects/{self.ids[name]}"

    def doi(self, name: str) -> str:
        """Return the address to which a DOI leads."""
        return f"/doi/{self.ids[name]}"


async def make(clients: Clients) -> Content:
    """Register, upload, publish, relate and withdraw; wait until it is found."""
    made = Content()
    admin, service, other = clients.admin, clients.ingest, clients.other
    for address, body in (
        ("/api/organizations", {"name": "field-lab", "title": "Field laboratory"}),
        ("/api/organizations/field-lab/projects", {"name": "penguins", "title": "Penguins of the Palmer Archipelago"}),
        ("/api/organizations/field-lab/projects", {"name": "secret"}),
    ):
        _done(await admin.post(address, json=body), 201)
    for scope, member, role in (
        ("organizations/field-lab", "user:curator", "curator"),
        (f"projects/{PROJECT}", "user:reader", "reader"),
        (f"projects/{PROJECT}", "user:ingest", "ingest"),
    ):
        _done(await admin.put(f"/api/{scope}/members", json={"member": member, "role": role}), 204)
    dataset = await register(
        service,
        plain(
            PROJECT,
            title="Penguins of the Palmer Archipelago",
            visibility="public",
            description="Size measurements of adult foraging penguins near Palmer Station: three species, three "
            "islands, three seasons.\n\nA small table to learn classification with.",
            creators=[
                {"name": "Gorman, Kristen B.", "orcid": "0000-0002-1825-0097"},
                {"name": "Palmer Station LTER", "type": "organization", "ror": "https://ror.org/03yrm5c26"},
            ],
            keywords=["penguins", "morphology"],
            licence="CC0-1.0",
            subjects=["Ecology"],
            coverage={
                "spatial": {"place": "Palmer Station", "point": {"latitude": -64.77, "longitude": -64.05}},
                "temporal": {"start": "2007-11-11T00:00:00Z", "end": "2009-12-01T00:00:00Z"},
            },
            files=[declared(path, content, media_type) for path, (content, media_type) in FILES.items()],
        ),
    )
    made.ids["dataset"] = dataset["id"]
    await bring(dataset["uploads"], {path: content for path, (content, _) in FILES.items()})
    await asyncio.gather(*(until(service, dataset["id"], path, state="available") for path in FILES))
    any_revision = {"If-Match": "*"}
    _done(
        await service.post(
            f"/api{made.dataset}/versions", json={"label": "1.0", "note": "As collected."}, headers=any_revision
        ),
        201,
    )
    await patch(service, dataset["id"], {"keywords": ["penguins", "morphology", "sexual dimorphism"]})
    _done(
        await service.post(f"/api{made.dataset}/versions", json={"note": "One more keyword."}, headers=any_revision),
        201,
    )
    made.ids["doi"] = await named(service, dataset["id"])
    model = await register(
        service,
        plain(
            PROJECT,
            kind="model",
            title="Penguin species from body measurements",
            visibility="public",
            subjects=["Ecology"],
            metadata={"task": "Audio classification", "runtime": [{"name": "ONNX Runtime", "version": ">=1.17"}]},
            dates=[{"type": "Issued", "date": "2024"}],
            coverage={
                "spatial": {"point": {"latitude": -64, "longitude": -79}},
                "temporal": {"start": "2007-11-11T00:00:00Z", "end": "2009-12-01T00:00:00Z"},
            },
        ),
    )
    made.ids["model"] = model["id"]
    _done(
        await service.post(
            f"/api/objects/{model['id']}/relations",
            json={"type": "IsDerivedFrom", "target": dataset["id"]},
            headers=any_revision,
        ),
        201,
    )
    cleaned = await register(
        service,
        plain(
            PROJECT,
            title="Colony calls, cut and cleaned",
            visibility="public",
            licence="CC-BY-4.0",
            subjects=["Ecology"],
            dates=[{"type": "Issued", "date": "2019"}],
            coverage={
                "spatial": {"box": {"west": -70, "south": -66.5, "east": -58, "north": -62}},
                "temporal": {"start": "2008-01-01T00:00:00Z", "end": "2008-12-31T00:00:00Z"},
            },
        ),
    )
    made.ids["cleaned"] = cleaned["id"]
    _done(
        await service.post(
            f"/api/objects/{cleaned['id']}/relations",
            json={"type": "IsDerivedFrom", "target": dataset["id"]},
            headers=any_revision,
        ),
        201,
    )
    hidden = await register(service, plain("field-lab/secret", title="Colonies not yet told"))
    made.ids["hidden"] = hidden["id"]
    gone = await register(
        service,
        plain(
            PROJECT,
            title="A wrong count",
            visibility="public",
            licence="CC0-1.0",
            external=[{"type": "url", "url": "https://data.example.org/penguins"}],
        ),
    )
    made.ids["gone"] = gone["id"]
    _done(await service.post(f"/api{made.gone}/versions", json={}, headers=any_revision), 201)
    made.ids["tombstone"] = await named(service, gone["id"])
    _done(await service.delete(f"/api/objects/{gone['id']}", params=BECAUSE, headers=any_revision), 204)
    for label, reason in (("Bat detection", "We register models that do this."), ("Colony counting", "Needed.")):
        body = {"label": label, "reason": reason, "definition": "What it says."}
        _done(await other.post("/api/vocabularies/ml-tasks/proposals", json=body), 201)

    change = {"select": {"objects": [made.ids["model"]]}, "patch": {"licence": "MIT"}}
    looked_at = await clients.curator.post("/api/curation/edits/preview", json=change)
    _done(looked_at, 200)
    edit = await clients.curator.post("/api/curation/edits", json=change | {"preview": looked_at.json()["digest"]})
    _done(edit, 201)
    made.ids["edit"] = edit.json()["id"]

    async def found() -> bool:
        answer = await clients.anonymous.get("/api/search", params={"project": PROJECT})
        return bool(answer.json()["total"] == 3)

    await eventually(found)
    snapshot = await service.post(
        "/api/snapshots",
        json={"title": "Penguins as of today", "creators": [{"name": "Rivera, Ana"}], "query": {"project": [PROJECT]}},
    )
    _done(snapshot, 201)
    made.ids["snapshot"] = snapshot.json()["id"]
    await _saved(clients, made)
    return made


async def _saved(clients: Clients, made: Content) -> None:
    """Save a search, and make the links that its messages and the question for an address would have."""
    body = {"name": "Penguins, wherever they are", "query": {"q": "penguins", "kind": ["model"]}}
    answer = await clients.curator.post("/api/saved-searches", json=body)
    _done(answer, 201)
    saved_id = UUID(answer.json()["id"])
    async with opened(clients.live.settings) as engines:
        async with engines.database.transaction() as session:
            (search,) = await saved.with_ids(session, [saved_id])
            await addresses.want(session, search.owner_id, "reader@example.org")
            asked = await addresses.of(session, search.owner_id, "reader@example.org")
        links = (engines.alerting.unsubscribe_address(saved_id), engines.alerting.confirm_address(asked.id))
        host = engines.alerting.address
    made.ids["unsubscribe"], made.ids["address"] = (link.removeprefix(host) for link in links)


async def named(client: httpx2.AsyncClient, object_id: str) -> str:
    """Give an object a DOI and return it, once it leads there."""
    asked = await client.post(f"/api/objects/{object_id}/doi")
    assert asked.status_code in {200, 201}, asked.text
    doi: str = asked.json()["doi"]

    async def leads() -> bool:
        return bool((await client.get(f"/doi/{doi}")).status_code == 200)

    await eventually(leads)
    return doi


def _done(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status, (answer.request.method, answer.request.url.path, answer.text)
