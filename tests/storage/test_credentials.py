"""Temporary credentials: a policy lets through what it was made for, and a store that does not keep it is found out."""

import re
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catalog.errors import CatalogError, Unavailable
from catalog.storage.credentials import Access, NoTemporaryCredentials, TokenService, policy_of
from tests.storage.conftest import S3Server

BUCKET = "catalog"
UNTIL = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,12}", fullmatch=True)
PREFIXES = st.lists(NAMES, min_size=2, max_size=4).map(lambda parts: "/".join(parts) + "/")
EITHER = st.sampled_from([[Access.READ], [Access.WRITE], [Access.READ, Access.WRITE]])
ACTIONS = {
    "s3:GetObject": Access.READ,
    "s3:ListBucket": Access.READ,
    "s3:PutObject": Access.WRITE,
    "s3:AbortMultipartUpload": Access.WRITE,
    "s3:ListMultipartUploadParts": Access.WRITE,
}
NEVER = [
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:GetObjectVersion",
    "s3:PutBucketPolicy",
    "s3:ListAllMyBuckets",
]


def allows(policy: Any, action: str, resource: str, *, at: datetime, listed: str = "") -> bool:
    """Judge a request by a policy, as IAM's grammar has it: `*` is any text, and everything in a statement must fit."""

    def fits(pattern: str, text: str) -> bool:
        return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None

    def met(conditions: dict[str, Any]) -> bool:
        prefixes = conditions.get("StringLike", {}).get("s3:prefix")
        ends = datetime.fromisoformat(conditions["DateLessThan"]["aws:CurrentTime"])
        return at < ends and (prefixes is None or any(fits(one, listed) for one in prefixes))

    return any(
        statement["Effect"] == "Allow"
        and action in statement["Action"]
        and any(fits(one, resource) for one in statement["Resource"])
        and met(statement["Condition"])
        for statement in policy["Statement"]
    )


def neighbours(prefix: str) -> list[str]:
    """Keys that resemble one below the prefix, and are none: siblings, parents, the folder's own name."""
    parts = prefix.rstrip("/").split("/")
    return [
        prefix.rstrip("/"),
        prefix.rstrip("/") + "0/file",
        prefix.rstrip("/") + "-old/file",
        "/".join(parts[:-1]) + "/file",
        parts[0] + "/file",
        "other/" + prefix + "file",
        prefix.upper() + "file" if prefix.upper() != prefix else "x/file",
        "file",
    ]


@given(PREFIXES, EITHER, st.text(max_size=30))
@example("lab/proj1/", [Access.WRITE], "0/file")
def test_a_policy_reaches_every_key_below_its_prefix_and_no_other(
    prefix: str, access: Sequence[Access], path: str
) -> None:
    policy = policy_of(BUCKET, prefix, access=access, until=UNTIL)
    before, after = UNTIL - timedelta(seconds=1), UNTIL

    def may(action: str, key: str, at: datetime = before, bucket: str = BUCKET) -> bool:
        if action == "s3:ListBucket":
            return allows(policy, action, f"arn:aws:s3:::{bucket}", at=at, listed=key)
        return allows(policy, action, f"arn:aws:s3:::{bucket}/{key}", at=at)

    assert {action: may(action, prefix + path) for action in ACTIONS} == {
        action: needed in access for action, needed in ACTIONS.items()
    }
    assert [action for action in NEVER if may(action, prefix + path)] == []
    assert [action for action in ACTIONS if may(action, prefix + path, after)] == []
    assert [action for action in ACTIONS if may(action, prefix + path, before, "catalog-other")] == []
    assert [(action, key) for action in ACTIONS for key in neighbours(prefix) if may(action, key)] == []


@pytest.mark.parametrize("prefix", ["", "/", "lab/proj1", "/lab/proj1/", "lab/*/", "lab/p?/", "lab/${aws:username}/"])
def test_no_policy_is_made_for_what_is_no_folder(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        policy_of(BUCKET, prefix, access=[Access.READ], until=UNTIL)


ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>key</AccessKeyId><SecretAccessKey>a-secret-of-a-careless-store</SecretAccessKey>
<SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>"""


@contextmanager
def answering(assumed: tuple[int, str], listing: int) -> Generator[str]:
    """Run a store that answers AssumeRole so, and the listing of its bucket with this status."""

    class Careless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer(*assumed)

        def do_GET(self) -> None:
            self._answer(listing, "")

        def _answer(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Careless)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def refusal(endpoint: str, **other: str) -> CatalogError:
    keys = {"region": "us-east-1", "bucket": BUCKET, "access_key": "catalog", "secret_key": "not-the-one-it-knows"}
    service = TokenService(**{"endpoint": endpoint, "store_endpoint": endpoint} | keys | other)
    now = datetime.now(UTC)
    try:
        with pytest.raises(CatalogError) as refused:
            await service.issue("lab/proj1/", access=[Access.READ], until=now + timedelta(hours=1), now=now)
    finally:
        await service.close()
    return refused.value


@pytest.mark.parametrize("listing", [200, 404, 500])
async def test_keys_that_are_not_refused_where_they_must_be_are_not_handed_out(listing: int) -> None:
    with answering((200, ASSUMED), listing) as endpoint:
        refused = await refusal(endpoint)

    assert isinstance(refused, NoTemporaryCredentials)
    assert f"with {listing}. None was handed out." in refused.detail
    assert "a-secret" not in repr(refused)


@pytest.mark.parametrize(
    ("assumed", "kind", "told"),
    [
        (
            (403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"),
            NoTemporaryCredentials,
            "(AccessDenied)",
        ),
        ((200, "<html>It works!</html>"), NoTemporaryCredentials, "answered 200."),
        ((200, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), NoTemporaryCredentials, "answered 200."),
        ((501, ""), NoTemporaryCredentials, "answered 501."),
        ((503, "busy"), Unavailable, "answered 503."),
    ],
)
async def test_a_store_that_makes_no_keys_is_told_from_one_that_is_away(
    assumed: tuple[int, str], kind: type[CatalogError], told: str
) -> None:
    with answering(assumed, 403) as endpoint:
        refused = await refusal(endpoint)

    assert (type(refused), told in refused.detail) == (kind, True)


async def test_a_token_service_that_does_not_answer_is_unavailable() -> None:
    assert type(await refusal("http://127.0.0.1:9")) is Unavailable


async def test_keys_that_the_store_does_not_know_are_refused_with_the_alternative(s3_server: S3Server) -> None:
    refused = await refusal(s3_server.endpoint)

    assert isinstance(refused, NoTemporaryCredentials)
    assert "/api/uploads" in refused.detail
