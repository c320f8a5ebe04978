"""Credentials of the store that end by themselves and reach one folder: what they may, and how the store makes them.

They are made by the store's own token service (AWS Security Token Service API, AssumeRole) from the catalog's keys and
a session policy, which can only take rights away. The catalog hands them out and keeps none.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
from minio.credentials.credentials import Credentials
from minio.signer import sign_v4_sts

from catalog.errors import Conflict, Unavailable
from catalog.storage import answers, bounded
from catalog.storage.s3 import ANSWER_TIMEOUT, CONNECT_TIMEOUT
from catalog.storage.signing import Signer

# Twelve hours is as long as a role's session lasts at most, fifteen minutes as short (AWS STS API, AssumeRole); ours
# end earlier all the same, because the policy has their end in it too.
LIFETIME_MAX = timedelta(hours=12)
LIFETIME_DEFAULT = timedelta(hours=1)
_SESSION_MIN = timedelta(minutes=15)
_PROBE_LIFETIME = timedelta(minutes=1)
# What a policy would read as a pattern or a variable (IAM User Guide, "Policy elements: Variables").
PATTERN_CHARACTERS = "*?$"

# A session token carries the policy in it, and is a few thousand characters long.
ANSWER_BYTES_MAX = 64 * 1024

_NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
_FORM = "application/x-www-form-urlencoded"


class Access(StrEnum):
    """What credentials are for."""

    READ = "read"
    WRITE = "write"


class NoTemporaryCredentials(Conflict):
    """The store does not issue temporary credentials."""


@dataclass(frozen=True, slots=True)
class Temporary:
    """Keys that end. Never log, store or show them but in the one answer."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


def policy_of(bucket: str, prefix: str, *, access: Sequence[Access], until: datetime) -> Mapping[str, Any]:
    """Return the least that lets its holder do this below `prefix`, until then (IAM User Guide, "Policy grammar").

    Reading is getting and listing. Writing is putting, whole or in parts: it neither lists, nor gets what it put, nor
    removes. Raises ValueError for a prefix that does not end in a slash, or that a policy would read as a pattern.
    """
    if not prefix.endswith("/") or prefix.startswith("/"):
        raise ValueError("a prefix ends in a slash and does not begin with one: proj1 must never reach into proj10")
    if any(character in prefix for character in PATTERN_CHARACTERS):
        raise ValueError(f"a policy would read {PATTERN_CHARACTERS} in a prefix as patterns")
    if not access:
        raise ValueError("credentials are for reading, writing or both")
    ends = {"DateLessThan": {"aws:CurrentTime": until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}}
    below = [f"arn:aws:s3:::{bucket}/{prefix}*"]
    statements: list[Mapping[str, Any]] = []
    if Access.READ in access:
        statements += [
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": below, "Condition": ends},
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
                "Condition": {**ends, "StringLike": {"s3:prefix": [f"{prefix}*"]}},
            },
        ]
    if Access.WRITE in access:
        actions = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        statements.append({"Effect": "Allow", "Action": actions, "Resource": below, "Condition": ends})
    return {"Version": "2012-10-17", "Statement": statements}


class TokenService:
    """The token service of one store. Close it. `transport` is how connections are made, for endpoints of others."""

    def __init__(
        self,
        *,
        endpoint: str,
        store_endpoint: str,
        region: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        role: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._store_endpoint = store_endpoint
        self._region = region
        self._bucket = bucket
        self._keys = Credentials(access_key=access_key, secret_key=secret_key)
        self._role = role
        self._client = httpx2.AsyncClient(
            # A proxy named in the environment would see the answer, which has the keys in it.
            trust_env=False,
            timeout=httpx2.Timeout(ANSWER_TIMEOUT.total_seconds(), connect=CONNECT_TIMEOUT.total_seconds()),
            # Few bytes that are packed may be many.
            headers={"accept-encoding": "identity"},
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"TokenService(endpoint={self._endpoint!r}, bucket={self._bucket!r})"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def issue(self, prefix: str, *, access: Sequence[Access], until: datetime, now: datetime) -> Temporary:
        """Have the store make keys for this folder of the bucket; they end at `until`, or earlier if it says so.

        Raises NoTemporaryCredentials where the store makes none, or makes some that reach further than they may;
        Unavailable when it does not answer.
        """
        policy = policy_of(self._bucket, prefix, access=access, until=until)
        made = await self._assume(policy, max(until - now, _SESSION_MIN), now)
        await self._must_be_confined(made)
        return Temporary(made.access_key, made.secret_key, made.session_token, min(until, made.expires_at))

    async def _assume(self, policy: Mapping[str, Any], lifetime: timedelta, now: datetime) -> Temporary:
        asked = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "DurationSeconds": str(int(lifetime.total_seconds())),
            "Policy": json.dumps(policy, separators=(",", ":")),
        }
        if self._role is not None:
            asked |= {"RoleArn": self._role, "RoleSessionName": "catalog"}
        body = urlencode(asked)
        where = urlsplit(self._endpoint)
        headers = sign_v4_sts(
            method="POST",
            # The service is at the root, whatever slash the setting ends in.
            url=where._replace(path="/"),
            region=self._region,
            headers={"Content-Type": _FORM, "Host": where.netloc, "X-Amz-Date": now.strftime("%Y%m%dT%H%M%SZ")},
            credentials=self._keys,
            content_sha256=hashlib.sha256(body.encode()).hexdigest(),
            date=now,
        )
        answer = await self._send("POST", self._endpoint, content=body.encode(), headers=_plain(headers))
        if httpx2.codes.is_server_error(answer.status_code) and not _has_none(answer):
            raise Unavailable(f"The store's token service answered {answer.status_code}.")
        made = _made_of(answer.content) if answer.status_code == httpx2.codes.OK else None
        if made is None:
            raise NoTemporaryCredentials(
                f"The store does not issue temporary credentials to this catalog: it answered {answer.status_code}"
                f"{_code_of(answer.content)}. {_INSTEAD}"
            )
        return made

    async def _must_be_confined(self, made: Temporary) -> None:
        """Try what no such credentials may: a store that takes a policy and does not keep it must not go unnoticed."""
        signer = Signer(
            endpoint=self._store_endpoint,
            region=self._region,
            access_key=made.access_key,
            secret_key=made.secret_key,
        )
        link = signer.sign(
            "GET",
            self._bucket,
            "",
            expires=_PROBE_LIFETIME,
            now=datetime.now(UTC),
            query={"list-type": "2", "max-keys": "1", "X-Amz-Security-Token": made.session_token},
        )
        answer = await self._send("GET", link.href)
        if answer.status_code != httpx2.codes.FORBIDDEN:
            raise NoTemporaryCredentials(
                f"The store makes temporary credentials that reach further than they were made for: it let them list "
                f"the bucket, with {answer.status_code}. None was handed out. {_INSTEAD}"
            )

    async def _send(self, method: str, url: str, **more: Any) -> httpx2.Response:
        try:
            async with self._client.stream(method, url, **more) as answer:
                try:
                    said = await bounded.whole(answer, bytes_max=ANSWER_BYTES_MAX, patience=ANSWER_TIMEOUT)
                except bounded.TooLong:
                    # The page of something else: its status says enough.
                    said = b""
                server = answer.headers.get("server", "")
                return httpx2.Response(answer.status_code, headers={"server": server}, content=said)
        except httpx2.HTTPError as failure:
            # Its text and its request may hold keys: only its kind is told.
            raise Unavailable(f"The store's token service cannot be reached: {type(failure).__name__}.") from None


_INSTEAD = (
    "Bring files with tickets (POST /api/objects or /api/uploads) and fetch them by links "
    "(GET /api/objects/{id}/files/{path}): both are presigned and need no credentials."
)


def _plain(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in headers.items()}


def _has_none(answer: httpx2.Response) -> bool:
    """Whether a fault of the server means that it has no token service: SeaweedFS says then that it is away (4.48)."""
    without = answer.headers.get("server", "").startswith("SeaweedFS")
    return without or answer.status_code == httpx2.codes.NOT_IMPLEMENTED


def _made_of(answer: bytes) -> Temporary | None:
    """Read what AssumeRole answers; None for anything else, such as the page of a server that knows no tokens."""
    root = answers.root_of(answer, bytes_max=ANSWER_BYTES_MAX)
    told = None if root is None else root.find(f".//{_NAMESPACE}Credentials")
    if told is None:
        return None
    said = {answers.name_of(child): child.text or "" for child in told}
    try:
        return Temporary(
            said["AccessKeyId"],
            said["SecretAccessKey"],
            said["SessionToken"],
            datetime.fromisoformat(said["Expiration"]),
        )
    except (KeyError, ValueError):
        return None


def _code_of(answer: bytes) -> str:
    root = answers.root_of(answer, bytes_max=ANSWER_BYTES_MAX)
    found = None if root is None else next((one.text for one in root.iter() if answers.name_of(one) == "Code"), None)
    # A short word of the store's; anything longer is a page of something else.
    return f" ({found})" if found and found.isascii() and found.isalnum() else ""
