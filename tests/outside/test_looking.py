"""Looking outside: what is there is told, and nobody can use us to reach inside."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from catalog.outside import looking
from catalog.outside.door import Door, NotAdmitted
from catalog.outside.looking import Looker
from catalog.outside.tables import Look, State
from tests.outside.serving import Outside

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.fixture
def looker(outside: Outside) -> Looker:
    return Looker(LOOPBACK, outside.tls)


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (200, Look(State.REACHABLE)),
        (206, Look(State.REACHABLE)),
        (401, Look(State.RESTRICTED, "it answers 401: it wants to know who asks")),
        (404, Look(State.UNREACHABLE, "it answers 404")),
        (410, Look(State.UNREACHABLE, "it answers 410")),
        (500, Look(State.UNREACHABLE, "it answers 500")),
    ],
)
async def test_what_an_address_answers_is_told(outside: Outside, looker: Looker, status: int, found: Look) -> None:
    for method in ("HEAD", "GET"):
        outside.says(method, "/data.csv", status)

    assert await looker.look(f"https://{outside.address}/data.csv") == found


async def test_a_server_that_knows_no_head_is_asked_by_get(outside: Outside, looker: Looker) -> None:
    outside.says("HEAD", "/data.csv", 405)
    outside.says("GET", "/data.csv", 200, b"x" * 1_000_000)

    assert await looker.look(f"https://{outside.address}/data.csv") == Look(State.REACHABLE)
    assert outside.asked == [("HEAD", "/data.csv"), ("GET", "/data.csv")]


async def test_a_repository_is_asked_as_a_clone_would_begin(outside: Outside, looker: Looker) -> None:
    outside.says("GET", "/edge/app.git/info/refs?service=git-upload-pack", 200)

    assert await looker.look(f"git+https://{outside.address}/edge/app.git") == Look(State.REACHABLE)
    assert await looker.look(f"git+https://{outside.address}/edge/other.git") == Look(
        State.UNREACHABLE, "it answers 404"
    )


async def test_an_image_is_asked_of_its_registry_with_the_leave_it_gives_to_everybody(
    outside: Outside, looker: Looker
) -> None:
    digest = f"sha256:{'ab' * 32}"
    realm = f'Bearer realm="https://{outside.address}/token",service="registry"'
    outside.says("HEAD", f"/v2/edge/app/manifests/{digest}", 401, www_authenticate=realm)
    token_path = "/token?service=registry&scope=repository%3Aedge%2Fapp%3Apull"
    outside.says("GET", token_path, 200, b'{"token": "let-me-in"}')

    found = await looker.look(f"image://{outside.address}/edge/app@{digest}")

    # This server answers the same to whoever comes, so what counts is that the leave was asked for and shown.
    assert found == Look(State.RESTRICTED, "it answers 401: it wants to know who asks")
    assert [(method, path) for method, path in outside.asked] == [
        ("HEAD", f"/v2/edge/app/manifests/{digest}"),
        ("GET", token_path),
        ("HEAD", f"/v2/edge/app/manifests/{digest}"),
    ]
    assert [headers.get("authorization") for _, _, headers in outside.seen] == [None, None, "Bearer let-me-in"]


async def test_an_image_with_a_tag_is_asked_by_its_tag(outside: Outside, looker: Looker) -> None:
    outside.says("HEAD", "/v2/edge/app/manifests/1.2", 200)

    assert await looker.look(f"image://{outside.address}/edge/app:1.2") == Look(State.REACHABLE)


async def test_redirects_are_followed_through_the_same_door(outside: Outside, looker: Looker) -> None:
    outside.says("HEAD", "/old", 301, location=f"https://{outside.address}/new")
    outside.says("HEAD", "/new", 200)
    outside.says("HEAD", "/inside", 302, location="https://10.0.0.7/secret")
    outside.says("HEAD", "/plain", 302, location=f"http://{outside.address}/new")
    outside.says("HEAD", "/round", 302, location="/round")

    async def told(path: str) -> Look:
        return await looker.look(f"https://{outside.address}{path}")

    assert await told("/old") == Look(State.REACHABLE)
    assert await told("/inside") == Look(State.REFUSED, "10.0.0.7 lies in a network that is not public")
    assert await told("/plain") == Look(State.REFUSED, "only https addresses without a user are asked")
    assert await told("/round") == Look(State.REFUSED, "more than 5 redirects")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # ruff: ignore[S104] - nothing is bound to it.
        "224.0.0.1",
        "255.255.255.255",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:10.0.0.7]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "[::7f00:1]",
        "[::10.0.0.7]",
        "[fec0::1]",
        "[64:ff9b:1::7f00:1]",
        "[64:ff9b:1:ffff::808:808]",
        "[64:ff9b::a9fe:a9fe]",
        "[::ffff:0:7f00:1]",
        "[::ffff:0:10.0.0.7]",
        "[2606:4700::5efe:10.0.0.7]",
        "[2606:4700::200:5efe:127.0.0.1]",
        "[2606:4700::300:5efe:169.254.169.254]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[5f00::1]",
        "[3fff::1]",
        "[fd00:ec2::254]",
        "192.0.0.192",
        "[::ffff:192.0.0.192]",
        "168.63.129.16",
        "[64:ff9b::a83f:8110]",
        "100.100.100.200",
    ],
)
async def test_addresses_inside_are_refused_in_every_spelling(outside: Outside, host: str) -> None:
    port = outside.address.rpartition(":")[2]

    found = await Looker(tls=outside.tls).look(f"https://{host}:{port}/")

    assert (found.state, outside.seen) == (State.REFUSED, [])


@pytest.mark.parametrize(
    "address",
    [
        "198.41.0.4",
        "::ffff:198.41.0.4",
        "64:ff9b::c629:4",
        "2606:4700::1",
        "2606:4700::5efe:198.41.0.4",
        "2002:c629:4::",
    ],
)
def test_addresses_that_everybody_reaches_are_admitted(address: str) -> None:
    assert Door().admitted(address, 443) == ip_address(address)


def test_what_an_operator_named_is_admitted_by_the_address_that_stands_in_another() -> None:
    door = Door((ip_network("10.0.0.0/24"), ip_network("fec0::/64")))
    for address in ("10.0.0.7", "::ffff:10.0.0.7", "fec0::1"):
        door.admitted(address, 443)
    for address in ("10.0.1.7", "::ffff:10.0.1.7", "fec0:0:0:1::1"):
        with pytest.raises(NotAdmitted):
            door.admitted(address, 443)


async def test_a_name_with_one_address_inside_is_refused_whatever_its_others_are(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("198.41.0.4", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two)

    assert await Looker(tls=outside.tls).look("https://both.example.org/") == Look(
        State.REFUSED, "both.example.org lies in a network that is not public"
    )


async def test_the_connection_goes_to_the_address_that_was_judged(
    outside: Outside, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    honest = socket.getaddrinfo

    def once(host: str, *rest: object, **more: object) -> object:
        asked.append(host)
        return honest(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    outside.says("HEAD", "/", 200)

    assert await looker.look(f"https://{outside.address}/") == Look(State.REACHABLE)
    # Whatever is looked up later is an address already: a name is asked for once.
    assert [host for host in asked if host == "localhost"] == ["localhost"]


@pytest.mark.parametrize(
    "address", ["http://example.org/", "https://user:secret@example.org/", "ftp://example.org/", "file:///etc/passwd"]
)
async def test_what_is_not_plain_https_is_refused(address: str) -> None:
    assert (await Looker().look(address)).state is State.REFUSED


async def test_a_certificate_that_nobody_vouches_for_is_told(outside: Outside) -> None:
    found = await Looker(LOOPBACK).look(f"https://{outside.address}/")

    assert (found.state, outside.seen) == (State.UNREACHABLE, [])
    assert found.reason is not None
    assert "CERTIFICATE_VERIFY_FAILED" in found.reason


async def test_an_address_that_does_not_answer_costs_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "LOOK_SECONDS_MAX", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = await Looker(LOOPBACK).look(f"https://127.0.0.1:{silent.getsockname()[1]}/")

    assert found == Look(State.UNREACHABLE, "no answer within 0.2 s")
