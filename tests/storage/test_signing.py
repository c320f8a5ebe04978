"""Links are what any other SigV4 implementation would sign, byte for byte."""

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_s3

from catalog.storage.signing import Link, Signer

# Every character that UTF-8 can hold, and more often those that mean something in a URL.
TEXT = st.text(st.sampled_from(" +%#?&=~/'\"()*!;:@,$[]") | st.characters(exclude_categories=["Cs"]), max_size=40)
ENDPOINTS = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}{port}",
    st.sampled_from(["http", "https"]),
    st.sampled_from(["127.0.0.1", "localhost", "minio", "store.example.org", "s3-7.lab.example.org"]),
    st.sampled_from(["", ":80", ":443", ":8333", ":9000"]),
)
MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2098, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - zone given.
LIFETIMES = st.integers(1, 604_800).map(lambda seconds: timedelta(seconds=seconds))
ACCESS_KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=3, max_size=30)
REGIONS = st.sampled_from(["us-east-1", "eu-central-1", "lab"])
QUERIES = st.dictionaries(
    st.sampled_from(["response-content-disposition", "response-content-type", "versionId"])
    | TEXT.filter(lambda name: name and not name.lower().startswith("x-amz-")),
    TEXT,
    max_size=4,
)
HEADERS = st.dictionaries(
    st.sampled_from(["content-length", "content-type", "if-none-match", "x-amz-checksum-sha256", "X-Amz-Meta-Site"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    max_size=5,
)


def signer(endpoint: str = "http://127.0.0.1:9000", **other: str) -> Signer:
    return Signer(**{"endpoint": endpoint, "region": "us-east-1", "access_key": "AK", "secret_key": "SK"} | other)


def signature_of(link: Link) -> str:
    return link.href.rpartition("&X-Amz-Signature=")[2]


@given(
    endpoint=ENDPOINTS,
    region=REGIONS,
    keys=st.tuples(ACCESS_KEYS, TEXT),
    method=st.sampled_from(["GET", "PUT", "HEAD"]),
    key=TEXT,
    query=QUERIES,
    now=MOMENTS,
    lifetime=LIFETIMES,
)
@example(
    endpoint="http://127.0.0.1:9000",
    region="lab",
    keys=("A/K+", "S"),
    method="GET",
    key="50%/a+b c",
    # In the canonical order `a` stands before `a-b`, although `-` sorts before the `=` that follows.
    query={"a-b": "two  words", "a": "100% é", "B": ""},
    now=datetime(2026, 3, 1, tzinfo=UTC),
    lifetime=timedelta(minutes=1),
)
def test_a_link_equals_the_one_that_the_sdk_signs(
    *,
    endpoint: str,
    region: str,
    keys: tuple[str, str],
    method: str,
    key: str,
    query: dict[str, str],
    now: datetime,
    lifetime: timedelta,
) -> None:
    access_key, secret_key = keys
    # The SDK refuses these keys, and a secret that is empty.
    assume(key.strip() and secret_key and not {".", ".."} & set(key.split("/")))
    parts = urlsplit(endpoint)
    sdk = Minio(
        parts.netloc, access_key=access_key, secret_key=secret_key, region=region, secure=parts.scheme == "https"
    )

    ours = Signer(endpoint=endpoint, region=region, access_key=access_key, secret_key=secret_key)
    link = ours.sign(method, "catalog", key, expires=lifetime, now=now, query=query)

    theirs = sdk.get_presigned_url(
        method, "catalog", key, expires=lifetime, request_date=now, extra_query_params=dict(query)
    )
    assert link == Link(theirs, now.replace(microsecond=0) + lifetime)


@given(HEADERS, QUERIES, TEXT, MOMENTS)
@example({"content-type": "  text/csv;  charset=utf-8 "}, {}, "k", datetime(2026, 3, 1, tzinfo=UTC))
def test_signed_headers_give_the_signature_that_the_sdk_computes(
    headers: dict[str, str], query: dict[str, str], key: str, now: datetime
) -> None:
    link = signer().sign("PUT", "catalog", key, expires=timedelta(hours=1), now=now, query=query, headers=headers)

    # The SDK signs headers only in its Authorization header; over the same query that is the same signature.
    unsigned = urlsplit(link.href.rpartition("&X-Amz-Signature=")[0])
    authorization = sign_v4_s3(
        method="PUT",
        url=unsigned,
        region="us-east-1",
        headers={"host": "127.0.0.1:9000", **headers},
        credentials=Credentials("AK", "SK"),
        content_sha256="UNSIGNED-PAYLOAD",
        date=now,
    )["Authorization"]
    assert signature_of(link) == str(authorization).rpartition("Signature=")[2]


def test_the_example_that_amazon_publishes_has_the_published_signature() -> None:
    # "Authenticating Requests: Using Query Parameters", example. Its host names the bucket, so the path is the key.
    amazon = Signer(
        endpoint="https://examplebucket.s3.amazonaws.com",
        region="us-east-1",
        access_key="AKIAIOSFODNN7EXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )

    # As the catalog signs for a bucket that is addressed as a host.
    addressed = Signer(
        endpoint="https://s3.amazonaws.com",
        region="us-east-1",
        access_key="AKIAIOSFODNN7EXAMPLE",
        secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        virtual_bucket="examplebucket",
    )
    day = datetime(2013, 5, 24, tzinfo=UTC)

    link = amazon.sign("GET", "test.txt", "", expires=timedelta(days=1), now=day)

    assert addressed.sign("GET", "examplebucket", "test.txt", expires=timedelta(days=1), now=day) == link
    with pytest.raises(ValueError, match="this signer is for bucket examplebucket"):
        addressed.sign("GET", "other", "test.txt", expires=timedelta(days=1), now=day)
    assert link == Link(
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        datetime(2013, 5, 25, tzinfo=UTC),
    )


@given(endpoint=ENDPOINTS.filter(lambda one: "127" not in one), key=TEXT, query=QUERIES, now=MOMENTS)
def test_a_link_to_a_bucket_as_a_host_equals_the_one_that_the_sdk_signs(
    endpoint: str, key: str, query: dict[str, str], now: datetime
) -> None:
    assume(key.strip() and not {".", ".."} & set(key.split("/")))
    parts = urlsplit(endpoint)
    sdk = Minio(parts.netloc, access_key="AK", secret_key="SK", region="lab", secure=parts.scheme == "https")
    sdk.enable_virtual_style_endpoint()
    ours = Signer(endpoint=endpoint, region="lab", access_key="AK", secret_key="SK", virtual_bucket="catalog")

    link = ours.sign("GET", "catalog", key, expires=timedelta(hours=1), now=now, query=query)

    theirs = sdk.get_presigned_url(
        "GET", "catalog", key, expires=timedelta(hours=1), request_date=now, extra_query_params=dict(query)
    )
    assert link.href == theirs


@given(st.lists(MOMENTS, min_size=2, max_size=6), st.integers(-14, 14))
def test_a_signer_that_has_signed_before_signs_as_a_new_one(moments: list[datetime], zone_hours: int) -> None:
    zone = timezone(timedelta(hours=zone_hours))
    used = signer()

    def link(by: Signer, now: datetime, minutes: int) -> Link:
        return by.sign("GET", "catalog", "a/b", expires=timedelta(minutes=minutes), now=now)

    # The same moment again, in another zone and for another lifetime; the midnight of its day.
    asked = [
        (now, minutes)
        for moment in moments
        for now in (moment, moment.astimezone(zone), moment.replace(hour=0, minute=0, second=0))
        for minutes in (1, 15, 1)
    ]

    assert [link(used, *terms) for terms in asked] == [
        link(signer(), now.astimezone(UTC), minutes) for now, minutes in asked
    ]


def test_the_same_names_in_any_order_give_the_same_link() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    one = {"versionId": "v", "response-content-type": "text/csv", "A": "first", "a-b": "2", "a": "1"}

    links = {
        signer().sign("GET", "catalog", "k", expires=timedelta(minutes=1), now=now, query=query).href
        for query in (one, dict(reversed(one.items())))
    }

    assert len(links) == 1


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_a_lifetime_that_no_store_accepts_is_refused(lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="a link lives 1 second to 7 days, not "):
        signer().sign("GET", "catalog", "k", expires=lifetime, now=datetime.now(UTC))


def test_a_moment_without_a_zone_is_refused_even_when_the_second_is_known() -> None:
    used = signer()
    now = datetime.now(UTC)
    used.sign("GET", "catalog", "k", expires=timedelta(minutes=1), now=now)

    for naive in (now.replace(tzinfo=None), now.astimezone().replace(tzinfo=None)):
        with pytest.raises(ValueError, match="knows its time zone"):
            used.sign("GET", "catalog", "k", expires=timedelta(minutes=1), now=naive)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "elsewhere.example.org"},
        {"content-type": "text/csv", "Content-Type": "text/html"},
        {"content-type": "text/csv\r\nx-amz-acl: public-read"},
        {"x-amz-meta-site": "Zürich"},
        {"content type": "text/csv"},
        {"": "text/csv"},
    ],
)
def test_a_header_that_http_could_not_carry_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be signed"):
        signer().sign("PUT", "catalog", "k", expires=timedelta(minutes=1), now=datetime.now(UTC), headers=headers)


def test_the_signers_own_parameters_cannot_be_given() -> None:
    query = {"X-Amz-Expires": "604800"}

    with pytest.raises(ValueError, match="belong to the signer"):
        signer().sign("GET", "catalog", "k", expires=timedelta(minutes=1), now=datetime.now(UTC), query=query)


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:9000",
        "ftp://store.example.org",
        "https://",
        "https://store.example.org/behind/a/path",
        "https://store.example.org?x=1",
        "https://user:password@store.example.org",
        "https://größe.example.org",
    ],
)
def test_an_endpoint_that_is_more_than_scheme_host_and_port_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="a store's endpoint"):
        signer(endpoint)


def test_nothing_that_people_print_shows_a_secret_or_a_signature() -> None:
    used = signer(secret_key="a-secret-of-ours")
    link = used.sign("GET", "catalog", "k", expires=timedelta(minutes=1), now=datetime(2026, 3, 1, tzinfo=UTC))

    assert [repr(used), str(used), repr(link), str(link)] == [
        "Signer(endpoint='http://127.0.0.1:9000', region='us-east-1')",
        "Signer(endpoint='http://127.0.0.1:9000', region='us-east-1')",
        "Link(expires_at=datetime.datetime(2026, 3, 1, 0, 1, tzinfo=datetime.timezone.utc))",
        "Link(expires_at=datetime.datetime(2026, 3, 1, 0, 1, tzinfo=datetime.timezone.utc))",
    ]
