"""The pages of vocabularies and their concepts: what a term means, what is broader and narrower, what it describes."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests
from catalog.api import vocabularies as vocabularies_api
from catalog.api.requests import AnyRequest
from catalog.search import fields
from catalog.web import counting, rendering, wording
from catalog.web.answers import page
from catalog.web.state import State

CONCEPTS_SHOWN = 100
# Which facet of the search takes the concepts of a vocabulary.
FACET_OF = {field.scheme: field.name for field in fields.FIELDS.values() if field.scheme is not None}
_LANGUAGE_UNSAID = "no language stated"


@get("/vocabularies", include_in_schema=False)
async def show_vocabularies(request: AnyRequest) -> Response[str]:
    """Show every vocabulary."""
    told = msgspec.to_builtins(await vocabularies_api.every(request))
    shown = [(one, f"/vocabularies/{one['name']}") for one in told["items"]]
    return _kept(rendering.render("vocabularies.html", state=State(), vocabularies=shown))


@get("/vocabularies/{scheme:str}", include_in_schema=False)
async def show_vocabulary(request: AnyRequest) -> Response[str]:
    """Show the topmost concepts of a vocabulary, all of them by name, or those with a text."""
    name = str(request.path_params["scheme"])
    scheme = await vocabularies_api.one(request, name)
    text = request.query_params.get("q", "").strip()
    every = text != "" or "all" in request.query_params
    question = {"q": text or None, "top": not every, "limit": CONCEPTS_SHOWN}
    cursor = request.query_params.get("cursor")
    asked = requests.parsed(msgspec.json.encode(question | {"cursor": cursor}), vocabularies_api.ConceptQuery)
    told = await vocabularies_api.concepts(request, name, asked)
    here = f"/vocabularies/{scheme.name}"
    kept = {name: value for name, value in (("q", text), ("all", "yes" if every and not text else "")) if value}
    html = rendering.render(
        "vocabulary.html",
        state=State(),
        scheme=msgspec.to_builtins(scheme),
        source=wording.safe_address(scheme.source),
        text=text,
        every=every,
        continued=cursor is not None,
        concepts=[_entry(concept) for concept in msgspec.to_builtins(told.items)],
        here=here,
        next_address=f"{here}?{urlencode({**kept, 'cursor': told.cursor})}" if told.cursor else None,
        json_address=f"/api/vocabularies/{scheme.name}",
    )
    return _kept(html)


@get("/concepts", include_in_schema=False)
async def show_concept(request: AnyRequest) -> Response[str]:
    """Show one concept."""
    asked = requests.parsed(
        msgspec.json.encode({"uri": request.query_params.get("uri", "")}), vocabularies_api.ConceptAddress
    )
    concept, near = await vocabularies_api.concept(request, asked.uri)
    scheme = await vocabularies_api.one(request, concept.scheme)
    described = described_by(concept.scheme, concept.uri)
    html = render_concept(
        msgspec.to_builtins(concept),
        near,
        scheme_title=scheme.title,
        described_address=described.address(),
        described=await counting.found(request, described),
    )
    return _kept(html)


def render_concept(
    concept: Mapping[str, Any],
    near: Mapping[str, str],
    *,
    scheme_title: str,
    described_address: str,
    described: int | None,
) -> str:
    """Return the page of a concept; `near` is what those are called that it names, by their URI."""
    replaced_by = concept["replaced_by"]
    return rendering.render(
        "concept.html",
        state=State(),
        concept=concept,
        scheme_title=scheme_title,
        scheme_address=f"/vocabularies/{concept['scheme']}",
        languages=_languages(concept),
        ways=[
            (heading, [_named(uri, near) for uri in concept[name]])
            for heading, name in (
                ("Broader", "broader"),
                ("Narrower", "narrower"),
                ("Related", "related"),
                ("The same elsewhere", "exact_matches"),
            )
            if concept[name]
        ],
        replaced_by=None if replaced_by is None else _named(replaced_by, near),
        described=described,
        described_address=described_address,
        json_address=f"/api/concepts?{urlencode({'uri': concept['uri']})}",
    )


def concept_address(uri: str) -> str:
    """Return the path of a concept's page."""
    return f"/concepts?{urlencode({'uri': uri})}"


def described_by(scheme: str, uri: str) -> State:
    """Return the search for what a concept describes; where no facet takes it, for what names its URI."""
    facet = FACET_OF.get(scheme)
    return State(q=f'"{uri}"') if facet is None else State(chosen={facet: (uri,)})


def _kept(html: str) -> Response[str]:
    return page(html, headers={"Cache-Control": "no-cache"})


def _entry(concept: Mapping[str, Any]) -> dict[str, Any]:
    definitions: Mapping[str, str] = concept["definitions"]
    return {
        "label": concept["label"],
        "address": concept_address(concept["uri"]),
        "notations": concept["notations"],
        "narrower": len(concept["narrower"]),
        "deprecated": concept["deprecated"],
        "definition": definitions.get("en") or next(iter(definitions.values()), ""),
    }


def _named(uri: str, near: Mapping[str, str]) -> tuple[str, str | None, bool]:
    """Return what a concept is called, where that leads, and whether it is one of ours."""
    label = near.get(uri)
    return (uri, wording.safe_address(uri), False) if label is None else (label, concept_address(uri), True)


def _languages(concept: Mapping[str, Any]) -> list[tuple[str, str, str, Sequence[str], str]]:
    """Return what it is called by language: tag, what people call the tag, preferred, others, definition."""
    preferred, others, defined = concept["preferred"], concept["alternative"], concept["definitions"]
    # Named sets have no order of their own; English first, because most of the catalog is.
    tags = sorted(
        preferred.keys() | others.keys() | defined.keys(), key=lambda tag: (tag.partition("-")[0] != "en", tag)
    )
    return [
        (tag, tag or _LANGUAGE_UNSAID, preferred.get(tag, ""), others.get(tag, []), defined.get(tag, ""))
        for tag in tags
    ]


PAGES: list[HTTPRouteHandler] = [show_vocabularies, show_vocabulary, show_concept]
