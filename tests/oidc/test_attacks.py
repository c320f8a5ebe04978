"""What an OpenID provider's token must be to count here: a corpus of those that must not, each with one thing wrong."""

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwe
from joserfc.jwk import ECKey
from pydantic import TypeAdapter

from catalog.access import oidc, provider
from catalog.access.audience import Role
from catalog.access.oidc import TokenRefused, Vouched
from catalog.access.provider import Provider, ProviderAway
from catalog.settings import SigningAlgorithms
from tests.conftest import eventually
from tests.oidc.conftest import Asks
from tests.oidc.standin import (
    AUDIENCE,
    EC,
    ED,
    JWKS,
    OTHER_RSA,
    RSA,
    WELL_KNOWN,
    Answer,
    StandIn,
    encoded,
    jwt,
    public,
    weakly_signed,
)

pytestmark = pytest.mark.req("MWM-SADD-23")

FIRST_LOOK = [WELL_KNOWN, JWKS]
NOW = 1_800_000_000
Make = Callable[[StandIn], str]


async def refusal(provider: Provider, token: str) -> str:
    """Return why a token is refused; every refusal is an error of its own kind that repeats nothing of the token."""
    with pytest.raises(TokenRefused) as refused:
        await provider.verify(token)
    told = refused.value.detail
    assert not [part for part in token.split(".") if len(part) >= 8 and part in told]
    return told


@pytest.mark.parametrize(("algorithm", "kid", "key"), [("RS256", "rsa", RSA), ("ES256", "ec", EC), ("EdDSA", "ed", ED)])
async def test_a_good_token_of_each_algorithm_says_who_sent_it(
    idp: StandIn, provider: Provider, algorithm: str, kid: str, key: Any
) -> None:
    claims = idp.claims(sub="ana", preferred_username="Ana", groups=["stations", "football"])

    vouched = await provider.verify(jwt({"alg": algorithm, "typ": "at+jwt", "kid": kid}, claims, key))

    assert vouched == Vouched(
        issuer=idp.url,
        subject="ana",
        username="Ana",
        role=Role.INGEST,
        issued_at=claims["iat"],
        not_before=claims["iat"],
        expires_at=claims["exp"],
    )
    assert idp.asked == FIRST_LOOK


@pytest.mark.parametrize(
    "issuer",
    [
        "https://idp.example.org",
        None,
        "",
        ["{}"],
        ["{}", "https://idp.example.org"],
        {"url": "{}"},
        "{}/",
        " {}",
        "{}#",
        "{}?",
        "{}.example.org",
        1,
        True,
    ],
    ids=str,
)
async def test_oidc_rejects_bad_issuer(idp: StandIn, provider: Provider, issuer: Any) -> None:
    """The signature is right each time: only who says it is not."""
    spelled = json.loads(json.dumps(issuer).replace("{}", idp.url))

    told = await refusal(provider, idp.token(iss=spelled))

    assert told == "The token is from another issuer than the one configured here."
    assert idp.asked == []


async def test_oidc_rejects_bad_issuer_in_another_case(idp: StandIn, provider: Provider) -> None:
    assert await refusal(provider, idp.token(iss=idp.url.upper())) == (
        "The token is from another issuer than the one configured here."
    )


UNSIGNED = "The token's algorithm does not count; these do: ES256, EdDSA, RS256."
NOT_ITS_KEY = "The token's signature is not its provider's."
UNREADABLE = "The token cannot be read."
OTHER_AUDIENCE = "The token was issued for another audience."
OWN_KEY = "The token brings or names its own key; keys are taken from the provider alone."
EXTENSION = "The token asks for an extension (`crit`) that is not understood here."
NO_ACCESS_TOKEN = "This is not an access token; send the access token that the provider gave with it."
NOT_YET = "The token is not valid yet; look at the clock of the provider and at ours."
EXPIRED = "The token has expired; get a new one from the provider."
NOBODY = "The token names nobody: `sub` is missing or not 1 to 255 ASCII characters."


def hmac_with_the_public_key(idp: StandIn) -> str:
    """Signed with what everybody knows, in the hope that it is taken for a secret (RFC 8725, section 2.1)."""
    unsigned = jwt({"alg": "HS256", "typ": "at+jwt", "kid": "rsa"}, idp.claims(), None).rstrip(".")
    return f"{unsigned}.{encoded(hmac.digest(RSA.as_pem(private=False), unsigned.encode(), 'sha256'))}"


def altered(idp: StandIn) -> str:
    """The header and signature of one token around the claims of another."""
    header, _, signature = idp.token(sub="ana").split(".")
    return ".".join([header, idp.token(sub="admin").split(".")[1], signature])


def signed_by_another(idp: StandIn) -> str:
    return idp.token(key=OTHER_RSA)


def embedded_key(idp: StandIn) -> str:
    own = OTHER_RSA.as_dict(private=False)
    return idp.token(key=OTHER_RSA, header={"jwk": own, "kid": None})


def encrypted(idp: StandIn) -> str:
    protected = {"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT"}
    return jwe.encrypt_compact(protected, idp.token(), RSA)


def with_end(claims: str, end: str) -> bytes:
    """Write another end into claims: the moments beside it may have the same digits."""
    return claims.replace('"exp": 77', f'"exp": {end}').encode()


TOKENS: dict[str, tuple[Make, str]] = {
    "alg none": (lambda idp: jwt({"alg": "none", "typ": "at+jwt"}, idp.claims(), None), UNSIGNED),
    "alg None": (lambda idp: jwt({"alg": "None", "kid": "rsa"}, idp.claims(), None), UNSIGNED),
    "no alg": (lambda idp: jwt({"kid": "rsa"}, idp.claims(), None), UNSIGNED),
    "alg as list": (lambda idp: jwt({"alg": ["RS256"], "kid": "rsa"}, idp.claims(), None), UNSIGNED),
    "HMAC with the public key": (hmac_with_the_public_key, UNSIGNED),
    "asymmetric but not allowed": (lambda idp: idp.token(header={"alg": "PS256"}), UNSIGNED),
    "no signature": (lambda idp: idp.token().rpartition(".")[0] + ".", NOT_ITS_KEY),
    "signed by another": (signed_by_another, NOT_ITS_KEY),
    "altered": (altered, NOT_ITS_KEY),
    "RSA key used as EC": (
        lambda idp: jwt({"alg": "ES256", "kid": "rsa"}, idp.claims(), EC),
        "The token's algorithm does not fit the key that it names.",
    ),
    "EC key used as RSA": (
        lambda idp: jwt({"alg": "RS256", "kid": "ec"}, idp.claims(), RSA),
        "The token's algorithm does not fit the key that it names.",
    ),
    "embedded key": (embedded_key, OWN_KEY),
    "its own certificate": (lambda idp: idp.token(header={"x5c": ["MIIB"]}), OWN_KEY),
    "a certificate elsewhere": (lambda idp: idp.token(header={"x5u": "https://idp.example.org/x"}), OWN_KEY),
    "crit": (lambda idp: idp.token(header={"crit": ["exp"], "exp": 1}), EXTENSION),
    "empty crit": (lambda idp: idp.token(header={"crit": []}), EXTENSION),
    "unencoded payload": (lambda idp: idp.token(header={"b64": False}), EXTENSION),
    "kid as list": (lambda idp: idp.token(header={"kid": ["rsa"]}), "The token's `kid` is not a text."),
    "no kid, which fits one key alone": (lambda idp: idp.token(key=OTHER_RSA, header={"kid": None}), NOT_ITS_KEY),
    "another audience": (lambda idp: idp.token(aud="https://other.example.org"), OTHER_AUDIENCE),
    "audience as prefix": (lambda idp: idp.token(aud=f"{AUDIENCE}/x"), OTHER_AUDIENCE),
    "audience in another case": (lambda idp: idp.token(aud=AUDIENCE.upper()), OTHER_AUDIENCE),
    "missing audience": (lambda idp: idp.token(aud=None), OTHER_AUDIENCE),
    "empty audiences": (lambda idp: idp.token(aud=[]), OTHER_AUDIENCE),
    "other audiences": (lambda idp: idp.token(aud=["https://other.example.org", "account"]), OTHER_AUDIENCE),
    "ours among things that are no texts": (lambda idp: idp.token(aud=[AUDIENCE, 1]), OTHER_AUDIENCE),
    "ours in a list of lists": (lambda idp: idp.token(aud=[[AUDIENCE]]), OTHER_AUDIENCE),
    "ours as a key": (lambda idp: idp.token(aud={AUDIENCE: True}), OTHER_AUDIENCE),
    "expired": (lambda idp: idp.token(exp=int(time.time()) - 61), EXPIRED),
    "never expires": (lambda idp: idp.token(exp=None), "The token has no `exp`, which must be a number of seconds."),
    "expires as text": (
        lambda idp: idp.token(exp="9999999999"),
        "The token has no `exp`, which must be a number of seconds.",
    ),
    "expires when true": (
        lambda idp: idp.token(exp=True),
        "The token has no `exp`, which must be a number of seconds.",
    ),
    "expires beyond all time": (
        lambda idp: jwt({"alg": "RS256", "kid": "rsa"}, with_end(json.dumps(idp.claims(exp=77)), "1e999"), RSA),
        "The token's `exp` is no moment.",
    ),
    "not valid yet": (lambda idp: idp.token(nbf=int(time.time()) + 65), NOT_YET),
    "issued in the future": (lambda idp: idp.token(iat=int(time.time()) + 65), NOT_YET),
    "never issued": (lambda idp: idp.token(iat=None), "The token has no `iat`, which must be a number of seconds."),
    "issued before time": (lambda idp: idp.token(iat=-1), "The token's `iat` is no moment."),
    "nobody": (lambda idp: idp.token(sub=None), NOBODY),
    "an empty name": (lambda idp: idp.token(sub=""), NOBODY),
    "two lines": (lambda idp: idp.token(sub="ana\nadmin"), NOBODY),
    "a list of people": (lambda idp: idp.token(sub=["ana"]), NOBODY),
    "a long name": (lambda idp: idp.token(sub="a" * 256), NOBODY),
    "an ID token": (lambda idp: idp.token(header={"typ": "JWT"}, nonce="n"), NO_ACCESS_TOKEN),
    "an ID token by its hash": (lambda idp: idp.token(header={"typ": None}, at_hash="h"), NO_ACCESS_TOKEN),
    "a refresh token": (lambda idp: idp.token(header={"typ": "JWT"}, typ="Refresh"), NO_ACCESS_TOKEN),
    "a logout token": (
        lambda idp: idp.token(header={"typ": "logout+jwt"}),
        "The token's `typ` is not that of an access token (`at+jwt` or `JWT`).",
    ),
    "a type that is none": (
        lambda idp: idp.token(header={"typ": ["at+jwt"]}),
        "The token's `typ` is not that of an access token (`at+jwt` or `JWT`).",
    ),
    "encrypted": (encrypted, "The token is encrypted or incomplete; send one that is signed (JWS)."),
    "claims that are a list": (lambda _: jwt({"alg": "RS256", "kid": "rsa"}, [1]), UNREADABLE),
    "claims that nest for ever": (lambda _: jwt({"alg": "RS256", "kid": "rsa"}, b"[" * 10_000), UNREADABLE),
    "a header that is none": (lambda idp: "e30x" + idp.token(), UNREADABLE),
    "padding": (lambda idp: idp.token() + "=", UNREADABLE),
    "white space within": (lambda idp: idp.token().replace(".", ".\n", 1), UNREADABLE),
    "oversized": (lambda idp: idp.token(more="x" * 16_000), "A token here has at most 16,384 bytes."),
}


@pytest.mark.parametrize("name", TOKENS)
async def test_a_token_with_one_thing_wrong_is_refused_and_told_why(
    idp: StandIn, provider: Provider, name: str
) -> None:
    make, why = TOKENS[name]

    assert await refusal(provider, make(idp)) == why
    assert idp.asked in ([], FIRST_LOOK)
    # The one beside it, with nothing wrong, is taken.
    assert (await provider.verify(idp.token(sub="ana"))).subject == "ana"


UNUSUAL: dict[str, dict[str, Any]] = {
    "one audience in a list": {"aud": [AUDIENCE]},
    "several audiences": {"aud": ["account", AUDIENCE]},
    "valid from soon, within the skew": {"nbf": int(time.time()) + 50},
    "issued soon, within the skew": {"iat": int(time.time()) + 50},
    "the whole media type": {"header": {"typ": "application/at+jwt"}},
    "capital letters": {"header": {"typ": "AT+JWT"}},
    "a JWT": {"header": {"typ": "JWT"}},
    "no type": {"header": {"typ": None}},
    "a bearer token": {"header": {"typ": "JWT"}, "typ": "Bearer"},
    "no kid, where one key fits": {"header": {"kid": None}},
    "a thumbprint": {"header": {"x5t": "thumb"}},
    "groups that are a text": {"groups": "not-a-list"},
    "groups that are no texts": {"groups": [1, None, {}]},
    "groups that are an object": {"groups": {"stations": True}},
}


@pytest.mark.parametrize("name", UNUSUAL)
async def test_what_is_unusual_and_allowed_counts(idp: StandIn, provider: Provider, name: str) -> None:
    vouched = await provider.verify(idp.token(sub="ana", **UNUSUAL[name]))

    assert (vouched.subject, vouched.role) == ("ana", Role.READER)


async def test_clocks_may_differ_by_the_skew_and_no_more(idp: StandIn, asks: Asks) -> None:
    at = [float(NOW)]
    provider = asks(idp.url, now=lambda: at[0])
    token = idp.token(iat=NOW, nbf=NOW, exp=NOW + 100)
    outcomes = {}

    for moment in (-61, -60, 0, 100, 159, 160):
        at[0] = NOW + moment
        try:
            await provider.verify(token)
            outcomes[moment] = "valid"
        except TokenRefused as refused:
            outcomes[moment] = refused.detail

    assert outcomes == {-61: NOT_YET, -60: "valid", 0: "valid", 100: "valid", 159: "valid", 160: EXPIRED}


async def test_a_token_that_was_verified_is_not_verified_again_and_still_expires(idp: StandIn, asks: Asks) -> None:
    at = [float(NOW)]
    provider = asks(idp.url, now=lambda: at[0])
    token = idp.token(iat=NOW, exp=NOW + 100)
    first = await provider.verify(token)
    idp.away = True

    assert await provider.verify(token) is first
    at[0] = NOW + 161
    assert await refusal(provider, token) == EXPIRED


async def test_no_more_tokens_are_remembered_than_the_limit(
    idp: StandIn, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.access.provider.VERIFIED_MAX", 3)
    for _ in range(5):
        await provider.verify(idp.token())

    assert len(provider._verified) == 3  # ruff: ignore[SLF001] - what is bounded is seen nowhere else.


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["football"], Role.READER),
        (["stations"], Role.INGEST),
        (["stations", "stewards"], Role.CURATOR),
        (["stewards", "lab-admins", "stations"], Role.ADMIN),
        (["Lab-Admins", "lab-admins ", "admin"], Role.READER),
        ("stewards", Role.CURATOR),
    ],
)
async def test_groups_give_the_strongest_role_of_them(
    idp: StandIn, provider: Provider, groups: Any, role: Role
) -> None:
    assert (await provider.verify(idp.token(groups=groups))).role is role


async def test_groups_are_read_from_the_claim_that_was_configured(idp: StandIn, asks: Asks) -> None:
    provider = asks(idp.url, told={"groups_claim": "https://example.org/roles"})
    said = {"https://example.org/roles": ["stewards"], "groups": ["lab-admins"]}

    assert (await provider.verify(idp.token(**said))).role is Role.CURATOR


async def test_a_flood_of_unknown_keys_costs_the_provider_one_question(idp: StandIn, provider: Provider) -> None:
    await provider.verify(idp.token())
    assert idp.asked == FIRST_LOOK
    provider._asked_at -= 31  # ruff: ignore[SLF001] - half a minute later.

    told = await asyncio.gather(
        *(refusal(provider, idp.token(header={"kid": f"unknown-{number}"})) for number in range(200))
    )

    assert set(told) == {"The token is signed with a key that the provider does not publish."}
    assert idp.asked == FIRST_LOOK * 2


async def test_a_new_key_of_the_provider_is_found_when_a_token_names_it(idp: StandIn, provider: Provider) -> None:
    await provider.verify(idp.token())
    idp.publishes(public(RSA, "rsa"), public(OTHER_RSA, "newer"))
    newer = idp.token(key=OTHER_RSA, header={"kid": "newer"}, sub="ana")
    refused_at_first = await refusal(provider, newer)
    provider._asked_at -= 31  # ruff: ignore[SLF001] - half a minute later.

    assert refused_at_first == "The token is signed with a key that the provider does not publish."
    assert (await provider.verify(newer)).subject == "ana"
    assert idp.asked == FIRST_LOOK * 2


async def test_what_a_withdrawn_key_proved_is_asked_for_again(idp: StandIn, asks: Asks) -> None:
    provider = asks(idp.url, keys_seconds_kept=0, ask_seconds_min=0)
    token = idp.token()
    await provider.verify(token)
    idp.publishes(public(EC, "ec"))
    await provider.verify(jwt({"alg": "ES256", "kid": "ec"}, idp.claims(), EC))

    async def refused() -> bool:
        try:
            await provider.verify(token)
        except TokenRefused:
            return True
        return False

    await eventually(refused)


async def test_two_keys_of_one_name_are_not_guessed_between(idp: StandIn, provider: Provider) -> None:
    idp.publishes(public(OTHER_RSA, "rsa"), public(RSA, "rsa"), public(EC, "rsa"))

    assert await refusal(provider, idp.token()) == ("The token does not say which of its provider's keys made it.")
    # Of another kind there is but one.
    assert await provider.verify(jwt({"alg": "ES256", "kid": "rsa"}, idp.claims(), EC))


WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that it is weak is the point.


def weak() -> dict[str, Any]:
    numbers = WEAK.public_key().public_numbers()
    described = RSA.as_dict(private=False)
    size = (numbers.n.bit_length() + 7) // 8
    return {**described, "kid": "rsa", "n": encoded(numbers.n.to_bytes(size, "big"))}


# By name: the keys are other ones in each worker.
SPOILT: dict[str, dict[str, Any]] = {
    "for encryption": public(RSA, "rsa", use="enc"),
    "for encryption by its operations": public(RSA, "rsa", key_ops=["encrypt"]),
    "for another algorithm": public(RSA, "rsa", alg="RS512"),
    "for another algorithm, of encryption": public(RSA, "rsa", alg="RSA-OAEP"),
    "said to be of another kind": public(RSA, "rsa", kty="EC"),
    "with a huge exponent": public(RSA, "rsa", e="AQAB" * 20),
    "with a huge modulus": public(RSA, "rsa", n="AQAB" * 500),
    "with a number for a text": public(RSA, "rsa", n=7),
    "published with its secret": {**RSA.as_dict(private=True), "kid": "rsa"},
    "shared": {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"},
}


@pytest.mark.parametrize("name", SPOILT)
async def test_a_key_that_is_for_something_else_or_spoilt_is_not_used(
    idp: StandIn, provider: Provider, name: str
) -> None:
    idp.publishes(SPOILT[name], public(EC, "ec"))

    assert await refusal(provider, idp.token()) in {
        "The token is signed with a key that the provider does not publish.",
        "The token's algorithm does not fit the key that it names.",
    }
    assert await provider.verify(jwt({"alg": "ES256", "kid": "ec"}, idp.claims(), EC))


async def test_a_weak_key_is_not_used(idp: StandIn, provider: Provider) -> None:
    idp.publishes(weak())

    assert await refusal(provider, weakly_signed({"alg": "RS256", "kid": "rsa"}, idp.claims(), WEAK)) == (
        "The token is signed with a key that the provider does not publish."
    )


async def test_an_address_that_a_token_names_is_never_asked(idp: StandIn, provider: Provider) -> None:
    idp.answers["/canary"] = {"keys": [public(OTHER_RSA, "mine")]}
    for name in ("jku", "x5u"):
        header = {name: f"{idp.url}/canary", "kid": "mine"}
        assert await refusal(provider, idp.token(key=OTHER_RSA, header=header)) == OWN_KEY
    for kid in (f"{idp.url}/canary", "../../canary", "' OR 1=1 --"):
        await refusal(provider, idp.token(key=OTHER_RSA, header={"kid": kid}))

    assert "/canary" not in idp.asked


AWAY = "The OpenID provider does not answer as it should; try again later, or use a token of the catalog."
UNUSABLE: dict[str, Callable[[StandIn], None]] = {
    "discovery of another issuer": lambda idp: idp.says(issuer="https://idp.example.org"),
    "discovery with a slash more": lambda idp: idp.says(issuer=f"{idp.url}/"),
    "discovery with a list of issuers": lambda idp: idp.says(issuer=[idp.url]),
    "discovery of nobody": lambda idp: idp.says(issuer=None),
    "no keys named": lambda idp: idp.says(jwks_uri=None),
    "keys in a file": lambda idp: idp.says(jwks_uri="file:///etc/passwd"),
    "keys over plain http": lambda idp: idp.says(jwks_uri="http://idp.example.org/keys"),
    "keys with a password": lambda idp: idp.says(jwks_uri="https://user:password@idp.example.org/keys"),
    "discovery elsewhere": lambda idp: idp.answers.update({WELL_KNOWN: Answer(302, {"location": "/elsewhere"})}),
    "discovery that is no JSON": lambda idp: idp.answers.update({WELL_KNOWN: Answer(body=b"<html>")}),
    "discovery that is a list": lambda idp: idp.answers.update({WELL_KNOWN: [1]}),
    "huge discovery": lambda idp: idp.says(more="x" * 70_000),
    "redirecting keys": lambda idp: idp.answers.update({JWKS: Answer(307, {"location": "/elsewhere"})}),
    "huge keys": lambda idp: idp.publishes(public(RSA, "rsa", more="x" * 300_000)),
    "endless keys": lambda idp: idp.answers.update(
        {JWKS: Answer(headers={"content-length": "9999999999"}, body=b" " * 300_000)}
    ),
    "packed keys": lambda idp: idp.answers.update({JWKS: Answer(headers={"content-encoding": "gzip"}, body=b"x")}),
    "many keys": lambda idp: idp.publishes(*(public(RSA, f"rsa{number}") for number in range(65))),
    "keys that are none": lambda idp: idp.answers.update({JWKS: {"keys": {"rsa": public(RSA, "rsa")}}}),
    "slow keys": lambda idp: idp.answers.update({JWKS: Answer(body=b'{"keys": []}', after_seconds=1.5)}),
    "trickling keys": lambda idp: idp.answers.update({JWKS: Answer(body=b'{"keys": []}', trickles_seconds=3)}),
    "a fault": lambda idp: idp.answers.update({JWKS: Answer(500)}),
    "a silent provider": lambda idp: setattr(idp, "away", True),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_a_provider_that_cannot_be_believed_is_away_and_nobody_is_refused_for_it(
    idp: StandIn, asks: Asks, name: str
) -> None:
    idp.answers["/elsewhere"] = {"issuer": idp.url, "keys": [public(RSA, "rsa")], "jwks_uri": f"{idp.url}{JWKS}"}
    UNUSABLE[name](idp)
    provider = asks(idp.url, patience_seconds=0.5)
    token = idp.token()
    started = time.monotonic()

    for _ in range(20):
        with pytest.raises(ProviderAway) as away:
            await provider.verify(token)

    assert (away.value.detail, away.value.retry_after_seconds) == (AWAY, 5)
    # Twenty times half a second, if each of them waited.
    assert time.monotonic() - started < 6
    assert set(idp.asked) <= set(FIRST_LOOK)
    assert len(idp.asked) <= 2


async def test_while_the_provider_is_away_its_known_keys_go_on_to_count(idp: StandIn, asks: Asks) -> None:
    provider = asks(idp.url, keys_seconds_kept=0, ask_seconds_min=0)
    await provider.verify(idp.token())
    idp.away = True

    assert [(await provider.verify(idp.token(sub=name))).subject for name in ("ana", "ben")] == ["ana", "ben"]
    with pytest.raises(ProviderAway):
        await provider.verify(idp.token(header={"kid": "newer"}))
    idp.away = False
    assert (await provider.verify(idp.token(sub="eva"))).subject == "eva"


async def test_keys_of_the_day_before_do_not_count(idp: StandIn, provider: Provider, monkeypatch: Any) -> None:
    await provider.verify(idp.token())
    idp.away = True
    monkeypatch.setattr("catalog.access.provider.KEYS_SECONDS_MAX", -1)

    with pytest.raises(ProviderAway):
        await provider.verify(idp.token())


async def test_who_leaves_while_the_provider_is_asked_does_not_end_it_for_others(idp: StandIn, asks: Asks) -> None:
    provider = asks(idp.url)
    idp.answers[WELL_KNOWN] = Answer(
        body=json.dumps({"issuer": idp.url, "jwks_uri": f"{idp.url}{JWKS}"}).encode(), after_seconds=0.3
    )
    leaving = asyncio.create_task(provider.verify(idp.token()))
    staying = asyncio.create_task(provider.verify(idp.token(sub="ana")))
    await asyncio.sleep(0)
    leaving.cancel()

    assert (await staying).subject == "ana"
    assert idp.asked == FIRST_LOOK


@pytest.mark.parametrize("issuer", ["{}", "{}/", "{}/realms/lab", "{}/realms/lab/"])
async def test_an_issuer_with_a_path_describes_itself_below_it(idp: StandIn, asks: Asks, issuer: str) -> None:
    """OpenID Connect Discovery 1.0, section 4: a slash at its end goes before the well-known part is put there."""
    named = issuer.format(idp.url)
    idp.says(issuer=named)
    place = provider.well_known(named).removeprefix(idp.url)
    idp.answers[place] = idp.answers[WELL_KNOWN]

    assert (await asks(named).verify(idp.token(iss=named, sub="ana"))).subject == "ana"
    assert idp.asked[0] in {WELL_KNOWN, "/realms/lab" + WELL_KNOWN}


def test_every_algorithm_that_may_be_configured_is_bound_to_one_kind_of_key() -> None:
    offered = TypeAdapter(SigningAlgorithms).validate_python(tuple(oidc.BINDINGS))

    assert set(offered) == set(oidc.BINDINGS)
    assert not [name for name in oidc.BINDINGS if name.startswith("HS") or name == "none"]


@pytest.mark.parametrize("curve", ["P-384", "P-521"])
async def test_each_curve_has_its_algorithm(idp: StandIn, asks: Asks, curve: str) -> None:
    algorithm = {"P-384": "ES384", "P-521": "ES512"}[curve]
    provider = asks(idp.url, told={"algorithms": frozenset({"ES256", "ES384", "ES512"})})
    key = ECKey.generate_key(curve)
    idp.publishes(public(key, "ec"))

    assert await provider.verify(jwt({"alg": algorithm, "kid": "ec"}, idp.claims(), key))
    other = jwt({"alg": "ES256", "kid": "ec"}, idp.claims(), EC)
    assert await refusal(provider, other) == "The token's algorithm does not fit the key that it names."


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
async def test_rsa_signs_in_each_way_that_was_allowed(idp: StandIn, asks: Asks, algorithm: str) -> None:
    provider = asks(idp.url, told={"algorithms": frozenset({algorithm})})

    assert await provider.verify(idp.token(header={"alg": algorithm}))
    assert await refusal(provider, idp.token()) == f"The token's algorithm does not count; these do: {algorithm}."


@pytest.mark.parametrize(
    ("token", "shaped"),
    [
        ("eyJhbGciOiJub25lIn0.e30.", True),
        ("a.b.c.d.e", True),
        ("cat_abc.def.ghi", False),
        ("cat_abcdef", False),
        ("a.b", False),
        ("a b.c.d", False),
    ],
)
def test_a_token_of_a_provider_is_known_by_its_shape(token: str, shaped: bool) -> None:  # noqa: FBT001 - expected.
    assert oidc.is_shaped(token) == shaped
