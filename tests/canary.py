"""What processes of the run have written, looked through for every secret of the run.

Tokens, signatures and session tokens are known by their form, whoever made them; keys and passwords by what each world
was given. Looked at is what is written to be read: logs of the API, the indexer and the engines, what the command line
told people, and the bodies of refusals. Files that are there to hold secrets are none of these.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

KNOWN_BY_FORM = {
    "a token": rb"cat_[A-Za-z0-9_-]{43}",
    "a key of a feed": rb"catf_[A-Za-z0-9_-]{43}",
    "a secret of webhooks": rb"whsec_[A-Za-z0-9+/]{43}",
    "a key to unsubscribe": rb"catu_[A-Za-z0-9_-]{43}",
    "a signature": rb"X-Amz-Signature=[0-9a-f]{64}",
    "a session token": rb"eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
}
# A tool that tests run; what it writes about a failure is for the one who looks into it.
NOT_OURS = {"schemathesis.log"}


@dataclass(frozen=True)
class Sighting:
    """A secret where none may be. It does not say which: this is printed."""

    where: str
    line: int
    what: str


@dataclass(frozen=True)
class Looked:
    """What was looked through, and what was seen."""

    files: int
    size: int
    seen: list[Sighting]


def spelled(secret: str) -> set[str]:
    """Return a secret as it stands, in an address and in JSON."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}


def remember(run: Path, folder: Path, secrets: Mapping[str, str]) -> None:
    """Take note of a folder in which processes will write, and of what they must not."""
    (run / f"{uuid4().hex}.world").write_text(json.dumps({"folder": str(folder), "secrets": dict(secrets)}))


def look(run: Path) -> Looked:
    """Look through everything that was written in the run's own folder, and in those that were remembered."""
    worlds = [json.loads(path.read_text()) for path in run.glob("*.world")]
    secrets = {secret: what for world in worlds for what, secret in world["secrets"].items()}
    found = {path for folder in (run, run / "stack" / "logs") for path in folder.glob("*.log")}
    found |= {path for world in worlds for path in Path(world["folder"]).glob("*.log")}
    files = sorted(path for path in found if path.name not in NOT_OURS)
    pattern, size, seen = _pattern(secrets), 0, []
    for path in files:
        with path.open("rb") as log:
            for number, line in enumerate(log, 1):
                size += len(line)
                # Nearly no line has any: one look tells.
                if pattern.search(line):
                    seen += [Sighting(str(path), number, what) for what in _named(line, secrets)]
    return Looked(len(files), size, seen)


def _pattern(secrets: Mapping[str, str]) -> re.Pattern[bytes]:
    literal = [re.escape(spelling.encode()) for secret in secrets for spelling in sorted(spelled(secret))]
    return re.compile(b"|".join([*KNOWN_BY_FORM.values(), *literal]))


def _named(line: bytes, secrets: Mapping[str, str]) -> list[str]:
    by_form = [what for what, form in KNOWN_BY_FORM.items() if re.search(form, line)]
    listed = {what for secret, what in secrets.items() if any(one.encode() in line for one in spelled(secret))}
    return by_form + sorted(listed)
