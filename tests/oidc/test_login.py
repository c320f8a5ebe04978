"""Logging in to the pages at a certified provider, as a browser does it."""

import re
from collections.abc import AsyncGenerator
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import httpx2
import pytest
import sqlalchemy as sa
from pydantic import HttpUrl, SecretStr

from catalog.access import oidc, principals
from catalog.access.oidc import TokenRefused
from catalog.api.app import Outermost, litestar
from catalog.database import Database
from catalog.settings import GroupRole
from catalog.web import pages
from tests.api.conftest import plain, register
from tests.api.uploads import declared
from tests.conftest import Live, World, _environment_of, make_tokens, make_world, prepare, running
from tests.oidc import conformant
from tests.oidc.conftest import rules as rules_of
from tests.oidc.standin import RSA, StandIn, jwt
from tests.web.reading import Page

pytestmark = pytest.mark.timeout(600)

AUDIENCE = "urn:catalog:api"


@pytest.fixture(scope="module")
async def served(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Live]:
    """A running catalog whose pages can be logged in to at a certified provider."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("login"))
    redirect = f"{str(world.settings.public_url).rstrip('/')}/login/answer"
    groups = {"station": ["stations"], "ana": ["stewards"]}
    with conformant.running(audience=AUDIENCE, groups=groups, redirect=redirect) as provider:
        settings = world.settings.model_copy(
            update={
                "oidc_issuer": provider.issuer,
                "oidc_audience": AUDIENCE,
                "oidc_roles": (GroupRole("stations", "ingest"), GroupRole("stewards", "curator")),
                "oidc_client_id": conformant.PAGES[0],
                "oidc_client_secret": SecretStr(conformant.PAGES[1]),
                "oidc_scopes": "openid profile groups",
            }
        )
        world = World(settings, world.folder, _environment_of(settings))
        await prepare(world, engines_ready)
        with running(world, await make_tokens(world), "api") as live:
            yield live


@pytest.fixture
async def private(served: Live) -> str:
    """The address of the page of an object that only its owner and curators see."""
    headers = {"Authorization": f"Bearer {served.tokens['ingest']}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=30, trust_env=False) as client:
        made = await register(client, plain("oidc/login", files=[declared("soil.csv", b"1")]))
    return f"/objects/{made['id']}"


class Browser:
    """A browser, as far as logging in needs one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = httpx2.AsyncClient(timeout=30, trust_env=False)
        self.visited: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def get(self, address: str) -> httpx2.Response:
        return await self.client.get(urljoin(self.url, address))

    async def until(self, answer: httpx2.Response, ends: str) -> httpx2.Response:
        """Follow redirects until one leads to an address that begins so, and return the answer that leads there."""
        while answer.is_redirect:
            there = urljoin(str(answer.url), answer.headers["location"])
            self.visited.append(there)
            if there.startswith(ends):
                return answer
            answer = await self.client.get(there)
        return answer

    async def asked_at_the_provider(self, begun: httpx2.Response, name: str) -> httpx2.Response:
        """Log in at the provider under a name and agree; return the answer that leads back to the catalog."""
        back = f"{self.url}/login/answer"
        shown = await self.until(begun, back)
        for form in ({"prompt": "login", "login": name, "password": "x"}, {"prompt": "consent"}):
            action = re.search(r'<form[^>]* action="([^"]+)"', shown.text)
            assert action is not None, shown.text
            sent = await self.client.post(urljoin(str(shown.url), action[1]), data=form)
            shown = await self.until(sent, back)
        return shown

    async def log_in(self, name: str, *, place: str = "/") -> httpx2.Response:
        """Log in, and return the catalog's answer to the provider's answer."""
        begun = await self.get(f"/login?{urlencode({'next': place})}")
        back = await self.asked_at_the_provider(begun, name)
        return await self.client.get(back.headers["location"])


async def test_whoever_logs_in_sees_what_they_may_and_nobody_does_after_they_logged_out(
    served: Live, private: str
) -> None:
    async with Browser(served.url) as browser, Browser(served.url) as stranger:
        before = await browser.get(private)
        link = Page(before.text).one("a", href=f"/login?next={private.replace('/', '%2F')}")
        began = await browser.get(link.attributes["href"])
        asked = dict(parse_qsl(urlsplit(began.headers["location"]).query))
        back = await browser.asked_at_the_provider(began, "ana")
        logged_in = await browser.client.get(back.headers["location"])
        shown = await browser.get(private)
        key = Page(shown.text).one("input", name="key").attributes["value"]
        elsewhere = await stranger.get(private)
        secret = browser.client.cookies["catalog_session"]
        refused = [
            await browser.client.post(f"{served.url}/logout", data={"key": "0" * 64}),
            await browser.client.post(
                f"{served.url}/logout", data={"key": key}, headers={"Origin": "https://evil.test"}
            ),
            await browser.client.post(f"{served.url}/logout", data={"key": key}, headers={"Origin": "null"}),
        ]
        still = await browser.get(private)
        out = await browser.client.post(f"{served.url}/logout", data={"key": key}, headers={"Origin": served.url})
        after = await browser.get(private)
        browser.client.cookies.set("catalog_session", secret, domain="127.0.0.1")
        again = await browser.get(private)

    assert asked.keys() >= {"state", "nonce", "code_challenge"}
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{served.url}/login/answer"
    assert (logged_in.status_code, logged_in.headers["location"]) == (303, private)
    (cookie,) = [one for one in logged_in.headers.get_list("set-cookie") if one.startswith("catalog_session=")]
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
        "httponly",
        "max-age=28800",
        "path=/",
        "samesite=lax",
    }
    assert [answer.status_code for answer in (before, shown, elsewhere)] == [404, 200, 404]
    assert shown.headers["cache-control"] == "private, no-store"
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert [answer.status_code for answer in (still, out, after, again)] == [200, 303, 404, 404]


async def test_when_a_rule_removes_an_object_is_told_to_those_who_may_change_it_and_to_nobody_else(
    served: Live,
) -> None:
    headers = {"Authorization": f"Bearer {served.tokens['ingest']}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=30, trust_env=False) as client:
        object_id = (await register(client, plain("oidc/login", visibility="public")))["id"]
    told = '{"scope": "oidc", "kind": null, "object_id": null, "days": 30, "since": "change", "versions": false}'
    database = Database(str(served.settings.database_url), connections=1)
    async with database.transaction() as session:
        mark = (
            "INSERT INTO retention_mark (object_id, rule, due_at, marked_at, removes_at, witnessed)"
            " VALUES (:id, CAST(:rule AS jsonb), now(), now(), '2031-02-03T04:05:06Z', 0)"
        )
        await session.execute(sa.text(mark), {"id": object_id, "rule": told})
    await database.close()
    async with Browser(served.url) as curator, Browser(served.url) as reader, Browser(served.url) as nobody:
        await curator.log_in("ana")
        await reader.log_in("ben")
        shown = [await browser.get(f"/objects/{object_id}") for browser in (curator, reader, nobody)]

    assert [Page(one.text).texts("p", class_="notice") for one in shown] == [
        [
            (
                "A rule of retention removes this object, on 3 February 2031, 04:05 UTC at the earliest: "
                f"keep for 30 days from the last change (oidc). catalog retention keep {object_id} keeps it."
            )
        ],
        [],
        [],
    ]


async def test_a_session_never_counts_for_the_api(served: Live, private: str) -> None:
    async with Browser(served.url) as browser:
        await browser.log_in("ana")
        page = await browser.get(private)
        file = await browser.get(f"{private}/files/soil.csv")
        api = [await browser.get(f"/api{private}"), await browser.get(f"/api{private}/files/soil.csv")]
        written = await browser.client.post(f"{served.url}/api/objects", json=plain("oidc/login"))

    # The file has not arrived: whoever may not see the object would be told that it is not there.
    assert (page.status_code, file.status_code) == (200, 409)
    assert [answer.status_code for answer in (*api, written)] == [404, 404, 401]


async def test_every_login_is_a_new_session_and_the_one_before_ends(served: Live, private: str) -> None:
    async with Browser(served.url) as browser:
        await browser.log_in("ana")
        first = browser.client.cookies["catalog_session"]
        answer = await browser.until(await browser.get("/login"), f"{served.url}/login/answer")
        await browser.client.get(answer.headers["location"])
        second = browser.client.cookies["catalog_session"]
        now = await browser.get(private)
        browser.client.cookies.set("catalog_session", first, domain="127.0.0.1")
        former = await browser.get(private)

    assert first != second
    assert (now.status_code, former.status_code) == (200, 404)


async def test_an_answer_counts_once_and_for_the_browser_that_asked(served: Live) -> None:
    async with Browser(served.url) as browser, Browser(served.url) as victim:
        back = await browser.asked_at_the_provider(await browser.get("/login"), "ana")
        address = back.headers["location"]
        # An attacker's own answer, put before somebody else (login CSRF).
        await victim.get("/login")
        foreign = await victim.client.get(address)
        parts = urlsplit(address)
        told = dict(parse_qsl(parts.query))
        altered = [
            urlunsplit(parts._replace(query=urlencode(told | change)))
            for change in ({"state": "x"}, {"iss": "https://evil.test"}, {"code": "x"})
        ]
        without = urlunsplit(parts._replace(query=urlencode({k: v for k, v in told.items() if k != "iss"})))
        wrong = [await browser.client.get(one) for one in (*altered, without, f"{address}&state=x")]
        right = await browser.client.get(address)
        twice = await browser.client.get(address)

    assert foreign.status_code == 401
    assert [answer.status_code for answer in wrong] == [401] * 5
    assert (right.status_code, twice.status_code) == (303, 401)
    assert "catalog_session" not in victim.client.cookies


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "javascript:alert(1)",
        "",
        "/" + "x" * 3000,
        "/\r\nX: y",
        "/\t/e",
    ],
)
async def test_a_login_leads_to_no_other_site(served: Live, place: str) -> None:
    async with Browser(served.url) as browser:
        answer = await browser.log_in("ana", place=place)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_who_was_ended_is_logged_out(served: Live) -> None:
    database = Database(str(served.settings.database_url), connections=1)
    async with Browser(served.url) as browser:
        await browser.log_in("ben-who-is-ended")
        shown = Page((await browser.get("/")).text)
        async with database.transaction() as session:
            statement = "SELECT name FROM principal WHERE name LIKE 'ben-who-is-ended-%'"
            name = (await session.execute(sa.text(statement))).scalar_one()
            await principals.end(session, name)
        after = Page((await browser.get("/")).text)
        again = await browser.client.get(
            (await browser.until(await browser.get("/login"), f"{served.url}/login/answer")).headers["location"]
        )
    await database.close()

    assert [name in element.text for element in shown.all("form", class_="account")] == [True]
    assert after.all("form", class_="account") == []
    assert (again.status_code, "was ended" in again.text) == (401, True)


async def test_a_stolen_database_logs_nobody_in(served: Live) -> None:
    database = Database(str(served.settings.database_url), connections=1)
    async with Browser(served.url) as browser:
        await browser.log_in("ana")
        secret = browser.client.cookies["catalog_session"]
        async with database.transaction() as session:
            rows = (
                await session.execute(sa.text("SELECT encode(digest, 'escape') || digest::text FROM web_session"))
            ).all()
    await database.close()

    assert rows
    assert [row for row in rows if secret in row[0]] == []
    assert secret not in served.log("api")


async def test_over_https_cookies_are_of_this_host_alone(served: Live) -> None:
    settings = served.settings.model_copy(update={"public_url": HttpUrl("https://catalog.example.org")})
    inner = litestar(settings, pages.ROUTES)
    app: Any = Outermost(inner)
    async with inner.lifespan():
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://catalog.example.org") as client:
            begun = await client.get("/login")

    (cookie,) = begun.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-catalog_login=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")[1:]}
    assert "domain" not in cookie.lower()


async def test_without_a_client_nobody_is_asked_to_log_in(clients: Any) -> None:
    page = await clients.anonymous.get("/")
    answers = [
        await clients.anonymous.get("/login"),
        await clients.anonymous.get("/login/answer?state=x&code=y"),
        await clients.anonymous.post("/logout", data={"key": "x"}),
    ]

    assert "Log in" not in page.text
    assert [answer.status_code for answer in answers] == [404, 404, 404]


CLIENT = "pages"
NONCE = "the-nonce-of-this-login"
ID_TOKENS: dict[str, tuple[dict[str, Any], bool]] = {
    "good": ({}, True),
    "good for several": ({"aud": [CLIENT, "other"], "azp": CLIENT}, True),
    "of another login": ({"nonce": "another"}, False),
    "without nonce": ({"nonce": None}, False),
    "for another client": ({"aud": "other"}, False),
    "for several, and nobody in particular": ({"aud": [CLIENT, "other"]}, False),
    "for several, given to another": ({"aud": [CLIENT, "other"], "azp": "other"}, False),
    "given to another": ({"azp": "other"}, False),
    "of another issuer": ({"iss": "https://idp.example.org"}, False),
}


@pytest.mark.parametrize("name", ID_TOKENS)
def test_an_id_token_counts_for_the_login_and_client_that_it_was_made_for(idp: StandIn, name: str) -> None:
    changes, good = ID_TOKENS[name]
    claims = idp.claims(**{"aud": CLIENT, "nonce": NONCE, "sub": "ana"} | changes)
    rules = rules_of(idp.url)
    signed = oidc.parsed(jwt({"alg": "RS256", "kid": "rsa"}, claims, RSA), rules)

    try:
        outcome = oidc.login_of(signed, rules, client_id=CLIENT, nonce=NONCE).subject
    except TokenRefused:
        outcome = "refused"
    assert outcome == ("ana" if good else "refused")


def test_an_access_token_logs_nobody_in(idp: StandIn) -> None:
    rules = rules_of(idp.url)
    signed = oidc.parsed(idp.token(aud=CLIENT, nonce=NONCE), rules)

    with pytest.raises(TokenRefused, match="made for somebody else"):
        oidc.login_of(signed, rules, client_id=CLIENT, nonce=NONCE)
