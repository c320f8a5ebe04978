"""Registering, reading, revising, withdrawing and listing objects over HTTP."""

from tests.conftest import Clients


async def test_the_service_is_alive(clients: Clients) -> None:
    answer = await clients.anonymous.get("/readyz")

    assert answer.json() == {"status": "pass", "engines": {"database": "pass", "search": "pass", "store": "pass"}}
