"""Links and tickets without any server: what is promised in them, and for whom."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from minio import Minio

from catalog.storage.s3 import Store, Ticket, disposition

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
CONTENT = b"depth,pH\n"


@cache
def store() -> Store:
    return Store(
        endpoint="http://10.0.0.7:9000/",
        public_endpoint="https://data.example.org",
        region="eu-central-1",
        bucket="catalog",
        prefix="lab",
        access_key="reader",
        secret_key="a-secret-of-ours",
    )


def ticket(key: str = "lab/soil.csv", size: int = len(CONTENT)) -> Ticket:
    return store().upload_ticket(
        key,
        size=size,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        media_type="text/csv",
        lifetime=timedelta(hours=1),
        now=NOW,
    )


def test_a_download_link_is_for_the_public_endpoint_and_says_all_that_is_forced() -> None:
    link = store().download_link(
        "lab/a b.csv",
        version_id="v/1",
        filename="soil.csv",
        media_type="text/csv",
        lifetime=timedelta(minutes=15),
        now=NOW,
    )

    parts = urlsplit(link.href)
    signature = parse_qs(parts.query)["X-Amz-Signature"]
    assert (parts.scheme, parts.netloc, parts.path, parse_qs(parts.query)) == (
        "https",
        "data.example.org",
        "/catalog/lab/a%20b.csv",
        {
            "response-content-disposition": ['attachment; filename="soil.csv"'],
            "response-content-type": ["text/csv"],
            "versionId": ["v/1"],
            "X-Amz-Algorithm": ["AWS4-HMAC-SHA256"],
            "X-Amz-Credential": ["reader/20260301/eu-central-1/s3/aws4_request"],
            "X-Amz-Date": ["20260301T120000Z"],
            "X-Amz-Expires": ["900"],
            "X-Amz-SignedHeaders": ["host"],
            "X-Amz-Signature": signature,
        },
    )
    assert link.expires_at == datetime(2026, 3, 1, 12, 15, tzinfo=UTC)


@given(
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    filename=st.text(max_size=30),
    media_type=st.sampled_from(["text/csv", "text/plain; charset=utf-8", "model/onnx+x"]),
    version_id=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
)
def test_a_download_link_equals_the_one_that_the_sdk_signs(
    key: str, filename: str, media_type: str, version_id: str | None
) -> None:
    assume(key.strip() and not {".", ".."} & set(key.split("/")))
    sdk = Minio("data.example.org", access_key="reader", secret_key="a-secret-of-ours", region="eu-central-1")

    link = store().download_link(
        key, version_id=version_id, filename=filename, media_type=media_type, lifetime=timedelta(minutes=1), now=NOW
    )

    assert link.href == sdk.get_presigned_url(
        "GET",
        "catalog",
        key,
        expires=timedelta(minutes=1),
        request_date=NOW,
        version_id=version_id,
        response_headers={
            "response-content-disposition": disposition(filename),
            "response-content-type": media_type,
        },
    )


def test_a_link_without_a_version_names_none() -> None:
    link = store().download_link(
        "k", version_id=None, filename="k", media_type="text/csv", lifetime=timedelta(minutes=1), now=NOW
    )

    assert "versionId" not in link.href


def test_a_ticket_signs_every_header_that_it_asks_for() -> None:
    promised = ticket()

    parts = urlsplit(promised.url)
    assert (parts.netloc, parse_qs(parts.query)["X-Amz-SignedHeaders"], promised.headers, promised.expires_at) == (
        "data.example.org",
        ["content-length;content-type;host;if-none-match;x-amz-checksum-sha256"],
        {
            "content-length": "9",
            "content-type": "text/csv",
            "if-none-match": "*",
            "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(CONTENT).digest()).decode(),
        },
        datetime(2026, 3, 1, 13, tzinfo=UTC),
    )


def test_nothing_that_people_print_shows_a_secret_or_a_signature() -> None:
    shown = f"{store()!r} {ticket()!r} {store()} {ticket()}"

    assert ["a-secret-of-ours" in shown, "X-Amz-Signature" in shown] == [False, False]


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("soil 1.csv", 'attachment; filename="soil 1.csv"'),
        ("pH (10 cm).csv", 'attachment; filename="pH (10 cm).csv"'),
        ("größe.csv", "attachment; filename=\"gr__e.csv\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.csv"),
        ('a"b\\c/d.csv', "attachment; filename=\"a_b_c_d.csv\"; filename*=UTF-8''a%22b_c_d.csv"),
        ("50%.csv", "attachment; filename=\"50_.csv\"; filename*=UTF-8''50%25.csv"),
        ("a\r\nb\x00.csv", "attachment; filename=\"a__b_.csv\"; filename*=UTF-8''a__b_.csv"),
        ("\ud83d.csv", "attachment; filename=\"_.csv\"; filename*=UTF-8''_.csv"),
        ("", 'attachment; filename=""'),
    ],
)
def test_a_file_name_is_written_for_old_and_new_clients(filename: str, expected: str) -> None:
    assert disposition(filename) == expected


@given(st.text(max_size=80))
def test_a_disposition_is_one_harmless_header_that_gives_the_printable_name_back(filename: str) -> None:
    header = disposition(filename)

    plain, _, exact = header.removeprefix('attachment; filename="').partition("\"; filename*=UTF-8''")
    printable = "".join("_" if not letter.isprintable() or letter in "/\\" else letter for letter in filename)
    assert (header.isascii() and header.isprintable(), unquote(exact) if exact else plain.removesuffix('"')) == (
        True,
        printable,
    )
