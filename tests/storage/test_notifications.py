"""Notifications: what real stores sent, read as "look at this key"; rubbish is told apart and never breaks anything."""

import json
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catalog.storage.keys import KEY_BYTES_MAX
from catalog.storage.notifications import (
    RECORDS_MAX,
    S3_BODY_BYTES_MAX,
    SEAWEEDFS_BODY_BYTES_MAX,
    Noticed,
    UnreadableNotification,
    parse_s3,
    parse_seaweedfs,
)

# As sent by MinIO and by SeaweedFS 4.48; the names say what was done.
PAYLOADS = Path(__file__).parent / "payloads"
FOLDER = "ifremer/soil-study/uploads/0199b0f2-7c1e-7d61-8000-3f1d2c4b5a69/0199b0f2-7c20-7e02-9000-aabbccddeeff/tables"
MINE, BIG, COPIED, RENAMED = (f"{FOLDER}/{word} file+ü%20#?&=~.csv" for word in ("my", "big", "copied", "renamed"))

MINIO = {
    "put": ("rec-plain", MINE, "ObjectCreated:Put"),
    "copy": ("rec-plain", COPIED, "ObjectCreated:Copy"),
    "multipart": ("rec-plain", BIG, "ObjectCreated:CompleteMultipartUpload"),
    "delete": ("rec-plain", MINE, "ObjectRemoved:Delete"),
    "delete-missing": ("rec-plain", MINE, "ObjectRemoved:NoOP"),
    "versioned-put": ("rec-versioned", MINE, "ObjectCreated:Put"),
    "versioned-multipart": ("rec-versioned", BIG, "ObjectCreated:CompleteMultipartUpload"),
    "versioned-delete": ("rec-versioned", MINE, "ObjectRemoved:DeleteMarkerCreated"),
    "versioned-delete-version": ("rec-versioned", MINE, "ObjectRemoved:Delete"),
}
SEAWEEDFS = {
    "bucket": [],
    "folder": [],
    "create": [Noticed("rec-plain", MINE, "create")],
    "update": [Noticed("rec-plain", MINE, "update")],
    "delete": [Noticed("rec-plain", MINE, "delete")],
    "rename": [Noticed("rec-plain", BIG, "rename"), Noticed("rec-plain", RENAMED, "rename")],
    "multipart-folder": [],
    "multipart-part": [],
    "multipart": [Noticed("rec-plain", BIG, "create")],
    "version-folder": [],
    "version-created": [Noticed("rec-versioned", MINE, "create")],
    "version-superseded": [Noticed("rec-versioned", MINE, "update")],
    "version-deleted": [Noticed("rec-versioned", MINE, "delete")],
    "latest-noted": [Noticed("rec-versioned", MINE, "update")],
    "delete-marker": [Noticed("rec-versioned", MINE, "create")],
}


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


def record(key: str = "a.csv", bucket: str = "catalog", **other: object) -> dict[str, object]:
    return {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "0055"}},
        **other,
    }


def body(*records: dict[str, object]) -> bytes:
    return json.dumps({"Records": records}).encode()


@pytest.mark.parametrize(("name", "expected"), MINIO.items())
def test_what_minio_sends_is_read(name: str, expected: tuple[str, str, str]) -> None:
    noticed = parse_s3(payload(f"minio-{name}"))

    sequencers = [note.sequencer for note in noticed]
    assert noticed == [Noticed(*expected, sequencers[0])]
    assert sequencers[0] is not None
    assert int(sequencers[0], 16) > 0


@pytest.mark.parametrize(("name", "expected"), SEAWEEDFS.items())
def test_what_seaweedfs_sends_is_read(name: str, expected: list[Noticed]) -> None:
    assert parse_seaweedfs(payload(f"seaweedfs-{name}")) == expected


def test_every_recorded_payload_is_expected_here() -> None:
    assert {path.stem for path in PAYLOADS.iterdir()} == {f"minio-{name}" for name in MINIO} | {
        f"seaweedfs-{name}" for name in SEAWEEDFS
    }


def test_several_records_are_read_in_their_order() -> None:
    assert parse_s3(body(record("b.csv"), record("a.csv", bucket="other"), record("b.csv"))) == [
        Noticed("catalog", "b.csv", "ObjectCreated:Put", "0055"),
        Noticed("other", "a.csv", "ObjectCreated:Put", "0055"),
        Noticed("catalog", "b.csv", "ObjectCreated:Put", "0055"),
    ]


@pytest.mark.parametrize(
    "sent",
    [
        b'{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-03-01T00:00:00.000Z","Bucket":"catalog"}',
        b'{"Records":[]}',
        b'{"Records":null}',
        b"{}",
    ],
)
def test_an_event_without_records_notices_nothing(sent: bytes) -> None:
    assert parse_s3(sent) == []


@given(
    st.text(st.sampled_from(" +%/&=é") | st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
)
@example("a+b c%20d%2Bé")
def test_a_form_encoded_key_is_decoded_exactly_once(key: str) -> None:
    assert parse_s3(body(record(quote_plus(key)))) == [Noticed("catalog", key, "ObjectCreated:Put", "0055")]


def test_a_key_from_ceph_is_looked_at_both_as_sent_and_decoded() -> None:
    sent = body(record("a+b.csv", eventSource="ceph:s3"), record("a.csv", eventSource="ceph:s3"))

    assert [note.key for note in parse_s3(sent)] == ["a b.csv", "a+b.csv", "a.csv"]


def test_a_record_that_cannot_be_read_leaves_its_neighbours() -> None:
    sent = body(record("a.csv"), record("%ff.csv"), record("b\0.csv"), record("c.csv"))

    with pytest.raises(UnreadableNotification) as unreadable:
        parse_s3(sent)

    assert unreadable.value.detail == "A record's key is not UTF-8."
    assert [noticed.key for noticed in unreadable.value.beside] == ["a.csv", "c.csv"]


def test_a_folder_called_like_versions_is_no_version() -> None:
    told = {
        "event_type": "create",
        "key": "/buckets/catalog/old.versions/v_1",
        "message": {"new_entry": {"name": "v_1", "extended": {"X-Amz-Meta-Site": "bWU="}}},
    }

    assert parse_seaweedfs(json.dumps(told).encode()) == [Noticed("catalog", "old.versions/v_1", "create")]


@pytest.mark.parametrize(
    "key", ["/etc/passwd", "/buckets", "/buckets/", "/buckets/catalog/", "/buckets/.system/a", "a"]
)
def test_a_file_outside_every_bucket_is_not_noticed(key: str) -> None:
    told = {"event_type": "create", "key": key, "message": {"new_entry": {"name": "a"}}}

    assert parse_seaweedfs(json.dumps(told).encode()) == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "The body is not what this store sends: Input data was truncated"),
        (b"\xff", "The body is not what this store sends: JSON is malformed: invalid character (byte 0)"),
        (b"[]", "The body is not what this store sends: Expected `object`, got `array`"),
        (
            b'{"Records":[{"eventName":"s3:ObjectCreated:Put"}]}',
            "The body is not what this store sends: Object missing required field `s3` - at `$.Records[0]`",
        ),
        (b'{"x":' + b"[" * 100_000, "The body is nested deeper than any store's."),
        (body(record("%FF")), "A record's key is not UTF-8."),
        (body(record("a%00b")), "A record has a NUL character."),
        (body(record("a", eventName="\0")), "A record has a NUL character."),
        (body(record("")), "A record has no bucket or no key."),
        (body(record("a", bucket="")), "A record has no bucket or no key."),
        (body(record("k" * 1025)), "A record's key has 1025 bytes; S3 keys have at most 1024."),
        (body(*[record()] * 1001), "The body has 1001 records and may have 1000."),
        (b" " * 262_145, "The body has 262145 bytes and may have 262144."),
    ],
)
def test_an_unreadable_s3_body_says_why(sent: bytes, reason: str) -> None:
    with pytest.raises(UnreadableNotification) as refused:
        parse_s3(sent)

    assert refused.value.detail == reason


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"{}", "The body is not what this store sends: Object missing required field `event_type`"),
        (
            b'{"event_type":"create","key":"/buckets/b/a"}',
            "The body is not what this store sends: Object missing required field `message`",
        ),
        (
            b'{"event_type":"create","key":"/buckets/b/a\\u0000","message":{}}',
            "A record has a NUL character.",
        ),
        (b" " * 4_194_305, "The body has 4194305 bytes and may have 4194304."),
    ],
)
def test_an_unreadable_seaweedfs_body_says_why(sent: bytes, reason: str) -> None:
    with pytest.raises(UnreadableNotification) as refused:
        parse_seaweedfs(sent)

    assert refused.value.detail == reason


def test_the_limits_hold_what_stores_may_send() -> None:
    records = body(*[record("k" * 100)] * RECORDS_MAX)
    chunk = json.loads(payload("seaweedfs-multipart"))["message"]["new_entry"]["chunks"][-1]
    # The most that SeaweedFS lists before it puts the list itself into a file.
    chunks = json.dumps([chunk] * 10_000, separators=(",", ":"))

    assert (len(records) < S3_BODY_BYTES_MAX, 2 * len(chunks) < SEAWEEDFS_BODY_BYTES_MAX) == (True, True)


NAMES = st.sampled_from(
    [
        *("Records", "eventName", "eventSource", "s3", "bucket", "name", "object", "key", "sequencer"),
        *("event_type", "message", "new_entry", "old_entry", "new_parent_path", "is_directory", "extended"),
        *("Seaweed-X-Amz-Version-Id", "Seaweed-X-Amz-Latest-Version-Id"),
    ]
)
STRINGS = st.sampled_from(["/buckets/b/a.versions/v_1", "/buckets/b/a.versions", "%", "+", "", "\0"]) | st.text()
SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)
LIKELY = st.fixed_dictionaries(
    {"event_type": STRINGS, "key": STRINGS, "message": st.dictionaries(NAMES, SHAPES)},
    optional={"Records": st.lists(st.just(record()) | SHAPES, max_size=3)},
)


@given(st.binary(max_size=200) | (SHAPES | LIKELY).map(lambda shape: json.dumps(shape).encode()))
def test_whatever_comes_is_read_or_unreadable(sent: bytes) -> None:
    for parse in (parse_s3, parse_seaweedfs):
        with suppress(UnreadableNotification):
            for note in parse(sent):
                # What is read can be stored: UTF-8 without NUL, which PostgreSQL's text has no place for.
                stored = f"{note.bucket}{note.key}{note.event}{note.sequencer}".encode()
                assert (b"\0" in stored, bool(note.bucket), 0 < len(note.key.encode()) <= KEY_BYTES_MAX) == (
                    False,
                    True,
                    True,
                )


@given(st.sampled_from(sorted(PAYLOADS.iterdir())), st.integers(0, 3500), st.binary(max_size=3))
def test_a_damaged_payload_is_read_or_unreadable(recorded: Path, place: int, damage: bytes) -> None:
    sent = recorded.read_bytes()
    for parse in (parse_s3, parse_seaweedfs):
        with suppress(UnreadableNotification):
            parse(sent[:place] + damage + sent[place + 1 :])
