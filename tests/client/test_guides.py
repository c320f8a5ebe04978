"""The pages about the client, tried: every example of docs/client.md, and the notebook, against a running catalog."""

import ast
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.client import Catalog, pieces_in, read_through
from tests.conftest import Live
from tests.docs.repository import ROOT

PAGE = (ROOT / "docs/client.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "docs/notebooks/penguins.ipynb").read_text(encoding="utf-8"))
MEASURED = b"species,body_mass_g\nAdelie,3700\nAdelie,3800\nGentoo,5000\n"
DESCRIBED: dict[str, Any] = {
    "project": "palmer-lter/penguins",
    "creators": [{"name": "Gorman, Kristen"}],
    "contact": {"name": "Kristen Gorman", "email": "kristen@example.org"},
    "licence": "CC0-1.0",
    "visibility": "public",
}


@pytest.fixture
def word() -> str:
    """A word that only the objects of this test have."""
    return f"w{uuid4().hex[:12]}"


@pytest.fixture
def penguins(live: Live, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A public data set with a file, and a model that was made of it; both are found. We are in a folder of our own."""
    (tmp_path / "brought").mkdir()
    (tmp_path / "brought" / "penguins.csv").write_bytes(MEASURED)
    with Catalog(live.url, live.tokens["ingest"]) as catalog:
        pieces = read_through(pieces_in(tmp_path / "brought"))
        draft = {
            **DESCRIBED,
            "kind": "training-dataset",
            "title": "Palmer penguins: size measurements",
            "keywords": [word],
            "metadata": {"labelled": True},
        }
        dataset = catalog.put(draft, pieces).object
        model = catalog.register(
            {**DESCRIBED, "kind": "model", "title": "Which species penguins are", "keywords": [word], "metadata": {}}
        )
        catalog.relate(model["id"], "IsDerivedFrom", dataset["id"], revision=model["revision"])
        assert catalog.is_found(60)
    monkeypatch.chdir(tmp_path)
    return {"dataset": dataset["id"], "model": model["id"]}


def told(text: str, live: Live, word: str) -> str:
    """An example as somebody at the catalog of this test would write it, who means the objects of this test."""
    here = text.replace("http://127.0.0.1:8000", live.url).replace("cat_...", live.tokens["ingest"])
    return here.replace('"penguins"', f'"penguins {word}"').replace('lab/soil"', f'lab/{word}"')


def test_every_example_of_the_page_runs(
    live: Live, word: str, penguins: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(examples) == PAGE.count("```python")
    names: dict[str, Any] = {"__name__": "examples"}
    for number, example in enumerate(examples):
        exec(compile(told(example, live, word), f"example {number + 1} of docs/client.md", "exec"), names)  # ruff: ignore[S102] - that is what this test is about.
    shown = capsys.readouterr().out
    assert (tmp_path / "data/penguins.csv").read_bytes() == MEASURED
    assert (tmp_path / "awaited/penguins.csv").read_bytes() == MEASURED
    assert (tmp_path / "everything" / penguins["dataset"] / "penguins.csv").read_bytes() == MEASURED
    assert "Palmer penguins: size measurements" in (tmp_path / "penguins.csv").read_text()
    assert "400 " in shown
    assert "/q" in shown or "year" in shown
    assert set(names["titles"]) == {"Palmer penguins: size measurements", "Which species penguins are"}
    assert "metadata.labelled" in names["whole"].columns


def test_the_notebook_goes_from_a_question_to_a_checked_file_and_its_lineage(
    live: Live, word: str, penguins: dict[str, str], tmp_path: Path
) -> None:
    names: dict[str, Any] = {}
    shown = [value for cell in NOTEBOOK["cells"] for value in run(cell, live, word, names)]
    hits, facets, frame, size, masses, lineage = shown
    assert set(hits) == {
        ("Palmer penguins: size measurements", "training-dataset"),
        ("Which species penguins are", "model"),
    }
    assert facets["licence"] == {"CC0-1.0": 2}
    assert sorted(frame["kind"]) == ["model", "training-dataset"]
    assert size == len(MEASURED)
    assert masses.to_dict() == {"Adelie": 3750.0, "Gentoo": 5000.0}
    assert [edge[0] for edge in lineage if "Derived" in edge[1]] == ["Which species penguins are"]
    assert (tmp_path / "penguins.csv").read_bytes() == MEASURED
    assert penguins["dataset"] in names["frame"]["id"].to_list()


def run(cell: dict[str, Any], live: Live, word: str, names: dict[str, Any]) -> list[Any]:
    """Run a cell as a notebook does; what its last line comes to, where that is something to be shown."""
    if cell["cell_type"] != "code":
        return []
    tree = ast.parse(told("".join(cell["source"]), live, word))
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, cell["id"], "exec"), names)  # ruff: ignore[S102] - that is what this test is about.
    if not isinstance(last, ast.Expr):
        return []
    value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names)  # ruff: ignore[S307] - as above.
    return [] if value is None else [value]


def test_the_notebook_is_one_that_every_reader_of_the_format_takes_and_keeps_no_output() -> None:
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in ids)
    common = {"cell_type", "id", "metadata", "source"}
    for cell in NOTEBOOK["cells"]:
        extra = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == common | extra
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert not any(line.startswith(("%", "!")) for line in cell["source"])
