"""Where a DOI leads: the page of the object or version, and for what was withdrawn a page that says so.

Pure. A tombstone tells what the registry was told, and nothing that was written since.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from catalog.exchange import citation
from catalog.exchange.work import Work
from catalog.web import rendering, wording
from catalog.web.details import entries_of
from catalog.web.state import FACETS, State

LINKED_CREATORS_MAX = 20
# What a question's parts are called beside the search, too.
ASKED = {"q": "Words", **FACETS}
NOW = {"same": "", "changed": "changed since", "withdrawn": "withdrawn since", "hidden": "not public any more"}


def render_tombstone(
    registered: Mapping[str, Any],
    *,
    doi: str,
    page: str,
    detail: str,
    what_is_gone: str = "Its files are",
    left_address: str | None = None,
) -> str:
    """Return the page of something that is not to be had any more; `left_address` leads to what is left of it."""
    return rendering.render(
        "tombstone.html",
        state=State(),
        heading="Withdrawn",
        title=registered["titles"][0]["title"],
        creators=[creator["name"] for creator in registered["creators"]],
        publisher=registered["publisher"]["name"],
        year=registered["publicationYear"],
        version=registered.get("version"),
        doi=doi,
        page=page,
        detail=detail,
        what_is_gone=what_is_gone,
        left_address=left_address,
    )


def render_snapshot(shown: Mapping[str, Any], work: Work) -> str:
    """Return the page of a snapshot as `GET /api/snapshots/{id}` answers it."""
    members = [
        {
            "name": one["title"] or "An object that is not public any more",
            "address": wording.object_address(one["id"]) if one["title"] else None,
            "kind": wording.kind_title(one["kind"]) if one["kind"] else "",
            "now": NOW[one["now"]],
            "revision": one["revision"],
        }
        for one in shown["members"]
    ]
    return rendering.render(
        "snapshot.html",
        state=State(),
        shown=shown,
        members=members,
        more=shown["members_total"] - len(members),
        page=work.address,
        question=entries_of(
            {ASKED.get(name, wording.label_of(name)): value for name, value in shown["query"].items()}, labelled=False
        ),
        search_address=State.of(_pairs(shown["query"])).address(),
        apa=citation.apa(work),
        bibtex=citation.bibtex(work),
        json_address=f"/api/snapshots/{shown['id']}",
    )


def _pairs(question: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, str(one)) for name, value in question.items() for one in (value if isinstance(value, list) else [value])
    ]


def signposts(*, cite_as: str, described_by: Sequence[tuple[str, str]], record: Mapping[str, Any]) -> str:
    """Return the Link header by which programs find their way (signposting.org, FAIR Signposting Profile, level 1)."""
    links = [f'<{cite_as}>; rel="cite-as"']
    links += [f'<{address}>; rel="describedby"; type="{media_type}"' for address, media_type in described_by]
    links += [
        f'<https://orcid.org/{creator["orcid"]}>; rel="author"'
        for creator in record["creators"][:LINKED_CREATORS_MAX]
        if creator.get("orcid")
    ]
    licence = record.get("licence")
    if licence and " " not in licence:
        links.append(f'<https://spdx.org/licenses/{licence}>; rel="license"')
    return ", ".join(links)
