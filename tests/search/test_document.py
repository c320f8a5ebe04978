"""What the index is told of an object."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec

from catalog.search import document
from catalog.search.document import CreatorProjection, Own, document_from
from tests.search.conftest import entry

ID = UUID("01900000-0000-7000-8000-0000000000aa")


def test_an_object_is_projected_whole() -> None:
    created, updated = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 3, 4, tzinfo=UTC)
    told = document_from(
        entry(
            id=ID,
            revision=7,
            kind="model",
            project="sage/cloud",
            readers=["public", "user:1"],
            title="Silero VAD",
            description="Tells speech from silence.",
            keywords=["speech"],
            creators=[
                CreatorProjection("Müller, Ana", orcid="0000-0002-1825-0097"),
                CreatorProjection("Silero Team", ror="https://ror.org/05gq02987"),
                CreatorProjection("Anonymous"),
            ],
            licence="MIT",
            year=2021,
            visibility="public",
            created_at=created,
            updated_at=updated,
            formats=["application/onnx"],
            stages=["uploaded"],
            member_texts=["decoder"],
            file_paths=["silero_vad.onnx"],
            state="published",
            quality="good",
            sensors=["S1"],
            runtimes=[("onnxruntime", "", "~")],
            holds=(created, None),
            label_readers=["user:1"],
            concepts=["urn:a:vad", "urn:a:audio", "urn:b:speech"],
            terms=["Voice activity detection", "Sprachaktivitätserkennung", "Audio"],
            subjects=["urn:b:speech"],
            tasks=["urn:a:vad", "urn:a:audio"],
            own=Own(["urn:a:vad"], ["Voice activity detection"], [], ["urn:a:vad"]),
            name="silero-vad",
            dois=["10.5072/a1b2"],
            identifiers=["GSE1234"],
            hashes=["9f86d081"],
            files=1,
            bytes=2_000,
            place=[{"type": "point", "coordinates": [8.5, 47.4]}],
        )
    )
    said = {name: value for name, value in told.items() if name != "digest"}
    assert told["digest"] == document.digest_of(said)
    assert said == {
        "id": ID,
        "revision": 7,
        "tombstone": False,
        "kind": "model",
        "project": "sage/cloud",
        "organization": "sage",
        "readers": ["public", "user:1"],
        "label_readers": ["user:1"],
        "title": "Silero VAD",
        "description": "Tells speech from silence.",
        "keywords": ["speech"],
        "creators": ["Müller, Ana", "Silero Team", "Anonymous"],
        "creator_ids": ["0000-0002-1825-0097", "https://ror.org/05gq02987"],
        "name": "silero-vad",
        "doi": ["10.5072/a1b2"],
        "identifiers": ["10.5072/a1b2", "GSE1234", "silero-vad"],
        "licence": "MIT",
        "year": 2021,
        "format": ["application/onnx"],
        "stage": ["uploaded"],
        "members": ["decoder"],
        "paths": ["silero_vad.onnx"],
        "hashes": ["9f86d081"],
        "files": 1,
        "bytes": 2_000,
        "concepts": ["urn:a:vad", "urn:a:audio", "urn:b:speech"],
        "terms": ["Voice activity detection", "Sprachaktivitätserkennung", "Audio"],
        "subject": ["urn:b:speech"],
        "task": ["urn:a:vad", "urn:a:audio"],
        "concepts_own": ["urn:a:vad"],
        "terms_own": ["Voice activity detection"],
        "subject_own": [],
        "task_own": ["urn:a:vad"],
        "visibility": "public",
        "state": "published",
        "quality": "good",
        "sensor": ["S1"],
        "runtime": [{"name": "onnxruntime", "low": "", "high": "~"}],
        "holds": {"gte": int(created.timestamp())},
        "place": [{"type": "point", "coordinates": [8.5, 47.4]}],
        "created_at": created,
        "updated_at": updated,
    }


def test_a_withdrawn_object_leaves_nothing_but_its_revision() -> None:
    withdrawn = entry(id=ID, revision=8, title="Silero VAD", keywords=["speech"], withdrawn=True)
    said = {"id": ID, "revision": 8, "tombstone": True}
    assert document_from(withdrawn) == said | {"digest": document.digest_of(said)}


def test_a_digest_stays_the_same_through_the_index_and_changes_with_every_field() -> None:
    told = document_from(entry(bytes=3, holds=(datetime(2024, 1, 2, tzinfo=UTC), None), keywords=["Boden", "größer"]))
    back = dict(reversed(msgspec.json.decode(msgspec.json.encode(told)).items()))
    assert document.digest_of(back) == told["digest"]
    others = {document.digest_of(told | {name: "otherwise"}) for name in told if name != "digest"}
    assert len(others) == len(told) - 1
    assert told["digest"] not in others


def test_the_mapping_has_the_documents_fields_and_no_others() -> None:
    assert document.MAPPING["dynamic"] == "strict"
    assert set(document.MAPPING["properties"]) == set(document_from(entry()))


def test_paths_past_the_limit_are_left_out_whole() -> None:
    long = "x" * 999
    paths = [f"{place}{long}" for place in range(10)] * 100
    kept = document_from(entry(file_paths=paths, member_texts=paths))
    assert kept["paths"] == kept["members"] == paths[:200]
    assert sum(map(len, kept["paths"])) == document.PATHS_CHARS_MAX == document.MEMBERS_CHARS_MAX


def test_an_index_is_created_with_its_mappings_version_and_an_explicit_refresh() -> None:
    body = document.index_body(refresh_interval="250ms")
    assert body["mappings"] == {"_meta": {"version": document.MAPPING_VERSION}, **document.MAPPING}
    assert body["settings"]["index"] == {
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        "refresh_interval": "250ms",
        "analysis": document.ANALYSIS,
        "similarity": document.SIMILARITY,
    }
