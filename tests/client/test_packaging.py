"""What installing brings: a client without the server's packages, and the data frames with an extra."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from catalog.client import MissingExtra, to_pandas, to_polars
from tests.conftest import Live
from tests.docs.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Refuses to import what no package of the light installation has.
GUARD = """
import importlib.abc, sys
class Guard(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Guard())
"""


def named(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", Requirement(requirement).name).lower()


def closure(wanted: list[str]) -> set[str]:
    """The packages that come with these."""
    found: set[str] = set()
    waiting = [named(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for requirement in requires(one) or []:
            marker = Requirement(requirement).marker
            if marker is None or marker.evaluate({"extra": ""}):
                waiting.append(named(requirement))
    return found


def heavy() -> set[str]:
    """The modules of all packages here that the light installation does not have."""
    light = closure(PROJECT["dependencies"]) | {"science-catalog"}
    modules: dict[str, set[str]] = {}
    for one in distributions():
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        tops = {file.parts[0].removesuffix(".py") for file in one.files or [] if file.suffix == ".py"}
        for top in tops:
            modules.setdefault(top, set()).add(name)
    return {top for top, owners in modules.items() if not owners & light}


def run_light(program: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", GUARD.format(heavy=heavy()) + program],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ) | variables,
    )


def test_the_client_and_its_commands_need_none_of_the_servers_packages(live: Live, tmp_path: Path) -> None:
    assert {"litestar", "sqlalchemy", "opensearchpy", "minio", "rdflib", "alembic", "numpy"} <= heavy()
    (tmp_path / "x.json").write_text(json.dumps({"kind": "modle"}))
    program = f"""
import catalog.client
from catalog.cli import main
for words in (["kinds"], ["search", "x", "--json"], ["register", {str(tmp_path / "x.json")!r}], ["--help"]):
    sys.argv = ["catalog", *words]
    try:
        main()
    except SystemExit as ended:
        print(">", words[0], ended.code)
"""
    told = run_light(program, CATALOG_URL=live.url, CATALOG_TOKEN=live.tokens["ingest"])
    assert "Traceback" not in told.stderr
    codes = [line for line in told.stdout.splitlines() if line.startswith("> ")]
    assert codes == ["> kinds 0", "> search 0", "> register 2", "> --help 0"]


@pytest.mark.parametrize("words", [["migrate"], ["up"], ["openapi"]])
def test_a_command_that_runs_a_catalog_says_which_extra_it_needs(words: list[str]) -> None:
    told = run_light(f"from catalog.cli import main\nsys.argv = ['catalog', *{words!r}]\nmain()\n")
    assert told.returncode == 1
    assert "pip install '/path/to/clone[server]'" in told.stderr
    assert "Traceback" not in told.stderr


def test_without_the_extra_a_frame_names_it() -> None:
    program = """
from catalog.client import MissingExtra, to_pandas, to_polars
for make in (to_pandas, to_polars):
    try:
        make([])
    except MissingExtra as missing:
        print(missing)
"""
    told = run_light(program)
    assert told.stdout.splitlines() == [
        f"{library} is not installed. A clone of the catalog brings it: pip install '/path/to/clone[{library}]'"
        for library in ("pandas", "polars")
    ], told.stderr
    assert {"pandas", "polars", "server", "local"} <= PROJECT["optional-dependencies"].keys()
    assert issubclass(MissingExtra, Exception)


FOUND: list[dict[str, Any]] = [
    {
        "id": "1",
        "title": "Soil",
        "year": 2024,
        "keywords": ["soil", "plot"],
        "updated_at": "2026-11-21T08:00:00Z",
        "highlights": {"title": ["<em>Soil</em>"]},
        "href": "/api/objects/1",
        "metadata": {"labelled": True, "sensor": {"id": "A1"}},
        "dates": [{"type": "Collected", "date": "2024"}],
        "files": [{"path": "a.csv", "size": 3, "link": {"href": "https://store.example/a?X-Amz-Signature=5e1f"}}],
    },
    {"id": "2", "title": "Net", "year": None, "keywords": [], "updated_at": "2026-11-21T09:00:00Z", "files": []},
]


def test_a_frame_has_a_row_for_each_object_and_no_link() -> None:
    pandas, polars = to_pandas(FOUND), to_polars({"hits": FOUND, "total": 2})
    columns = [
        *("id", "title", "year", "keywords", "updated_at", "metadata.labelled", "metadata.sensor.id", "dates"),
        *("files", "bytes"),
    ]
    assert list(pandas.columns) == columns
    assert polars.columns == columns
    assert str(pandas["updated_at"].dtype).startswith("datetime64")
    assert str(pandas["updated_at"].dtype).endswith("UTC]")
    assert str(pandas["year"].dtype) == "Int64"
    assert pandas["year"].tolist()[0] == 2024
    assert polars["year"].to_list() == [2024, None]
    assert polars["files"].to_list() == [["a.csv"], []]
    assert pandas["bytes"].tolist() == [3, 0]
    assert "5e1f" not in pandas.to_csv() + str(polars.to_dicts())


def test_nothing_found_is_an_empty_frame() -> None:
    assert (len(to_pandas([])), len(to_polars([]))) == (0, 0)
