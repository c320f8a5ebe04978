"""The pinned environments: complete, by hash, one inside the other, and without the name of a host (decision 0006)."""

import re
import tomllib

import pytest

from tests.docs.repository import ROOT

FOLDER = ROOT / "requirements"
PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>[^\s;\\]+)")


def pins(file: str) -> dict[str, str]:
    """Names and versions that a file pins itself, or through `-r`."""
    found: dict[str, str] = {}
    for line in (FOLDER / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= pins(line.removeprefix("-r ").strip())
        elif match := PIN.match(line):
            found[re.sub(r"[-_.]+", "-", match["name"]).lower()] = match["version"]
    return found


@pytest.mark.parametrize("name", ["uv", "runtime", "local", "hybrid", "amqp", "nats", "traces", "dev", "peers"])
def test_what_is_asked_for_is_what_is_pinned(name: str) -> None:
    asked, pinned = pins(f"{name}.in"), pins(f"{name}.txt")
    assert asked.items() - pinned.items() == set(), "run `make lock`"


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("runtime", "local"),
        ("local", "dev"),
        ("uv", "dev"),
        ("hybrid", "dev"),
        ("amqp", "dev"),
        ("nats", "dev"),
        ("traces", "dev"),
    ],
)
def test_each_environment_holds_the_smaller_one(smaller: str, larger: str) -> None:
    assert pins(f"{smaller}.txt").items() - pins(f"{larger}.txt").items() == set(), "run `make lock`"


@pytest.mark.parametrize("name", ["uv", "runtime", "local", "hybrid", "amqp", "nats", "traces", "dev", "peers"])
def test_every_pin_has_its_hashes_and_no_host(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert [entry.split(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert ("://" in text, "index-url" in text) == (False, False)


def test_a_peer_stands_in_no_environment_of_ours() -> None:
    ours = {name for file in ("runtime.txt", "local.txt", "dev.txt") for name in pins(file)}
    assert pins("peers.in").keys() & ours == set()


def test_what_the_package_and_a_server_need_is_in_the_runtime_environment() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name)[0]).lower() for name in needed}
    assert names == pins("runtime.in").keys()
