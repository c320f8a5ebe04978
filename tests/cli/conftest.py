"""Run `catalog …` in this process, against the worker's running catalog; no token may ever show up in what it says."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.cli import main
from tests.conftest import FOLDER, Live


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON on standard output."""
        return json.loads(self.out)


Catalog = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], pytestconfig: pytest.Config) -> Catalog:
    """Run a command with these CATALOG_ variables and nothing else of the kind."""

    def run(*words: object, **environment: str) -> Outcome:
        with monkeypatch.context() as patched:
            patched.setattr("sys.argv", ["catalog", *map(str, words)])
            for name, value in environment.items():
                patched.setenv(f"CATALOG_{name}", value)
            capfd.readouterr()
            try:
                main()
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        said = capfd.readouterr()
        # What people are told is looked through for secrets at the end of the run, with the logs. What they asked for,
        # on standard output, may be a token.
        with (Path(pytestconfig.stash[FOLDER]) / f"cli-{os.getpid()}.log").open("a", encoding="utf-8") as log:
            log.write(said.err)
        return Outcome(code, said.out, said.err)

    return run


@pytest.fixture
def catalog(live: Live, run: Catalog) -> Catalog:
    """Run a command against the running catalog, as the ingest service unless `by` names somebody else."""

    def catalog(*words: object, by: str | None = "ingest", **environment: str) -> Outcome:
        named = {"URL": live.url} | ({"TOKEN": live.tokens[by]} if by else {}) | environment
        outcome = run(*words, **named)
        for token in live.tokens.values():
            assert token not in outcome.out + outcome.err
        assert "Traceback" not in outcome.err
        return outcome

    return catalog


@pytest.fixture
def project() -> str:
    """A project of this test's own."""
    return f"cli/p{uuid4().hex[:12]}"


@pytest.fixture
def draft(project: str) -> dict[str, Any]:
    """A registration without files."""
    return {
        "kind": "training-dataset",
        "project": project,
        "title": f"Soil moisture {uuid4().hex[:8]}",
        "creators": [{"name": "Rivera, Ana"}],
        "contact": {"name": "Ana Rivera", "email": "ana@example.org"},
        "licence": "CC-BY-4.0",
        "visibility": "public",
        "metadata": {"labelled": False},
    }


@pytest.fixture
def described(tmp_path: Path, draft: dict[str, Any]) -> Path:
    """The registration as a file."""
    file = tmp_path / "metadata.json"
    file.write_text(json.dumps(draft))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with names that are awkward and legal."""
    place = tmp_path / "data"
    contents = {
        "plain.csv": b"a,b\n1,2\n",
        "empty": b"",
        "with space/a b.txt": b"spaces",
        "percent %41 + # ? & = ;.bin": b"reserved in URLs",
        "ünïcode/日本語 🌦.txt": b"wetter",
        "deep/er/and/deeper/.hidden": b"dots",
        'quote\'s "double" `back`.txt': b"quotes",
        "same.part": b"looks like a partial download",
        "same": b"and its whole",
        "large.bin": bytes(range(256)) * 4096,
        "-starts-with-dash": b"dash",
    }
    for path, content in contents.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content)
    return place


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
