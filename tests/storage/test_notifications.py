"""Notifications: what real stores sent, read as "look at this key"; rubbish is told apart and never breaks anything."""

import json
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote_plus, unquote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from catalog.storage.dialects import eventbridge, s3, seaweedfs, streamed
from catalog.storage.dialects.noticed import Noticed, UnreadableNotification
from catalog.storage.keys import KEY_BYTES_MAX, MULTIPART_FOLDER

# As sent by MinIO and by SeaweedFS 4.48; the names say what was done.
PAYLOADS = Path(__file__).parent / "payloads"
# Made after what AWS, Ceph and RustFS write of their formats: AWS "Event message structure" and "Amazon S3 event
# message structure for Amazon EventBridge", Ceph "Bucket Notifications" (and rgw_pubsub.cc for keys that are not
# encoded), RustFS' own `Event::new`. None of them was run.
DOCUMENTED = Path(__file__).parent / "documented"
FOLDER = "ifremer/soil-study/uploads/0199b0f2-7c1e-7d61-8000-3f1d2c4b5a69/0199b0f2-7c20-7e02-9000-aabbccddeeff/tables"
MINE, BIG, COPIED, RENAMED = (f"{FOLDER}/{word} file+ü%20#?&=~.csv" for word in ("my", "big", "copied", "renamed"))

MINIO = {
    "put": ("rec-plain", MINE, "ObjectCreated:Put"),
    "copy": ("rec-plain", COPIED, "ObjectCreated:Copy"),
    "multipart": ("rec-plain", BIG, "ObjectCreated:CompleteMultipartUpload"),
    "delete": ("rec-plain", MINE, "ObjectRemoved:Delete"),
    "tagging": ("rec-plain", MINE, "ObjectCreated:PutTagging"),
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

PARSERS: list[Callable[[bytes], list[Noticed]]] = [s3.parse, seaweedfs.parse, eventbridge.parse, streamed.parse]
MADE: dict[str, list[Noticed]] = {
    "aws-test": [],
    "aws-put": [Noticed("rec-plain", MINE, "ObjectCreated:Put", "0055AED6DCD90281E5")],
    "aws-delete-marker": [Noticed("rec-plain", MINE, "ObjectRemoved:DeleteMarkerCreated", "0055AED6DCD90281E6")],
    "aws-tagging": [Noticed("rec-plain", MINE, "ObjectTagging:Put")],
    "ceph-put": [
        Noticed("rec-plain", unquote_plus(MINE), "ObjectCreated:Put", "0055AED6DCD90281E5"),
        Noticed("rec-plain", MINE, "ObjectCreated:Put", "0055AED6DCD90281E5"),
    ],
    "ceph-multipart-start": [
        Noticed("rec-plain", unquote_plus(MINE), "ObjectCreated:Post", ""),
        Noticed("rec-plain", MINE, "ObjectCreated:Post", ""),
    ],
    "rustfs-put": [Noticed("rec-plain", MINE, "ObjectCreated:Put", "0055AED6DCD90281E5")],
    "rustfs-delete": [Noticed("rec-plain", MINE, "ObjectRemoved:Delete", "18E9FEC9FFB27F90")],
    "eventbridge-created": [Noticed("rec-plain", MINE, "Object Created", "00617F08299329D189")],
    "eventbridge-deleted": [Noticed("rec-plain", MINE, "Object Deleted", "00617F0837B476E463")],
    "eventbridge-tags": [Noticed("rec-plain", MINE, "Object Tags Added")],
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
    noticed = s3.parse(payload(f"minio-{name}"))

    sequencers = [note.sequencer for note in noticed]
    assert noticed == [Noticed(*expected, sequencers[0])]
    assert sequencers[0] is not None
    assert int(sequencers[0], 16) > 0


@pytest.mark.parametrize(("name", "expected"), SEAWEEDFS.items())
def test_what_seaweedfs_sends_is_read(name: str, expected: list[Noticed]) -> None:
    assert seaweedfs.parse(payload(f"seaweedfs-{name}")) == expected


@pytest.mark.parametrize("path", sorted([*PAYLOADS.iterdir(), *DOCUMENTED.iterdir()]), ids=lambda path: path.stem)
def test_whose_it_is_that_came_out_of_a_stream_is_known_by_its_looks(path: Path) -> None:
    whose = {"seaweedfs": seaweedfs, "eventbridge": eventbridge}.get(path.stem.partition("-")[0], s3)
    assert streamed.parse(path.read_bytes()) == whose.parse(path.read_bytes())


def test_every_recorded_payload_is_expected_here() -> None:
    assert {path.stem for path in PAYLOADS.iterdir()} == {f"minio-{name}" for name in MINIO} | {
        f"seaweedfs-{name}" for name in SEAWEEDFS
    }


@pytest.mark.parametrize(("name", "expected"), MADE.items())
def test_what_others_write_of_their_formats_is_read(name: str, expected: list[Noticed]) -> None:
    parse = eventbridge.parse if name.startswith("eventbridge") else s3.parse
    assert parse((DOCUMENTED / f"{name}.json").read_bytes()) == expected
    assert {path.stem for path in DOCUMENTED.iterdir()} == MADE.keys()


def test_a_tag_repeats_the_sequencer_of_the_bytes_and_is_told_all_the_same() -> None:
    """Nothing may take one for the other: MinIO's sequencer is the moment at which the bytes came."""
    (tagged,) = s3.parse(payload("minio-tagging"))
    put = json.loads(payload("minio-tagging"))["Records"][0]["s3"]["object"]["sequencer"]

    assert tagged == Noticed("rec-plain", MINE, "ObjectCreated:PutTagging", put)


def test_an_event_of_another_service_or_of_no_object_notices_nothing() -> None:
    told = json.loads((DOCUMENTED / "eventbridge-created.json").read_bytes())
    others = [
        told | {"source": "aws.ec2", "detail": {"state": "running"}},
        told | {"source": "lab.ingest"},
        told | {"detail": {"bucket": {"name": "rec-plain"}}},
    ]

    assert [eventbridge.parse(json.dumps(other).encode()) for other in others] == [[], [], []]


def _records_of(source: str, encoded: str) -> bytes:
    return body(record(encoded, eventSource=source))


# How each family writes a key: the same in all of them when it is read.
WRITTEN: dict[str, Callable[[str], list[str]]] = {
    "MinIO": lambda key: _keys(s3.parse(_records_of("minio:s3", quote_plus(key)))),
    "AWS": lambda key: _keys(s3.parse(_records_of("aws:s3", quote_plus(key, safe="/!*'()")))),
    "RustFS": lambda key: _keys(s3.parse(_records_of("rustfs:s3", quote_plus(key, safe="*")))),
    "Ceph, raw": lambda key: _keys(s3.parse(_records_of("ceph:s3", key))),
    "Ceph, encoded": lambda key: _keys(s3.parse(_records_of("ceph:s3", quote_plus(key)))),
    "SeaweedFS": lambda key: _keys(
        seaweedfs.parse(json.dumps({"event_type": "create", "key": f"/buckets/catalog/{key}", "message": {}}).encode())
    ),
    "EventBridge": lambda key: _keys(
        eventbridge.parse(
            json.dumps(
                {
                    "detail-type": "Object Created",
                    "source": "aws.s3",
                    "detail": {"bucket": {"name": "catalog"}, "object": {"key": key}},
                }
            ).encode()
        )
    ),
}


def _keys(told: list[Noticed]) -> list[str]:
    return [one.key for one in told]


HARD = (" ", "+", "%20", "%2F", "%2B", "#", "?", "&", "=", "/", "😀", "é", "e\u0301", "日", "\\", '"', "\x7f")


@pytest.mark.req("MWM-SADD-17")
@pytest.mark.parametrize("family", WRITTEN)
@given(key=st.lists(st.sampled_from(HARD) | st.text(max_size=3), min_size=1, max_size=40).map("".join))
@example(key="/a b+c%20d%2Fe#f?g😀")
@example(key="100%FF")
@example(key="\u00e9t\u00e9/e\u0301te\u0301")
@example(key="k" * KEY_BYTES_MAX)
@example(key="😀" * (KEY_BYTES_MAX // 4))
def test_a_key_survives_every_dialect(family: str, key: str) -> None:
    assume("\0" not in key and 0 < len(key.encode(errors="surrogatepass")) <= KEY_BYTES_MAX)
    assume(all(unicodedata.category(one) != "Cs" for one in key))
    # What a filer could not hold as a file, it tells of nothing.
    assume(family != "SeaweedFS" or (not key.startswith(f"{MULTIPART_FOLDER}/") and key != MULTIPART_FOLDER))
    if family.startswith("Ceph"):
        # Nobody can tell which of both it meant: the key is one of those that are looked at.
        assert key in WRITTEN[family](key)
    else:
        assert WRITTEN[family](key) == [key]


def test_several_records_are_read_in_their_order() -> None:
    assert s3.parse(body(record("b.csv"), record("a.csv", bucket="other"), record("b.csv"))) == [
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
    assert s3.parse(sent) == []


@given(
    st.text(st.sampled_from(" +%/&=é") | st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
)
@example("a+b c%20d%2Bé")
def test_a_form_encoded_key_is_decoded_exactly_once(key: str) -> None:
    assert s3.parse(body(record(quote_plus(key)))) == [Noticed("catalog", key, "ObjectCreated:Put", "0055")]


def test_a_key_from_ceph_is_looked_at_both_as_sent_and_decoded() -> None:
    sent = body(record("a+b.csv", eventSource="ceph:s3"), record("a.csv", eventSource="ceph:s3"))

    assert [note.key for note in s3.parse(sent)] == ["a b.csv", "a+b.csv", "a.csv"]


def test_a_record_that_cannot_be_read_leaves_its_neighbours() -> None:
    sent = body(record("a.csv"), record("%ff.csv"), record("b\0.csv"), record("c.csv"))

    with pytest.raises(UnreadableNotification) as unreadable:
        s3.parse(sent)

    assert unreadable.value.detail == "A record's key is not UTF-8."
    assert [noticed.key for noticed in unreadable.value.beside] == ["a.csv", "c.csv"]


def test_a_folder_called_like_versions_is_no_version() -> None:
    told = {
        "event_type": "create",
        "key": "/buckets/catalog/old.versions/v_1",
        "message": {"new_entry": {"name": "v_1", "extended": {"X-Amz-Meta-Site": "bWU="}}},
    }

    assert seaweedfs.parse(json.dumps(told).encode()) == [Noticed("catalog", "old.versions/v_1", "create")]


@pytest.mark.parametrize(
    "key", ["/etc/passwd", "/buckets", "/buckets/", "/buckets/catalog/", "/buckets/.system/a", "a"]
)
def test_a_file_outside_every_bucket_is_not_noticed(key: str) -> None:
    told = {"event_type": "create", "key": key, "message": {"new_entry": {"name": "a"}}}

    assert seaweedfs.parse(json.dumps(told).encode()) == []


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
        s3.parse(sent)

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
        seaweedfs.parse(sent)

    assert refused.value.detail == reason


def test_the_limits_hold_what_stores_may_send() -> None:
    records = body(*[record("k" * 100)] * s3.RECORDS_MAX)
    chunk = json.loads(payload("seaweedfs-multipart"))["message"]["new_entry"]["chunks"][-1]
    # The most that SeaweedFS lists before it puts the list itself into a file.
    chunks = json.dumps([chunk] * 10_000, separators=(",", ":"))

    assert (len(records) < s3.BODY_BYTES_MAX, 2 * len(chunks) < seaweedfs.BODY_BYTES_MAX) == (True, True)


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
    for parse in PARSERS:
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
    for parse in PARSERS:
        with suppress(UnreadableNotification):
            parse(sent[:place] + damage + sent[place + 1 :])
