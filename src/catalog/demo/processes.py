"""The catalog's own two processes, as parts that the embedded stack's supervisor keeps running."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from catalog.local.process import Program

PROBE_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Api:
    """`catalog serve`."""

    address: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    name: str = "api"

    async def program(self) -> Program:
        """Serve where the store sends its notifications."""
        address = httpx2.URL(self.address)
        where = ("--host", address.host, "--port", str(address.port))
        return Program((sys.executable, "-m", "catalog", "serve", *where), self.folder, self.environment)

    async def is_ready(self) -> bool:
        """Tell whether it answers."""
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=PROBE_SECONDS_MAX) as client:
                return (await client.get(f"{self.address}/livez")).is_success
        except httpx2.HTTPError:
            return False


@dataclass(frozen=True, slots=True)
class Indexer:
    """`catalog-indexer run`."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    name: str = "indexer"
    address: str = "the queue"

    async def program(self) -> Program:
        """Work until told to stop."""
        return Program((sys.executable, "-m", "indexer", "run"), self.folder, self.environment)

    async def is_ready(self) -> bool:
        """Return at once: it waits for its engines by itself, and what it does shows in the queue."""
        return True
