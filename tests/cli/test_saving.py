"""`catalog saved`: save, list, change, see what fits, feed, secret, remove."""

import stat
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from catalog.client import Catalog as Client
from tests.cli.conftest import Catalog
from tests.conftest import SECONDS_MAX, Live


def test_a_search_is_saved_shows_what_fits_and_is_removed(
    catalog: Catalog, live: Live, draft: dict[str, Any], tmp_path: Path
) -> None:
    word, name = f"quetzal{uuid4().hex[:8]}", f"Mine {uuid4().hex[:8]}"
    made = catalog("saved", "add", name, word, "--kind", draft["kind"])
    search_id = made.out.strip()
    assert (made.code, made.err) == (0, f"`catalog saved show {search_id}` lists what fits\n")
    with Client(live.url, live.tokens["ingest"]) as client:
        object_id = client.register(draft | {"visibility": "public", "title": f"A {word}"})["id"]
        ends = time.monotonic() + SECONDS_MAX
        while not client.saved.fitting(search_id):
            assert time.monotonic() < ends
            time.sleep(0.1)
        kept = client.saved.read(search_id)
        assert client.saved.change(search_id, name, {"q": word})["query"] == {"q": word}
    assert (kept["query"], kept["tell"]["by"]) == ({"q": word, "kind": [draft["kind"]]}, "feed")

    shown = catalog("saved", "show", search_id)
    assert (f"A {word}" in shown.out, object_id in shown.out) == (True, True)
    assert [one["title"] for one in catalog("saved", "show", search_id, "--json").json] == [f"A {word}"]
    assert name in catalog("saved", "list").out
    file = tmp_path / "feed"
    assert catalog("saved", "feed", search_id, "--into", file).code == 0
    atom, _ = file.read_text().split()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"A {word}" in httpx2.get(atom, timeout=30, trust_env=False).text
    assert catalog("saved", "secret", search_id, "--into", file).code == 0
    assert file.read_text().startswith("whsec_")
    assert catalog("saved", "show", search_id, by="other").code == 4
    assert catalog("saved", "show", name).out == shown.out
    assert catalog("saved", "add", "Both", "x", "--mail", "a@example.org", "--webhook", "https://example.org").code == 2
    assert catalog("saved", "remove", search_id).err == "removed\n"
    assert catalog("saved", "show", search_id).code == 4


def test_a_list_tells_what_is_asked_and_where_it_goes_and_a_change_keeps_what_is_not_said(catalog: Catalog) -> None:
    name, other = (f"{one} {uuid4().hex[:8]}" for one in ("Mine", "Other"))
    narrowed = ("--bbox", "5,45,6,46", "--time", "2009", "--licence", "MIT", "--task", "Audio processing")
    search_id = catalog("saved", "add", name, "petrel", *narrowed).out.strip()

    def row() -> list[str]:
        rows = [line.split("\t") for line in catalog("saved", "list").out.splitlines()]
        assert rows[0] == ["name", "question", "told by", "last told", "what is wrong", "id"]
        return next(one for one in rows if one[-1] == search_id)

    asked = "petrel --licence MIT --task Audio processing --bbox 5,45,6,46 --time 2009"
    assert row() == [name, asked, "feed", "", "", search_id]
    changed = catalog("saved", "change", name, "--name", other, "--webhook", "https://127.0.0.1/hook", "--daily")
    assert (changed.code, "127.0.0.1 lies in a private network" in changed.err) == (2, True)
    assert catalog("saved", "change", name, "--name", other).err == f"{other}: {asked}; feed\n"
    assert catalog("saved", "change", other, "--kind", "model").err == f"{other}: --kind model; feed\n"
    assert row() == [other, "--kind model", "feed", "", "", search_id]
    missing = catalog("saved", "remove", name)
    assert (missing.code, repr(other) in missing.err) == (4, True)
    assert catalog("saved", "remove", other).err == "removed\n"
