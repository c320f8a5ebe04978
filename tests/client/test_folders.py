"""Which files of a folder become files of an object, and what makes a registration the same one."""

import os
from pathlib import Path

import pytest

from catalog.client import BytesDiffer, Catalog, folders
from catalog.errors import Fault, Invalid
from tests.client.scripted import Answer, Script, Seen, said, serving


def paths(place: Path, *exclude: str) -> list[str]:
    return [piece.path for piece in folders.pieces_in(place, exclude=exclude)]


def test_a_folder_is_all_files_below_it_in_one_order(tmp_path: Path) -> None:
    for path in ("b.txt", "a/z.csv", "a/.hidden", "ü +%#?.bin"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    assert paths(tmp_path) == ["a/.hidden", "a/z.csv", "b.txt", "ü +%#?.bin"]
    assert paths(tmp_path, "*.csv", ".hidden") == ["b.txt", "ü +%#?.bin"]
    assert paths(tmp_path / "b.txt") == ["b.txt"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"12345")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").symlink_to(tmp_path / "elsewhere" / "file")
    (folder / "all").symlink_to(tmp_path / "elsewhere")
    assert [(piece.path, piece.size) for piece in folders.pieces_in(folder)] == [("file", 5)]


def test_every_name_that_cannot_be_kept_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "back\\slash").write_bytes(b"")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff")).write_bytes(b"")
    with pytest.raises(Invalid) as refused:
        folders.pieces_in(tmp_path)
    assert refused.value.faults == (
        Fault("back\\slash", "the name has a backslash, which is a folder separator elsewhere"),
        Fault("bad\\udcff", "the name is not UTF-8"),
        Fault("nowhere", "the link leads nowhere"),
        Fault("pipe", "this is no regular file"),
    )


def test_nothing_to_upload_is_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no files in"):
        folders.pieces_in(tmp_path)
    with pytest.raises(Invalid, match="no file or folder"):
        folders.pieces_in(tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a/table.csv", "text/csv"),
        ("model.onnx", "application/x-onnx"),
        ("grid.nc", "application/x-netcdf"),
        ("README.md", "text/markdown"),
        ("archive.tar.gz", "application/octet-stream"),
        ("no-ending", "application/octet-stream"),
    ],
)
def test_a_media_type_is_taken_from_the_name(name: str, media_type: str) -> None:
    assert folders.media_type_of(name) == media_type


def test_the_same_registration_has_the_same_key_and_another_has_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")

    def key(title: str) -> str:
        pieces = folders.read_through(folders.pieces_in(tmp_path))
        return folders.key_of({"title": title, "files": [piece.declaration() for piece in pieces]})

    first = key("t")
    assert first == key("t")
    assert first != key("u")
    (tmp_path / "a").write_bytes(b"two")
    assert first != key("t")


def script_of(states: list[str]) -> Script:
    """A catalog with one file that is in one state after the other, each time it is asked; every upload is taken."""
    coming = iter(states)

    def described(state: str, **more: object) -> dict[str, object]:
        return {"id": "o1", "files": [{"path": "a.txt", "size": 3, "state": state}], **more}

    def script(seen: Seen, _: int) -> Answer:
        if seen.method == "PUT":
            return Answer()
        if seen.path.endswith("/complete"):
            return Answer(202)
        if seen.method == "GET":
            return said(described(next(coming)))
        url = f"http://{seen.headers['host']}/bucket/key"
        ticket = {"id": "u1", "path": "a.txt", "method": "PUT", "url": url, "headers": {"content-length": "3"}}
        return said(described(next(coming), uploads=[ticket | {"expires_at": "2100-01-01T00:00:00Z"}]), 201)

    return script


def put(states: list[str], tmp_path: Path) -> tuple[folders.Put, list[str]]:
    (tmp_path / "a.txt").write_bytes(b"abc")
    late: list[str] = []
    pieces = folders.read_through(folders.pieces_in(tmp_path / "a.txt"))
    with serving(script_of(states)) as server, Catalog(server.url) as catalog:
        return folders.put(catalog, {}, pieces, on_late=late.extend), late


def test_bytes_sent_anew_are_waited_for_while_the_catalog_still_sees_the_wrong_ones(tmp_path: Path) -> None:
    done, late = put(["mismatched", "mismatched", "available", "available"], tmp_path)
    assert (done.sent, done.nudged, late) == ({"a.txt"}, frozenset(), [])


def test_bytes_that_arrive_wrong_are_said_to_be_at_once(tmp_path: Path) -> None:
    with pytest.raises(BytesDiffer, match=r"for 'a\.txt'"):
        put(["expected", "expected", "mismatched"], tmp_path)


def test_bytes_that_nobody_notices_in_time_are_pointed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "NOTICE_SECONDS", 0.0)
    done, late = put(["expected", "expected", "expected", "available", "available"], tmp_path)
    assert (done.nudged, late) == ({"a.txt"}, ["a.txt"])


def test_bytes_that_are_there_are_not_sent_again(tmp_path: Path) -> None:
    done, _ = put(["available", "available", "available"], tmp_path)
    assert done.sent == frozenset()
