"""`push`, `pull` and `job`: folders to a key and from it, again and again, and what the exit code tells."""

import hashlib
import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Catalog, contents
from tests.client.scripted import Answer, Script, Seen, said, serving


@pytest.fixture
def key() -> str:
    """A key that no other test knows."""
    return f"k{uuid4().hex[:12]}"


@pytest.mark.req("CHRIS-SWIFT-1", "CHRIS-SWIFT-6", "CHRIS-SWIFT-8", "CHRIS-SWIFT-9")
def test_a_folder_that_is_pushed_is_pulled_byte_for_byte(
    catalog: Catalog, folder: Path, project: str, key: str, tmp_path: Path
) -> None:
    pushed = catalog("push", "--key", key, "--project", project, folder)
    back = catalog("pull", "--key", key, "--area", "input", tmp_path / "back")
    nothing = catalog("pull", "--key", key, tmp_path / "empty")

    assert (pushed.code, pushed.out) == (0, f"{key}\n"), pushed.err
    assert (back.code, contents(tmp_path / "back")) == (0, contents(folder)), back.err
    assert sorted(back.out.splitlines()) == sorted(str(tmp_path / "back" / path) for path in contents(folder))
    assert (nothing.code, nothing.out) == (0, "")
    assert "this job has no output" in nothing.err
    job = catalog("job", "show", "--key", key, "--json").json
    held = {"files": 11, "available": 11, "bytes": sum(map(len, contents(folder).values()))}
    assert (job["project"], job["state"], job["input"]) == (project, "open", held)


@pytest.mark.req("CHRIS-SWIFT-1")
def test_output_is_pushed_pulled_and_ended(catalog: Catalog, project: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "mask.nii").write_bytes(b"mask")
    catalog("push", "--key", key, "--project", project, "--area", "output", tmp_path / "mask.nii")

    pulled = catalog("pull", "--key", key, tmp_path / "results", "--json")
    ended = catalog("job", "end", "--key", key, "succeeded", "--json")
    again = catalog("job", "end", "--key", key, "succeeded")
    otherwise = catalog("job", "end", "--key", key, "failed")
    late = catalog("push", "--key", key, "--area", "input", tmp_path / "mask.nii")
    same = catalog("push", "--key", key, "--area", "output", tmp_path / "mask.nii")

    assert contents(tmp_path / "results") == {"mask.nii": b"mask"}
    assert [(file["path"], file["outcome"]) for file in pulled.json["files"]] == [("mask.nii", "downloaded")]
    assert (ended.code, ended.json["outcome"], again.code) == (0, "succeeded", 0)
    assert [one.code for one in (otherwise, late, same)] == [5, 5, 0]
    assert "its files stay as they are" in late.err


@pytest.mark.req("CHRIS-SWIFT-1")
def test_pushing_again_sends_only_what_differs(catalog: Catalog, folder: Path, project: str, key: str) -> None:
    first = catalog("push", "--key", key, "--project", project, folder, "--json")
    (folder / "plain.csv").write_bytes(b"a,b\n3,4\n")
    (folder / "new.csv").write_bytes(b"c\n")
    second = catalog("push", "--key", key, folder, "--json")
    third = catalog("push", "--key", key, folder, "--json")

    assert len(first.json["sent"]) == 11
    assert second.json["sent"] == ["input/new.csv", "input/plain.csv"]
    assert third.json["sent"] == []


def test_what_was_replaced_is_pulled_as_it_is_now(
    catalog: Catalog, folder: Path, project: str, key: str, tmp_path: Path
) -> None:
    catalog("push", "--key", key, "--project", project, folder)
    catalog("pull", "--key", key, "--area", "input", tmp_path / "back")
    (folder / "plain.csv").write_bytes(b"a,b\n3,4\n")
    catalog("push", "--key", key, folder)

    again = catalog("pull", "--key", key, "--area", "input", tmp_path / "back", "--json")

    assert contents(tmp_path / "back") == contents(folder)
    outcomes = {file["path"]: file["outcome"] for file in again.json["files"]}
    assert outcomes == dict.fromkeys(contents(folder), "skipped") | {"plain.csv": "downloaded"}


@pytest.mark.req("CHRIS-SWIFT-16")
def test_the_environment_may_say_the_key(catalog: Catalog, folder: Path, project: str, key: str) -> None:
    without = catalog("push", folder)
    pushed = catalog("push", "--project", project, folder, JOB_KEY=key)
    other = catalog("push", "--key", f"{key}-2", "--project", project, folder, JOB_KEY=key)

    assert (without.code, pushed.out, other.out) == (2, f"{key}\n", f"{key}-2\n")
    assert "say which job, or set CATALOG_JOB_KEY" in without.err
    assert catalog("job", "show", "--json", JOB_KEY=key).json["key"] == key


def test_the_exit_code_tells_what_went_wrong(catalog: Catalog, folder: Path, key: str, tmp_path: Path) -> None:
    codes = {
        "no such job": catalog("pull", "--key", key, tmp_path).code,
        "no project": catalog("push", "--key", key, folder).code,
        "no such area": catalog("pull", "--key", key, "--area", "share", tmp_path).code,
        "no such folder": catalog("push", "--key", key, tmp_path / "none").code,
        "wrong key": catalog("push", "--key", "Brain/1", "--project", "cli/jobs", folder).code,
        "no token": catalog("push", "--key", key, "--project", "cli/jobs", folder, by=None).code,
        "nobody there": catalog("job", "show", "--key", key, URL="http://127.0.0.1:9").code,
    }
    assert codes == {
        "no such job": 4,
        "no project": 4,
        "no such area": 2,
        "no such folder": 2,
        "wrong key": 2,
        "no token": 3,
        "nobody there": 6,
    }


def test_a_begun_file_is_gone_on_with(catalog: Catalog, project: str, key: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    (tmp_path / "large.bin").write_bytes(content)
    catalog("push", "--key", key, "--project", project, "--area", "output", tmp_path / "large.bin")
    back = tmp_path / "back"
    back.mkdir()
    (back / "large.bin.part").write_bytes(content[:1_000_000])

    pulled = catalog("pull", "--key", key, back, "--json")

    assert [file["outcome"] for file in pulled.json["files"]] == ["resumed"]
    assert contents(back) == {"large.bin": content}


def test_what_has_not_arrived_keeps_nothing_else_from_being_pulled(
    catalog: Catalog, project: str, key: str, tmp_path: Path
) -> None:
    (tmp_path / "there.txt").write_bytes(b"there")
    catalog("push", "--key", key, "--project", project, tmp_path / "there.txt")
    job = catalog("job", "show", "--key", key, "--json").json
    script = lost(job, tmp_path / "there.txt")
    with serving(script) as server:
        pulled = catalog("pull", "--key", key, "--area", "input", tmp_path / "back", URL=server.url)

    assert pulled.code == 1
    assert contents(tmp_path / "back") == {"there.txt": b"there"}
    assert "'lost.txt' are expected" in pulled.err
    assert "1 of 2 files were not fetched" in pulled.err


def lost(job: dict[str, object], there: Path) -> Script:
    """A catalog that has one file of a job, and awaits another."""
    content = there.read_bytes()

    def script(seen: Seen, _: int) -> Answer:
        if seen.path.startswith("/store"):
            return Answer(200, content)
        if "/files" not in seen.path:
            return said({**job, "input": {"files": 2, "available": 1, "bytes": 10}})
        link = {"href": f"http://{seen.headers['host']}/store", "expires_at": "2100-01-01T00:00:00Z"}
        sha256 = hashlib.sha256(content).hexdigest()
        plain = {"size": len(content), "sha256": sha256, "media_type": "text/plain"}
        files = [
            {"path": "input/there.txt", "state": "available", "link": link, **plain},
            {"path": "input/lost.txt", "state": "expected", "link": None, **plain},
        ]
        return said({"items": files, "cursor": None})

    return script


@pytest.mark.req("CHRIS-SWIFT-1")
@pytest.mark.parametrize("path", ["../evil", "a/../../evil", "/evil", "a//evil", "./evil"])
def test_nothing_is_written_outside_the_folder(catalog: Catalog, key: str, tmp_path: Path, path: str) -> None:
    job = {"key": key, "project": "a/b", "id": "1", "output": {"files": 1, "available": 1, "bytes": 1}}

    def script(seen: Seen, _: int) -> Answer:
        if "/files" not in seen.path:
            return said(job)
        link = {"href": f"http://{seen.headers['host']}/store", "expires_at": "2100-01-01T00:00:00Z"}
        file = {"path": f"output/{path}", "size": 1, "sha256": "a" * 64, "media_type": "a/b", "state": "available"}
        return said({"items": [file | {"link": link}], "cursor": None})

    with serving(script) as server:
        pulled = catalog("pull", "--key", key, tmp_path / "in" / "back", URL=server.url)

    assert pulled.code == 1
    assert "would be written outside" in pulled.err
    assert contents(tmp_path) == {}


def test_a_link_on_the_way_leads_nothing_outside(catalog: Catalog, project: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "a.txt").write_bytes(b"a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "sub").symlink_to(tmp_path / "elsewhere")
    catalog("push", "--key", key, "--project", project, tmp_path / "data")

    pulled = catalog("pull", "--key", key, "--area", "input", tmp_path / "back")

    assert (pulled.code, contents(tmp_path / "elsewhere")) == (1, {})


def test_jobs_are_listed_with_what_they_have(catalog: Catalog, project: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc")
    catalog("push", "--key", key, "--project", project, tmp_path / "a.txt")
    catalog("push", "--key", f"{key}-2", "--project", project, tmp_path / "a.txt")
    catalog("job", "end", "--key", f"{key}-2", "failed")

    listed = catalog("job", "list", "--project", project)
    ended = catalog("job", "list", "--project", project, "--state", "ended", "--mine", "--json")

    assert [line.split("\t") for line in listed.out.splitlines()] == [
        ["key", "project", "state", "input", "output"],
        [f"{key}-2", project, "failed", "1 file, 3 bytes", "0 files, 0 bytes"],
        [key, project, "open", "1 file, 3 bytes", "0 files, 0 bytes"],
    ]
    assert [job["key"] for job in ended.json] == [f"{key}-2"]
    shown = catalog("job", "show", "--key", key)
    assert f"key: {key}" in shown.out.splitlines()
    assert json.loads(catalog("job", "show", "--key", key, "--json").out)["owner"]
