"""Links between the pages lead somewhere, to the heading they name."""

import re
from pathlib import Path

import pytest

from tests.docs.repository import ROOT, documents, text_of, tracked

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")
NAMED_FILE = re.compile(r"`(?P<path>(?:src|indexer|tests|docs|bench|requirements|openapi)/[\w./-]*)`")
HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$", re.MULTILINE)


def prose_of(path: Path) -> str:
    """A page without its code: brackets in code are no links."""
    return CODE.sub("", FENCE.sub("", text_of(path) or ""))


def anchors_of(path: Path) -> set[str]:
    """The anchors that a page's headings get when it is shown as HTML."""
    headings = (found["text"] for found in HEADING.finditer(FENCE.sub("", text_of(path) or "")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", documents(), ids=str)
def test_no_link_is_dead(page: Path) -> None:
    dead = []
    for link in LINK.finditer(prose_of(page)):
        target, _, anchor = link["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        found = Path((ROOT / page.parent / target).resolve()).relative_to(ROOT) if target else page
        is_there = found in tracked() or any(found in file.parents for file in tracked())
        if not is_there or (anchor and anchor not in anchors_of(found)):
            dead.append(link["target"])
    assert dead == []


@pytest.mark.parametrize("page", documents(), ids=str)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    named = {found["path"].rstrip("/") for found in NAMED_FILE.finditer(text_of(page) or "")}
    folders = {parent for file in tracked() for parent in file.parents}
    assert [path for path in sorted(named) if Path(path) not in folders and Path(path) not in tracked()] == []


@pytest.mark.req("DEWRANGLE-RFC-1")
def test_every_decision_is_listed_with_its_state() -> None:
    listed = dict(
        re.findall(r"\]\((\d{4}-[^)]+\.md)\) \| [^|]+ \| ([^|]+?) \|", text_of(Path("docs/adr/README.md")) or "")
    )
    decisions = [path for path in tracked() if path.parent == Path("docs/adr") and path.name != "README.md"]
    stated = {path.name: (text_of(path) or "").splitlines()[2].partition(",")[0].lower() for path in decisions}
    assert listed == stated
    assert set(stated.values()) <= {"proposed", "accepted"} | {f"replaced by {path.name[:4]}" for path in decisions}


@pytest.mark.req("MWM-STORAGE-2", "DEWRANGLE-RFC-1")
def test_the_architecture_is_drawn_from_text() -> None:
    page = text_of(Path("docs/architecture.md")) or ""
    drawings = [found[0] for found in FENCE.finditer(page) if found[0].startswith("```mermaid\nflowchart")]
    assert len(drawings) == 1
    assert [
        part for part in ("PostgreSQL", "OpenSearch", "S3 store", "API", "indexer") if part not in drawings[0]
    ] == []


@pytest.mark.req("MWM-SADD-7")
def test_the_glossary_defines_the_words_of_this_code() -> None:
    page = text_of(Path("docs/glossary.md")) or ""
    defined = set(re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE))
    defined = {word for entry in defined for word in entry.split(", ")}
    wanted = {"object", "kind", "file", "revision", "ticket", "notification", "queue entry", "document", "link", "DOI"}
    assert wanted - defined == set()
