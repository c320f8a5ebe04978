"""Text of strangers stays text; pages load nothing from elsewhere, run nothing, and can be read by everybody."""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from catalog.errors import Fault
from catalog.web import objects, problems, rendering, search
from catalog.web.state import State
from tests.web import samples
from tests.web.reading import Page

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></textarea></style><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "<mark onclick=alert(1)>x</mark>",
    "--><a href=//elsewhere.example>x</a><!--",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202egpj.exe",
)


def harmless(hostile: str) -> str:
    """Return plain letters of the same shape: what parts a path or spoils an address stays."""
    return re.sub(r"[^/\s\u202e]", "w", hostile)


# Made by the server, never by strangers: a wrong one is a fault of ours and may fail.
OURS = {"created_at", "updated_at", "expires_at"}
# Their value decides what is shown; each stands in the samples in every variety.
DECIDING = {"state", "visibility"}

ENTRY, BUNDLE = samples.entry(), samples.bundle()
ANSWER = samples.answer(samples.DATASET, samples.BUNDLE, cursor="next")


def leaves(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every text in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in OURS | DECIDING:
                yield from leaves(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*place, number))
    elif isinstance(value, str):
        yield place


def changed(document: dict[str, Any], place: tuple[str | int, ...], text: str) -> Any:
    """Return the document with one text replaced."""
    copy: Any = deepcopy(document)
    *way, last = place
    at = copy
    for step in way:
        at = at[step]
    at[last] = text
    return copy


def object_page(entry: dict[str, Any]) -> str:
    """Return the page of an object."""
    return objects.render_object(entry, samples.work(entry))


def search_page(answer: dict[str, Any]) -> str:
    """Return the page of an answer."""
    return search.render_search(answer, State(q="penguins", chosen={"kind": ("model",)}))


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(
    ("render", "document"),
    [(object_page, ENTRY), (object_page, BUNDLE), (search_page, ANSWER)],
    ids=["object", "bundle", "search"],
)
def test_no_text_in_any_field_changes_the_structure_of_a_page(
    render: Callable[[Any], str], document: dict[str, Any], hostile: str
) -> None:
    places = list(leaves(document))
    assert len(places) > 20
    for place in places:
        page = Page(render(changed(document, place, hostile)))
        assert page.structure() == Page(render(changed(document, place, harmless(hostile)))).structure(), place
        assert page.unclosed == []
        schemes = {a.attributes["href"].partition(":")[0] for a in page.all("a") if a.attributes["href"][0] not in "/#"}
        assert schemes <= {"http", "https", "mailto"}, place


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_key_that_people_chose_changes_the_structure_of_a_page(hostile: str) -> None:
    for field in ("custom", "metadata"):
        structures = [
            Page(object_page(samples.entry(**{field: {key: {key: [{key: "x"}]}}}))).structure()
            for key in (hostile, harmless(hostile))
        ]
        assert structures[0] == structures[1]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_address_changes_the_structure_of_a_page(hostile: str) -> None:
    def pages(text: str) -> Iterator[str]:
        state = State(q=text, chosen=dict.fromkeys(search.FACETS, (text,)), sort=text, limit=text, cursor=text)
        faults = [Fault("/q", text, text), Fault(f"/{text}", text, text)]
        yield search.render_search(samples.answer(cursor=text, facets={}), state)
        yield search.render_search(samples.answer(samples.hit(), cursor=text), state)
        yield search.render_refusal(state, text, faults)
        yield search.render_unavailable(state, text)
        yield problems.render_problem(400, text, faults, request_id=text)

    for page, plain in zip(pages(hostile), pages(harmless(hostile)), strict=True):
        # Values are sorted, so the two may stand in another order.
        assert sorted(Page(page).structure()) == sorted(Page(plain).structure())


EVERY_PAGE = {
    "object": object_page(ENTRY),
    "bundle": object_page(BUNDLE),
    "search": search_page(ANSWER),
    "first visit": search.render_search(ANSWER, State()),
    "empty": search.render_search(samples.answer(facets={}), State(q="x")),
    "refused": search.render_refusal(State(q='"'), "No.", [Fault("/q", "Unclosed.")]),
    "unavailable": search.render_unavailable(State(q="x"), "Away."),
    "problem": problems.render_problem(404, "Nothing."),
}


@pytest.fixture(params=EVERY_PAGE)
def page(request: pytest.FixtureRequest) -> Page:
    """Every kind of page."""
    return Page(EVERY_PAGE[request.param])


def test_pages_run_our_own_script_alone_and_load_only_from_here(page: Page) -> None:
    tags = {element.tag for element in page.elements}
    assert not tags & {"style", "iframe", "object", "embed", "base", "img", "template"}
    # A data block is read by whoever looks for it, and run by nobody (HTML, section 4.12.1).
    scripts = [element.attributes for element in page.elements if element.tag == "script"]
    run = [attributes for attributes in scripts if attributes != {"type": "application/ld+json"}]
    # The map is on the pages of the search alone.
    ours = ["suggestions.js", *(["map.js"] if page.all("svg", id="map") else [])]
    assert run == [{"src": rendering.asset(name), "defer": ""} for name in ours]
    for element in page.elements:
        names = element.attributes
        assert "style" not in names
        assert not [name for name in names if name.startswith("on")]
        if element.tag == "link" and names["rel"] in {"icon", "stylesheet"}:
            assert re.fullmatch(r"/static/[\w./-]+\?v=[0-9a-f]{12}", names["href"])
        if element.tag == "form":
            assert (names["action"], names["method"]) == ("/", "get")


def test_pages_are_whole_documents_with_landmarks_and_ordered_headings(page: Page) -> None:
    assert page.unclosed == []
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("main").attributes["id"] == page.one("a", class_="skip").attributes["href"].removeprefix("#")
    # What a shape of a picture is called is a title too.
    assert len([one for one in page.all("title") if one.attributes != {"class": "tip"}]) == len(page.all("h1")) == 1
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch("h[1-6]", element.tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_ids_are_unique_and_every_reference_names_one(page: Page) -> None:
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for name in ("for", "form", "aria-labelledby", "aria-describedby"):
            assert element.attributes.get(name, ids[0]) in ids
        if element.attributes.get("href", "").startswith("#"):
            assert element.attributes["href"][1:] in ids


def test_a_text_that_turns_the_direction_turns_nothing_beside_it() -> None:
    # Unicode Standard Annex 9: an override reaches to the end of its isolate, which <bdi> and dir="auto" make.
    turned = "\u202egpj.exe"
    keyed = samples.entry(title=turned, keywords=[turned], creators=[{"name": turned}], description=turned)
    found = samples.answer({**samples.DATASET, "title": turned, "creators": [turned], "description": turned})

    for page in (Page(object_page(keyed)), Page(search_page(found))):
        isolated = [e for e in page.elements if e.tag == "bdi" or e.attributes.get("dir") == "auto"]
        assert len([e for e in isolated if turned in e.text]) >= 2
        for heading in (*page.all("h1"), *page.all("h3")):
            assert turned not in heading.text or heading.attributes["dir"] == "auto"


def test_the_policy_allows_only_our_own_scripts_styles_and_images_and_none_within_a_page() -> None:
    assert rendering.SECURITY_HEADERS == {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "same-origin",
    }


def test_scripts_put_nothing_into_a_page_but_text() -> None:
    scripts = list(rendering.STATIC_FOLDER.rglob("*.js"))
    assert sorted(one.name for one in scripts) == ["map.js", "suggestions.js"]
    for script in scripts:
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "import"):
            assert way not in script.read_text(), way


def test_style_sheets_fetch_nothing() -> None:
    for sheet in rendering.STATIC_FOLDER.rglob("*.css"):
        for address in re.findall(r"url\(([^)]*)\)", sheet.read_text()):
            assert address.strip("\"'").startswith("data:"), sheet
        assert "@import" not in sheet.read_text()


def test_vendored_files_are_those_recorded() -> None:
    folder = rendering.STATIC_FOLDER / "vendor"
    recorded = dict(
        re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", (folder / "README.md").read_text(), re.MULTILINE)
    )
    present = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "README.md"
    }
    assert recorded == present


TEXT_ON = {
    "paper": ["ink", "quiet", "accent", "accent-deep", "alarm", "good", "waiting", "kind-data", "kind-model",
              "kind-sensor", "kind-code"],
    "raised": ["ink", "quiet", "accent"],
    "accent": ["on-accent"],
    "accent-deep": ["on-accent"],
    "mark": ["on-mark"],
    "alarm-paper": ["ink"],
    "alarm": ["paper"],
}  # fmt: skip
SHAPES_ON = {"paper": ["edge", "accent"], "raised": ["edge"]}


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb (WCAG 2.2, "relative luminance")."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pair_of_colours_can_be_told_apart(scheme: str) -> None:
    blocks = re.split(r"prefers-color-scheme: dark", (rendering.STATIC_FOLDER / "catalog.css").read_text(), maxsplit=1)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[scheme == "dark"]))
    for pairs, least in ((TEXT_ON, 4.5), (SHAPES_ON, 3.0)):
        for ground, inks in pairs.items():
            for ink in inks:
                assert contrast(colours[ink], colours[ground]) >= least, (scheme, ink, ground)
