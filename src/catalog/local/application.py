"""The catalog's own two processes, as the supervisor runs them, and what must have happened before they work."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from catalog.local.process import Program, StartFailed, last_words, leashed
from catalog.settings import inherited_environment

PROBE_SECONDS_MAX = 2
MIGRATE_SECONDS_MAX = 120


@dataclass(frozen=True, slots=True)
class Api:
    """`catalog serve`."""

    address: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    name: str = "api"

    async def program(self) -> Program:
        """Serve at the address that the store notifies."""
        where = urlsplit(self.address)
        command = [sys.executable, "-m", "catalog", "serve", "--host", str(where.hostname), "--port", str(where.port)]
        return Program(command, self.folder, self.environment, port=where.port)

    async def is_ready(self) -> bool:
        """Tell whether it answers and finds its engines."""
        with suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient(timeout=PROBE_SECONDS_MAX, trust_env=False) as client:
                return (await client.get(f"{self.address}/readyz")).status_code == httpx2.codes.OK
        return False


@dataclass(frozen=True, slots=True)
class Indexer:
    """`catalog-indexer run`."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    name: str = "indexer"
    address: str = "the queue"

    async def program(self) -> Program:
        """Work off the queue until told to stop."""
        return Program([sys.executable, "-m", "indexer", "run"], self.folder, self.environment)

    async def is_ready(self) -> bool:
        """Say yes: it waits for its engines by itself."""
        return True


async def migrate(folder: Path, environment: Mapping[str, str], log: Path) -> None:
    """Run `catalog migrate`: schema, index and bucket become what this version needs; raises StartFailed."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *leashed([sys.executable, "-m", "catalog", "migrate"]),
            cwd=folder,
            env=inherited_environment() | dict(environment),
            stdin=DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        code = await asyncio.wait_for(process.wait(), MIGRATE_SECONDS_MAX)
    except TimeoutError:
        raise StartFailed(f"`catalog migrate` took more than {MIGRATE_SECONDS_MAX} s; see {log}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code != 0:
        raise StartFailed(f"`catalog migrate` failed:\n{last_words(log)}")
