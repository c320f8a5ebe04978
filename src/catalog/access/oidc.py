"""Tokens of an OpenID provider: what one must be to count here, and what it then says.

Pure: takes texts, keys and a time, and returns what was proved or refuses. Knows nothing of networks, of HTTP, or of
who may see what. No key that a token brings or names (`jwk`, `jku`, `x5u`, `x5c`) is used: keys come from the provider.

Sources: RFC 7515 (JWS), RFC 7517 (keys), RFC 7519 (claims), RFC 8725 (best current practice), RFC 9068 (access tokens),
OpenID Connect Core 1.0 (ID tokens). No refusal repeats what a token holds.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pydantic_core
from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS, JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey

from catalog.access.audience import Role, strongest
from catalog.access.principals import TOKEN_MARK
from catalog.errors import Unauthenticated

# With some hundred groups a token has about 8 kB. All headers of a request together have at most 64 KiB.
TOKEN_BYTES_MAX = 16 * 1024
KEYS_MAX = 64
# NIST SP 800-131A asks for 2,048 bits at least; beyond 8,192 a signature costs milliseconds to check.
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192
RSA_EXPONENT_BYTES_MAX = 4
# OpenID Connect Core 1.0, section 2: "sub" has at most 255 ASCII characters.
SUBJECT = re.compile(r"[ -~]{1,255}")
_KEY_ID = re.compile(r"[ -~]{1,512}")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]*")
_SHAPED = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){2,4}")
_NUMBER_MAX = 2**53

# RFC 9068, section 4, and what providers write that came before it.
ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_TYPES = ACCESS_TYPES | {"jwt", "application/jwt"}
# What only an ID token has: it was made for a client, and tells nothing of leave to use an API.
_ID_TOKEN_CLAIMS = ("nonce", "at_hash", "c_hash", "s_hash")
_NAMES_OWN_KEY = ("jwk", "jku", "x5u", "x5c")

# Each algorithm with the one type of key, and the one curve, that it may be used with (RFC 8725, section 3.1).
BINDINGS: Mapping[str, tuple[str, str | None]] = {
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
_BY_NAME = {one.name: one for one in JWS_ALGORITHMS}
# RFC 9864 gave EdDSA on this curve the curve's name; the signatures are the same.
_MODELS: Mapping[str, JWSAlgModel] = {name: _BY_NAME["Ed25519" if name == "EdDSA" else name] for name in BINDINGS}
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class TokenRefused(Unauthenticated):
    """The token does not prove who you are."""


class UnknownKey(TokenRefused):
    """The token is signed with a key that the provider does not publish."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator asks of a token, and what groups may do here; durations as such, texts to the letter."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    groups_claim: str = "groups"
    roles: tuple[tuple[str, Role], ...] = ()
    skew: timedelta = timedelta(seconds=60)

    def role_of(self, groups: Sequence[str]) -> Role:
        """Return what somebody in these groups may do: the strongest role of them, and to read without any."""
        return strongest(role for group, role in self.roles if group in groups) or Role.READER


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that the provider publishes, and what it may be used for."""

    kid: str | None
    kind: str
    curve: str | None
    algorithm: str | None
    members: tuple[tuple[str, str], ...]

    def suits(self, algorithm: str) -> bool:
        """Whether a signature of this algorithm may be checked with this key."""
        same = {algorithm, "EdDSA", "Ed25519"} if algorithm in {"EdDSA", "Ed25519"} else {algorithm}
        return BINDINGS[algorithm] == (self.kind, self.curve) and self.algorithm in {None, *same}

    def verify(self, algorithm: str, signed: bytes, signature: bytes) -> None:
        """Return when the signature is by this key; raises TokenRefused."""
        try:
            genuine = _MODELS[algorithm].verify(signed, signature, self._key())
        except (JoseError, ValueError):
            genuine = False
        if not genuine:
            raise TokenRefused("The token's signature is not its provider's.")

    def _key(self) -> RSAKey | ECKey | OKPKey:
        return _KINDS[self.kind].import_key(cast("Any", {"kty": self.kind, **dict(self.members)}))


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token taken apart: nothing of it is proved before `verify` has returned."""

    algorithm: str
    kid: str | None
    type: str | None
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    def verify(self, keys: Sequence[PublicKey]) -> None:
        """Return when one of these keys made it; raises UnknownKey when none is named so, else TokenRefused.

        The token says which key and the key says for what it is good: never the token alone.
        """
        named = [key for key in keys if key.kid == self.kid] if self.kid is not None else list(keys)
        if not named:
            raise UnknownKey
        suited = [key for key in named if key.suits(self.algorithm)]
        if not suited:
            raise TokenRefused("The token's algorithm does not fit the key that it names.")
        if len(suited) > 1:
            raise TokenRefused("The token does not say which of its provider's keys made it.")
        suited[0].verify(self.algorithm, self.signed, self.signature)


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the provider vouches for, in which role, and from when until when (seconds since 1970)."""

    issuer: str
    subject: str
    username: str | None
    role: Role
    issued_at: int
    not_before: float
    expires_at: float

    def must_hold(self, at: float, skew: timedelta) -> None:
        """Return when this holds at a moment, give or take the skew; raises TokenRefused."""
        leeway = skew.total_seconds()
        if at >= self.expires_at + leeway:
            raise TokenRefused("The token has expired; get a new one from the provider.")
        if at < self.not_before - leeway:
            raise TokenRefused("The token is not valid yet; look at the clock of the provider and at ours.")


def is_shaped(token: str) -> bool:
    """Whether a bearer token is of a provider's shape (RFC 7515, section 3.1) and not one of our own."""
    return not token.startswith(TOKEN_MARK) and _SHAPED.fullmatch(token) is not None


def parsed(token: str, rules: Rules) -> SignedToken:
    """Take a token apart; raises TokenRefused for what is no signed token, or signed in a way that does not count."""
    if len(token) > TOKEN_BYTES_MAX:
        raise TokenRefused(f"A token here has at most {TOKEN_BYTES_MAX:,} bytes.")
    parts = token.split(".")
    if len(parts) != 3:  # ruff: ignore[PLR2004] - RFC 7515, section 3.1: header, payload, signature.
        raise TokenRefused("The token is encrypted or incomplete; send one that is signed (JWS).")
    header = _json_object(parts[0])
    if "crit" in header or "b64" in header:
        raise TokenRefused("The token asks for an extension (`crit`) that is not understood here.")
    if any(name in header for name in _NAMES_OWN_KEY):
        raise TokenRefused("The token brings or names its own key; keys are taken from the provider alone.")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms or algorithm not in BINDINGS:
        raise TokenRefused(f"The token's algorithm does not count; these do: {', '.join(sorted(rules.algorithms))}.")
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in _TYPES):
        raise TokenRefused("The token's `typ` is not that of an access token (`at+jwt` or `JWT`).")
    kid = header.get("kid")
    if kid is not None and (not isinstance(kid, str) or not _KEY_ID.fullmatch(kid)):
        raise TokenRefused("The token's `kid` is not a text.")
    signed = f"{parts[0]}.{parts[1]}".encode()
    return SignedToken(
        algorithm, kid, None if kind is None else kind.lower(), _json_object(parts[1]), signed, _decoded(parts[2])
    )


def access_of(token: SignedToken, rules: Rules) -> Vouched:
    """Return whom the claims of an access token vouch for; raises TokenRefused. The signature is judged elsewhere.

    An ID token is refused where it can be told apart: it says who logged in somewhere, not who may call here.
    """
    claims = token.claims
    _must_be_from(claims, rules)
    if token.type not in ACCESS_TYPES and (
        any(name in claims for name in _ID_TOKEN_CLAIMS) or claims.get("typ", "Bearer") != "Bearer"
    ):
        raise TokenRefused("This is not an access token; send the access token that the provider gave with it.")
    if rules.audience not in _audiences(claims):
        raise TokenRefused("The token was issued for another audience.")
    return _vouched(claims, rules)


def login_of(token: SignedToken, rules: Rules, *, client_id: str, nonce: str) -> Vouched:
    """Return whom the claims of an ID token say logged in; raises TokenRefused. The signature is judged elsewhere.

    OpenID Connect Core 1.0, section 3.1.3.7: for this client, and for the login that began with this nonce.
    """
    claims = token.claims
    _must_be_from(claims, rules)
    audiences = _audiences(claims)
    for_us = client_id in audiences and claims.get("azp", client_id) == client_id
    if token.type in ACCESS_TYPES or not for_us or (len(audiences) > 1 and "azp" not in claims):
        raise TokenRefused("The provider's answer was made for somebody else; log in again.")
    if claims.get("nonce") != nonce:
        raise TokenRefused("The provider's answer belongs to another login; log in again.")
    return _vouched(claims, rules)


def _must_be_from(claims: Mapping[str, Any], rules: Rules) -> None:
    # To the letter and as a text: of a list, or of two spellings of one address, somebody else could own a part.
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer != rules.issuer:
        raise TokenRefused("The token is from another issuer than the one configured here.")


def _audiences(claims: Mapping[str, Any]) -> Sequence[str]:
    """Return whom a token is for (RFC 7519, section 4.1.3): a text, or a list of nothing but texts."""
    audience = claims.get("aud")
    if isinstance(audience, str):
        return (audience,)
    if isinstance(audience, list) and all(isinstance(one, str) for one in audience):
        return audience
    return ()


def _vouched(claims: Mapping[str, Any], rules: Rules) -> Vouched:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not SUBJECT.fullmatch(subject):
        raise TokenRefused("The token names nobody: `sub` is missing or not 1 to 255 ASCII characters.")
    issued = _moment(claims, "iat")
    expires = _moment(claims, "exp")
    not_before = max(issued, _moment(claims, "nbf")) if "nbf" in claims else issued
    username = claims.get("preferred_username")
    return Vouched(
        issuer=rules.issuer,
        subject=subject,
        username=username if isinstance(username, str) else None,
        role=rules.role_of(_groups(claims.get(rules.groups_claim))),
        issued_at=int(issued),
        not_before=not_before,
        expires_at=expires,
    )


def _moment(claims: Mapping[str, Any], name: str) -> float:
    """Return a NumericDate (RFC 7519, section 2)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"The token has no `{name}`, which must be a number of seconds.")
    if not math.isfinite(value) or not 0 <= value <= _NUMBER_MAX:
        raise TokenRefused(f"The token's `{name}` is no moment.")
    return float(value)


def _groups(claim: Any) -> Sequence[str]:
    if isinstance(claim, str):
        return (claim,)
    return [one for one in claim if isinstance(one, str)] if isinstance(claim, list) else ()


def keys_from(document: Any) -> tuple[PublicKey, ...]:
    """Return the keys of a JWK set that signatures may be checked with; raises ValueError for what is no set.

    What is of another kind, for another use, too weak or too large is left out (RFC 7517, section 5), and so is a key
    that was published with its secret.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise ValueError(f"its answer is no set of at most {KEYS_MAX} keys")
    return tuple(key for one in listed if isinstance(one, dict) and (key := _public_key(one)) is not None)


def _public_key(described: dict[str, Any]) -> PublicKey | None:
    kind, kid, algorithm = (described.get(name) for name in ("kty", "kid", "alg"))
    operations = described.get("key_ops", ["verify"])
    if not isinstance(kind, str) or kind not in _KINDS or "d" in described or described.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    members: dict[str, Any] = {name: described.get(name) for name in _MEMBERS[kind]}
    texts = [*members.values(), *(text for text in (kid, algorithm) if text is not None)]
    if not all(isinstance(text, str) for text in texts) or (kind == "RSA" and not _is_sound(members)):
        return None
    key = PublicKey(kid, kind, members.get("crv"), algorithm, tuple(members.items()))
    try:
        key._key()  # ruff: ignore[SLF001] - whether it is a key at all.
    except (JoseError, ValueError):
        return None
    return key


def _is_sound(rsa: Mapping[str, Any]) -> bool:
    try:
        modulus, exponent = (_decoded(rsa[name]) for name in ("n", "e"))
    except TokenRefused:
        return False
    bits = int.from_bytes(modulus[: RSA_BITS_MAX // 8 + 1], "big").bit_length()
    return RSA_BITS_MIN <= bits <= RSA_BITS_MAX and len(exponent) <= RSA_EXPONENT_BYTES_MAX


def _json_object(segment: str) -> Mapping[str, Any]:
    try:
        value = pydantic_core.from_json(_decoded(segment), allow_inf_nan=False)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise TokenRefused("The token cannot be read.")
    return value


def _decoded(segment: str) -> bytes:
    # The library's own decoder passes over what is no base64url.
    if not _SEGMENT.fullmatch(segment) or len(segment) % 4 == 1:
        raise TokenRefused("The token cannot be read.")
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
