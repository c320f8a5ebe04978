"""Moving files on the command line: seen before, begun on purpose, watched, paused, resumed, ended."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.conftest import Catalog
from tests.cli.test_backends import bucket, minio, organization, place
from tests.conftest import eventually

__all__ = ["bucket", "minio", "organization", "place"]


@pytest.mark.req("DEWRANGLE-RFC-55")
async def test_files_move_once_somebody_said_yes_to_the_plan(
    catalog: Catalog, organization: str, place: list[str], draft: dict[str, Any], tmp_path: Path
) -> None:
    scope, content = f"{organization}/soil", "day,moisture\n1,0.31\n"
    described, file = tmp_path / "draft.json", tmp_path / "soil.csv"
    described.write_text(json.dumps(draft | {"project": scope}))
    file.write_text(content)
    put = catalog("put", file, "--from", described, by="admin")
    assert put.code == 0, put.err
    made = catalog("backend", "create", organization, "Archive", *place, "--document", by="admin")
    archive = made.out.strip()
    way = [scope, "--from", "default", "--to", archive]

    plan = catalog("relocate", "plan", *way, by="admin")
    assert plan.code == 0, plan.err
    assert f"1 files, {len(content)} bytes would move from default to Archive" in plan.err
    assert f"warning: new files of {scope} still go to the source" in plan.err
    planned = catalog("relocate", "plan", *way, "--json", by="admin").json
    assert planned["moved"] == {"files": 1, "bytes": len(content)}
    # Nobody is there to be asked.
    unsaid = catalog("relocate", "start", *way, by="admin")
    assert (unsaid.code, "--yes" in unsaid.err) == (2, True)
    assert catalog("relocate", "list", scope, "--json", by="admin").json == []

    begun = catalog("relocate", "start", *way, "--yes", by="admin")
    assert begun.code == 0, begun.err
    relocation = begun.out.strip()

    async def moved() -> bool:
        shown = catalog("relocate", "show", relocation, "--json", by="admin").json
        return bool(shown["amounts"]["switched"]["files"] == 1)

    await eventually(moved)
    shown = catalog("relocate", "show", relocation, by="admin")
    assert f"running: 1 files, {len(content)} bytes of 1 files, {len(content)} bytes moved" in shown.err
    assert "what was left behind is removed from" in shown.err
    listed = catalog("relocate", "list", organization, by="admin").out
    assert [word in listed for word in (relocation, scope, "Archive", "running")] == [True] * 4
    assert catalog("backend", "remove", organization, archive, "--detach", by="admin").code == 5
    states = [
        catalog("relocate", verb, relocation, "--json", by="admin").json["state"]
        for verb in ("pause", "resume", "cancel")
    ]
    assert states == ["paused", "running", "cancelled"]
    assert catalog("relocate", "show", str(uuid4()), by="admin").code == 4
    got = catalog("get", put.out.strip(), "--to", tmp_path / "out", by="admin")
    assert got.code == 0, got.err
    assert [path.read_text() for path in (tmp_path / "out").rglob("soil.csv")] == [content]
