"""Answers of the API as they stand on the wire, with the variety that pages meet."""

from copy import deepcopy
from datetime import datetime
from typing import Any

from catalog.exchange.work import Work

DIGEST = "3f7a9c01b5d2e4f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e"
MODEL_ID = "0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f"
BUNDLE_ID = "0192f0c8-6a11-7d4f-8e3c-1b2c3d4e5f60"
STORE = "http://127.0.0.1:9000/catalog"


def file(path: str, size: int, media_type: str, state: str = "available") -> dict[str, Any]:
    """Return a file of a hit."""
    link = {
        "href": f"{STORE}/k/{path.replace(' ', '%20')}?X-Amz-Expires=900&X-Amz-Signature={DIGEST}",
        "expires_at": "2026-11-21T10:15:00Z",
    }
    return {
        "path": path,
        "size": size,
        "sha256": DIGEST,
        "media_type": media_type,
        "state": state,
        "link": link if state == "available" else None,
    }


def work(entry: dict[str, Any]) -> Work:
    """Return an object of the API as formats of others are told of it."""
    return Work(
        id=entry["id"],
        kind=entry["kind"],
        record=entry,
        address=f"https://catalog.example.org/objects/{entry['id']}",
        publisher="Science Catalog",
        registered_at=datetime.fromisoformat(entry["created_at"]),
        revision=entry["revision"],
    )


def hit(**changes: Any) -> dict[str, Any]:
    """Return a hit."""
    return {
        "id": MODEL_ID,
        "kind": "model",
        "project": "demo/audio",
        "title": "Silero voice activity detector",
        "description": "Tells speech from silence in 16 kHz audio, 30 ms at a time, on one core of a small computer.",
        "keywords": ["speech", "audio"],
        "creators": ["Silero Team"],
        "licence": "MIT",
        "year": 2024,
        "visibility": "public",
        "revision": 3,
        "updated_at": "2026-11-20T09:12:44.120000Z",
        "href": f"/api/objects/{MODEL_ID}",
        "highlights": {},
        "files": [file("silero_vad.onnx", 2_327_524, "application/octet-stream")],
        "files_total": 1,
    } | changes


DATASET = hit(
    id="0192f0c8-1111-7c3e-9d2b-0a1b2c3d4e5f",
    kind="training-dataset",
    project="demo/antarctica",
    title="Penguins of the Palmer Archipelago",
    description="Size measurements of adult foraging penguins near Palmer Station: three species, three islands, "
    "three seasons. A small table to learn classification with, gathered for a study of sexual size dimorphism.",
    creators=["Gorman, Kristen B.", "Williams, Tony D.", "Fraser, William R.", "Horst, Allison", "Hill, Alison",
              "Palmer Station LTER"],
    licence="CC0-1.0",
    year=2014,
    highlights={
        "title": ["<mark>Penguins</mark> of the Palmer Archipelago"],
        "description": ["Size measurements of adult foraging <mark>penguins</mark> near Palmer Station: three species"],
        "keywords": ["<mark>penguin</mark>"],
        "paths": ["data/<mark>penguins</mark>.csv", "data/<mark>penguins</mark>-raw.csv"],
    },
    files=[
        file("data/penguins.csv", 16_034, "text/csv"),
        file("data/penguins-raw.csv", 56_790, "text/csv"),
        file("docs/field notes.pdf", 1_204_511, "application/pdf", "expected"),
        file("docs/map.png", 999_960, "image/png"),
        file("docs/species/adelie.txt", 512, "text/plain", "mismatched"),
    ],
    files_total=12,
)  # fmt: skip
SENSOR = hit(
    id="0192f0c8-2222-7c3e-9d2b-0a1b2c3d4e5f",
    kind="sensor-blob",
    project="demo/seismology",
    title="Broadband waveform of station BW.RJOB, 24 August 2009",
    description="Three components at 100 samples a second, as recorded.",
    creators=["Bavarian Seismological Service"],
    licence=None,
    year=2009,
    files=[file("BW.RJOB.mseed", 1_482_752, "application/vnd.fdsn.mseed")],
)
BUNDLE = hit(
    id=BUNDLE_ID,
    kind="ecr-bundle",
    project="demo/edge",
    title="Cloud cover at the edge",
    description="Estimates cloud cover from a sky camera and sends one figure a minute.",
    creators=["Rivera, Ana"],
    licence="Apache-2.0",
    year=None,
    visibility="private",
    files=[],
    files_total=0,
)

FACETS = {
    "kind": {
        "buckets": [
            {"value": "model", "count": 4},
            {"value": "training-dataset", "count": 3},
            {"value": "sensor-blob", "count": 2},
            {"value": "ecr-bundle", "count": 1},
        ],
        "rest": 0,
        "missing": 0,
    },
    "project": {
        "buckets": [{"value": f"demo/{name}", "count": 9 - place} for place, name in enumerate(
            ("audio", "antarctica", "seismology", "edge", "weather", "imaging", "language", "oceans"))],
        "rest": 3,
        "missing": 0,
    },
    "creator": {
        "buckets": [{"value": "Gorman, Kristen B.", "count": 2}, {"value": "Silero Team", "count": 1}],
        "rest": 0,
        "missing": 0,
    },
    "licence": {
        "buckets": [
            {"value": "MIT", "count": 4},
            {"value": "CC0-1.0", "count": 3},
            {"value": "Apache-2.0", "count": 1},
        ],
        "rest": 0,
        "missing": 2,
    },
    "year": {
        "buckets": [{"value": 2014, "count": 1}, {"value": 2024, "count": 5}, {"value": 2009, "count": 1}],
        "rest": 0,
        "missing": 3,
    },
    "format": {
        "buckets": [
            {"value": "text/csv", "count": 3},
            {"value": "application/octet-stream", "count": 4},
            {"value": "application/vnd.fdsn.mseed", "count": 1},
        ],
        "rest": 0,
        "missing": 1,
    },
}  # fmt: skip


def answer(*hits: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an answer of `/api/search`."""
    return deepcopy({"total": len(hits), "hits": list(hits), "facets": FACETS, "cursor": None} | changes)


def entry(**changes: Any) -> dict[str, Any]:
    """Return an object as `GET /api/objects/{id}` answers it, with every field in use."""
    return deepcopy(
        {
            "id": MODEL_ID,
            "kind": "model",
            "project": "demo/audio",
            "title": "Silero voice activity detector",
            "description": "Tells speech from silence in 16 kHz audio, 30 ms at a time.\n\n"
            "It was trained on recordings in over 6,000 languages and runs on one core of a small computer, well "
            "under a millisecond a frame.\nQuiet rooms and wind need different thresholds; start at 0.5.",
            "creators": [
                {"type": "person", "name": "Carberry, Josiah", "orcid": "0000-0002-1825-0097",
                 "affiliation": {"name": "Brown University", "ror": "05gq02987"}},
                {"type": "organization", "name": "Silero Team"},
            ],
            "contact": {"name": "Josiah Carberry", "email": "josiah@example.org"},
            "keywords": ["speech", "voice activity", "audio"],
            "licence": "MIT",
            "visibility": "public",
            "dates": [
                {"type": "Issued", "date": "2024-05-17"},
                {"type": "Collected", "date": "2021-03/2023-11"},
                {"type": "Valid", "date": "2024-05-17T08:00:00+02:00"},
            ],
            "coverage": {
                "spatial": {
                    "place": "Argonne, Illinois",
                    "point": {"latitude": 41.7183, "longitude": -87.9794},
                    "box": {"west": -88.1, "south": 41.5, "east": -87.5, "north": 42},
                },
                "temporal": {"start": "2021-03-01T00:00:00Z"},
            },
            "custom": {
                "threshold": 0.5,
                "gpu_tested": False,
                "noise.floor": {"value": -62.5, "unit": "dB"},
                "languages": ["English", "German", "Hindi"],
            },
            "metadata": {
                "task": "voice activity detection",
                "framework": "ONNX Runtime",
                "format": "onnx",
                "parameters": 462594,
                "runtime": [
                    {"name": "onnxruntime", "version": ">=1.16", "accelerator": "cpu"},
                    {"name": "numpy"},
                ],
                "inputs": [
                    {"name": "input", "shape": [None, 512], "dtype": "float32"},
                    {"name": "state", "shape": [2, None, 128], "dtype": "float32"},
                ],
            },
            "files": [
                entry_file("silero_vad.onnx", 2_327_524, "application/octet-stream"),
                entry_file("notes/thresholds for wind & rain #1.csv", 16_034, "text/csv"),
                entry_file("notes/recording.flac", 48_000_000_000, "audio/flac", "expected"),
                entry_file("notes/broken.json", 1_200, "application/json", "mismatched",
                           found={"size": 1_180, "sha256": "0" * 64}),
                entry_file("notes/lost.txt", 7, "text/plain", "missing"),
            ],
            "files_total": 5,
            "revision": 12,
            "state": "published",
            "version": 2,
            "owner": "demo-ingest",
            "created_at": "2026-11-19T08:01:02.003000Z",
            "updated_at": "2026-11-20T09:12:44.120000Z",
        }
        | changes
    )  # fmt: skip


def entry_file(path: str, size: int, media_type: str, state: str = "available", **more: Any) -> dict[str, Any]:
    """Return a file of an object."""
    href = f"/api/objects/{MODEL_ID}/files/" + path.replace(" ", "%20").replace("#", "%23").replace("&", "%26")
    return {"path": path, "size": size, "sha256": DIGEST, "media_type": media_type, "state": state, "href": href} | more


def bundle() -> dict[str, Any]:
    """Return a bundle with a member of each type."""
    return entry(
        id=BUNDLE_ID,
        kind="ecr-bundle",
        project="demo/edge",
        title="Cloud cover at the edge",
        description="Estimates cloud cover from a sky camera and sends one figure a minute.",
        creators=[{"type": "person", "name": "Rivera, Ana"}],
        keywords=[],
        licence=None,
        dates=[],
        coverage=None,
        custom={},
        files=[],
        files_total=0,
        metadata={
            "version": "1.2.0",
            "architectures": ["linux/amd64", "linux/arm64"],
            "inputs": [{"id": "interval", "type": "integer", "description": "seconds between two images"}],
            "members": [
                {"type": "object", "id": MODEL_ID, "role": "model", "name": "Sky segmentation"},
                {"type": "git", "url": "https://git.example.org/edge/cloud-cover", "commit": "4f" * 20,
                 "directory": "app", "role": "code"},
                {"type": "image", "reference": f"registry.example.org/edge/cloud-cover@sha256:{DIGEST}",
                 "platforms": ["linux/amd64", "linux/arm64"]},
                {"type": "url", "url": "https://docs.example.org/cloud-cover", "name": "Handbook"},
            ],
        },
    )  # fmt: skip
