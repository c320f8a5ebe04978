"""People and services of a test's own: principals with tokens, and clients that carry them."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2

from catalog.access import principals
from catalog.access.audience import Role
from catalog.database import Database
from tests.conftest import Clients


@dataclass
class People:
    """One organization of a test's own, and whoever the test brings into being."""

    clients: Clients
    organization: str
    names: dict[str, str] = field(default_factory=dict)
    _open: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def project(self) -> str:
        """The project that tests use unless they need more."""
        return f"{self.organization}/soil"

    async def person(self, name: str, role: Role = Role.READER) -> httpx2.AsyncClient:
        """Make a principal with this role in the whole catalog, and return a client with its token."""
        self.names[name] = f"{name}-{uuid4().hex[:8]}"
        database = Database(str(self.clients.live.settings.database_url), connections=1)
        async with database.transaction() as session:
            _, token = await principals.create_token(session, name=self.names[name], role=role)
        await database.close()
        return self.holding(token)

    def holding(self, token: str) -> httpx2.AsyncClient:
        """Return a client that carries a token."""
        client = httpx2.AsyncClient(
            base_url=self.clients.live.url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        )
        self._open.append(client)
        return client

    async def member(self, name: str, role: str, *, scope: str | None = None) -> httpx2.AsyncClient:
        """Make a principal without any role but this one, in the project unless said otherwise."""
        client = await self.person(name)
        await self.give(f"user:{self.names[name]}", role, scope=scope)
        return client

    async def give(self, member: str, role: str, *, scope: str | None = None) -> None:
        """Give a role, as an admin of the whole catalog."""
        answer = await self.clients.admin.put(members(scope or self.project), json={"member": member, "role": role})
        assert answer.status_code == 204, answer.text

    async def close(self) -> None:
        """Close every client."""
        for client in self._open:
            await client.aclose()


def members(scope: str) -> str:
    """Return the address of the members of a scope."""
    return f"/api/projects/{scope}/members" if "/" in scope else f"/api/organizations/{scope}/members"


async def found(client: httpx2.AsyncClient, **asked: Any) -> list[str]:
    """Return the ids that a search finds."""
    answer = await client.get("/api/search", params={"limit": 100, **asked})
    assert answer.status_code == 200, answer.text
    return sorted(hit["id"] for hit in answer.json()["hits"])
