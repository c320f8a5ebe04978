"""Quotas on the command line."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.cli.quotas import number_of
from catalog.errors import Invalid
from tests.cli.conftest import Catalog


@pytest.fixture
def organization(catalog: Catalog) -> Generator[str]:
    """An organization where the reader of the catalog may register, for the length of the test."""
    name = f"o{uuid4().hex[:10]}"
    made = [
        catalog("organization", "create", name, by="admin"),
        catalog("project", "create", f"{name}/soil", by="admin"),
        catalog("member", "give", f"{name}/soil", "user:reader", "ingest", by="admin"),
    ]
    assert [one.code for one in made] == [0, 0, 0]
    yield name
    assert catalog("member", "take", f"{name}/soil", "user:reader", by="admin").code == 0


def test_a_quota_is_set_shown_and_lifted(catalog: Catalog, organization: str) -> None:
    before = catalog("organization", "quota", organization, by="admin")
    limited = catalog("organization", "quota", organization, "--bytes", "2TB", "--objects", "100000", by="admin")
    lifted = catalog("organization", "quota", organization, "--bytes", "none", by="admin")
    member = catalog("organization", "quota", organization, by="reader")
    told = catalog("project", "quota", f"{organization}/soil", "--uploads", "5", "--json", by="admin").json

    def lines(*rows: tuple[str, str, str]) -> list[str]:
        return ["\t".join(row) for row in (("what", "most", "used"), *rows)]

    assert [one.code for one in (before, limited, lifted, member)] == [0, 0, 0, 0]
    none = lines(("objects", "none", "0"), ("bytes", "none", "0"), ("uploads", "none", "0"))
    assert before.out.splitlines() == none
    assert limited.out.splitlines() == lines(
        ("objects", "100000", "0"), ("bytes", "2000000000000", "0"), ("uploads", "none", "0")
    )
    assert lifted.out.splitlines() == lines(
        ("objects", "100000", "0"), *[(one, "none", "0") for one in ("bytes", "uploads")]
    )
    assert member.out.splitlines() == lines(
        ("objects", "100000", ""), *[(one, "none", "") for one in ("bytes", "uploads")]
    )
    assert (told["scope"], told["most"], told["set_by"]) == (
        f"{organization}/soil",
        {"objects": None, "bytes": None, "uploads": 5},
        "admin",
    )


def test_what_does_not_fit_is_told_with_the_figures_and_ends_with_a_code_of_its_own(
    catalog: Catalog, organization: str, draft: dict[str, Any], tmp_path: Path
) -> None:
    catalog("organization", "quota", organization, "--bytes", "10", by="admin")
    (tmp_path / "data.bin").write_bytes(b"eleven byte")
    record = tmp_path / "draft.json"
    record.write_text(json.dumps(draft | {"project": f"{organization}/soil"}))

    refused = catalog("put", str(tmp_path / "data.bin"), "--from", str(record), by="reader")

    assert refused.code == 5
    assert f"{organization} may have 10 bytes of files; this asks for 11 more" in refused.err
    assert "ask an admin of the whole catalog" in refused.err


def test_members_set_no_quota(catalog: Catalog, organization: str) -> None:
    assert catalog("organization", "quota", organization, "--objects", "5", by="reader").code == 3


@pytest.mark.parametrize(
    ("what", "text", "number"),
    [
        ("objects", "100000", 100_000),
        ("objects", "none", None),
        ("bytes", "17", 17),
        ("bytes", "17B", 17),
        ("bytes", "500GB", 500 * 10**9),
        ("bytes", "2 tb", 2 * 10**12),
        ("bytes", "2T", 2 * 10**12),
        ("bytes", "1.5TiB", 3 * 2**39),
        ("bytes", "0.1PB", 10**14),
        ("bytes", "none", None),
    ],
)
def test_a_limit_is_read_as_people_write_it(what: str, text: str, number: int | None) -> None:
    assert number_of(what, text) == number


@pytest.mark.parametrize(
    ("what", "text"),
    [("objects", "2TB"), ("objects", "-1"), ("objects", ""), ("bytes", "-1"), ("bytes", "2iB"), ("bytes", "many")],
)
def test_what_is_no_limit_is_refused_with_an_example(what: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        number_of(what, text)
    assert [fault.pointer for fault in refused.value.faults] == [f"--{what}"]
