"""Mail over TLS: to a server that is known for what it is, and to no other, however well it is meant."""

import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from catalog.engines import opened
from catalog.local import ports
from tests import certificates
from tests.alerts.conftest import Desk, Person

USER, PASSWORD = "catalog", "a password of a test"
SECURITIES = ("starttls", "tls")


@dataclass
class Server:
    """A mail server that wants to know who writes, and takes nothing in the open."""

    port: int
    # Whether each mail came over TLS.
    secured: list[bool] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - the library's.
        """Take a mail."""
        self.secured.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"


def known(_server: Any, _session: Any, _envelope: Any, mechanism: str, given: Any) -> AuthResult:
    """Let our own account in alone."""
    fits = isinstance(given, LoginPassword) and (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=fits, handled=mechanism in {"LOGIN", "PLAIN"} and fits)


@contextmanager
def serving(security: str, certificate: Path | None) -> Generator[Server]:
    """Run a mail server with this certificate; without one it offers no TLS."""
    server = Server(ports.choose())
    secure: dict[str, Any] = {}
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        secure = {"ssl_context": context} if security == "tls" else {"tls_context": context, "require_starttls": True}
        # Of a connection that was TLS from the start the library does not know that it is.
        late = security == "starttls"
        secure |= {"authenticator": known, "auth_required": late, "auth_require_tls": late}
    controller = Controller(
        server, hostname="127.0.0.1", port=server.port, server_hostname="127.0.0.1", ready_timeout=60, **secure
    )
    controller.start()
    yield server
    controller.stop()


@asynccontextmanager
async def writing(desk: Desk, port: int, security: str, authority: Path | None) -> AsyncGenerator[Desk]:
    """Yield the catalog as it is when mail goes to this port."""
    mail = {"smtp_host": "localhost", "smtp_port": port, "smtp_security": security, "smtp_ca_file": authority}
    account = {"smtp_user": USER, "smtp_password": PASSWORD}
    told = desk.world.settings.model_dump(exclude_unset=True) | mail | account
    async with opened(type(desk.world.settings).model_validate(told)) as engines:
        yield replace(desk, engines=engines)


async def alerted(desk: Desk, lab: Person) -> tuple[Person, dict[str, Any]]:
    """Have somebody wait for mail, with something to tell them."""
    ana, word = await desk.person(), f"ibis{uuid4().hex[:8]}"
    made = await ana.save(word, by="mail", address=f"{word}@example.org")
    await desk.run("UPDATE mail_address SET confirmed_at = now()")
    await desk.run("DELETE FROM queue WHERE topic = 'mail-address'")
    await lab.register(f"An {word}")
    return ana, made


async def fault_of(ana: Person, made: dict[str, Any]) -> str | None:
    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert shown["stopped_at"] is None
    fault: str | None = shown["fault"]
    return fault


@pytest.mark.parametrize("security", SECURITIES)
async def test_mail_goes_over_tls_to_a_server_whose_authority_is_trusted(
    desk: Desk, lab: Person, tmp_path: Path, security: str
) -> None:
    authority, certificate = certificates.made(tmp_path, "localhost")
    ana, made = await alerted(desk, lab)
    with serving(security, certificate) as server:
        async with writing(desk, server.port, security, authority) as here:
            await here.work()

    assert (server.secured, await fault_of(ana, made)) == ([True], None)


@pytest.mark.parametrize("security", SECURITIES)
async def test_a_server_that_is_not_known_gets_nothing_until_it_is(
    desk: Desk, lab: Person, tmp_path: Path, security: str
) -> None:
    """By nobody who is trusted, and for another name."""
    authority, certificate = certificates.made(tmp_path, "localhost")
    others, other = certificates.made(tmp_path, "mail.example.org")
    ana, made = await alerted(desk, lab)
    faults = []
    for trusted, shown in ((None, certificate), (others, other)):
        with serving(security, shown) as server:
            async with writing(desk, server.port, security, trusted) as here:
                await here.work()
        assert server.secured == []
        faults.append(await fault_of(ana, made))
        await desk.run("UPDATE saved_search SET retry_at = now()")
        await desk.run("UPDATE queue SET ready_at = now()")
    with serving(security, certificate) as server:
        async with writing(desk, server.port, security, authority) as here:
            await here.work()

    unknown = "The mail server is not known for what it says it is: "
    assert faults == [
        f"{unknown}unable to get local issuer certificate.",
        f"{unknown}Hostname mismatch, certificate is not valid for 'localhost'.",
    ]
    assert (server.secured, await fault_of(ana, made)) == ([True], None)


@pytest.mark.parametrize("security", SECURITIES)
async def test_a_server_without_tls_gets_nothing(desk: Desk, lab: Person, security: str) -> None:
    ana, made = await alerted(desk, lab)
    with serving(security, None) as server:
        async with writing(desk, server.port, security, None) as here:
            await here.work()

    told = {
        "starttls": "The mail server does not offer what it must: STARTTLS extension not supported by server.",
        "tls": "The mail server does not take the mail: SSLError.",
    }
    assert (server.secured, await fault_of(ana, made)) == ([], told[security])
