"""A certified OpenID provider (`oidc-provider` of npm) as a process: had once into the cache, run for the tests."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx2

from catalog.local import ports
from catalog.local.process import leashed
from tests import npm

FOLDER = Path(__file__).parent
START_SECONDS_MAX = 60
STATION = ("station", "the-secret-of-the-station")
PAGES = ("catalog-pages", "the-secret-of-the-pages")


@dataclass(frozen=True)
class Conformant:
    """A running provider."""

    issuer: str
    audience: str

    def token(self, client: tuple[str, str] = STATION, *, audience: str | None = None) -> str:
        """Return an access token for a program (RFC 6749, section 4.4; RFC 8707)."""
        form = {"grant_type": "client_credentials", "resource": audience or self.audience, "scope": "catalog"}
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=client, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@contextmanager
def running(
    *, audience: str, groups: Mapping[str, Sequence[str]], redirect: str, algorithm: str = "RS256"
) -> Generator[Conformant]:
    """Run a provider that knows these people and programs by their groups, for the length of the block."""
    node, packages = npm.installed(FOLDER, "oidc-provider")
    port = ports.choose()
    issuer = f"http://127.0.0.1:{port}"
    settings = {
        "issuer": issuer,
        "port": port,
        "audience": audience,
        "groups": groups,
        "redirect": redirect,
        "algorithm": algorithm,
    }
    # Modules are looked for beside the script.
    script = packages / f"provider-{uuid4().hex}.mjs"
    shutil.copy(FOLDER / "provider.mjs", script)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            leashed([str(node), str(script), json.dumps(settings)]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            ends = time.monotonic() + START_SECONDS_MAX
            while not _answers(issuer):
                if process.poll() is not None or time.monotonic() > ends:
                    log.seek(0)
                    raise AssertionError(f"the provider did not start:\n{log.read().decode()[-4000:]}")
                time.sleep(0.05)
            yield Conformant(issuer, audience)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            script.unlink()


def _answers(issuer: str) -> bool:
    try:
        answer = httpx2.get(f"{issuer}/.well-known/openid-configuration", trust_env=False, timeout=2)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200
