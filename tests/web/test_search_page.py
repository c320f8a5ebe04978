"""The search page: every state is a link, nothing needs a script."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import Fault
from catalog.web import search
from catalog.web.search import FACETS, State
from tests.web import samples
from tests.web.reading import Page, asked

ASKED = State(q="penguins", chosen={"kind": ("model", "training-dataset"), "licence": ("CC-BY-4.0",)}, sort="title")

line = st.text(min_size=1).map(str.strip).filter(bool)
states = st.builds(
    State,
    q=st.just("") | line,
    chosen=st.dictionaries(
        st.sampled_from(list(FACETS)), st.lists(st.text(min_size=1), min_size=1, unique=True).map(sorted).map(tuple)
    ),
    sort=st.none() | st.sampled_from(["newest", "title"]),
    limit=st.none() | st.just("50"),
    cursor=st.none() | line,
)


def page(answer: dict[str, Any], state: State) -> Page:
    """Return the parsed page for an answer."""
    return Page(search.render_search(answer, state))


@given(states)
def test_an_address_says_the_whole_state(state: State) -> None:
    path, pairs = asked(state.address())
    assert (path, State.of(pairs)) == ("/", state)


# A page is drawn for each: on a busy machine that may take longer than Hypothesis waits, and proves nothing.
@settings(deadline=None)
@given(states)
def test_sending_the_form_unchanged_asks_the_same_from_its_start(state: State) -> None:
    shown = page(samples.answer(samples.hit(), total=1), state)
    assert State.of(shown.submission("search")) == state.from_start()


def test_what_a_page_does_not_know_is_left_out_of_its_state() -> None:
    pairs = [("q", " a "), ("utm_source", "mail"), ("kind", ""), ("kind", "model"), ("kind", "model"), ("sort", "")]
    assert State.of(pairs) == State(q="a", chosen={"kind": ("model",)})


def test_the_api_is_asked_what_the_address_says_with_every_facet_counted() -> None:
    assert ASKED.asked() == {
        "q": "penguins",
        "sort": "title",
        "kind": ["model", "training-dataset"],
        "licence": ["CC-BY-4.0"],
        "facet": [
            *("kind", "project", "creator", "licence", "year", "format"),
            *("state", "quality", "sensor", "has_labels", "subject", "task"),
        ],
    }


def test_words_found_in_a_name_or_in_details_are_not_said_to_be_of_members() -> None:
    found = samples.hit(highlights={"members": ["<mark>sky</mark>"], "terms": ["<mark>Sky</mark> images"]})

    shown = page(samples.answer(found), State(q="sky"))

    assert shown.texts("p", class_="also") == ["Name and details: sky", "Terms: Sky images"]


def test_a_hit_shows_what_it_is_who_made_it_and_what_can_be_had() -> None:
    shown = page(samples.answer(samples.DATASET), State(q="penguins"))
    assert shown.texts("h3") == ["Penguins of the Palmer Archipelago"]
    assert shown.texts("mark") == ["Penguins", "penguins", "penguin", "penguins", "penguins"]
    assert shown.texts("p", class_="kind") == ["Training data set"]
    assert shown.texts("p", class_="by") == [
        "Gorman, Kristen B.; Williams, Tony D.; Fraser, William R.; Horst, Allison; 2 others (2014)"
    ]
    assert shown.texts("p", class_="excerpt") == [
        "Size measurements of adult foraging penguins near Palmer Station: three species …"
    ]
    assert shown.texts("p", class_="also") == ["Keywords: penguin", "Files: data/penguins.csv · data/penguins-raw.csv"]
    assert shown.texts("p", class_="traits") == ["Project demo/antarctica CC0-1.0 Updated 20 November 2026"]
    assert shown.texts("span", class_="what") == [
        "data/penguins.csv 16.0 kB text/csv",
        "data/penguins-raw.csv 56.8 kB text/csv",
        "docs/field notes.pdf 1.2 MB application/pdf",
        "docs/map.png 1.0 MB image/png",
        "docs/species/adelie.txt 512 B text/plain",
    ]
    assert [span.attributes["title"] for span in shown.all("span") if "bytes" in span.attributes.get("title", "")] == [
        "16,034 bytes",
        "56,790 bytes",
        "1,204,511 bytes",
        "999,960 bytes",
        "512 bytes",
    ]
    assert "9 more files" in shown.texts("summary")
    assert shown.links()["All 12 files are on the object’s page"] == f"/objects/{samples.DATASET['id']}"


def test_only_files_that_are_there_have_a_download() -> None:
    shown = page(samples.answer(samples.DATASET), State())
    links = [file["link"]["href"] for file in samples.DATASET["files"] if file["link"]]
    assert [a.attributes["href"] for a in shown.all("a", class_="download")] == links
    assert shown.texts("a", class_="download")[0] == "Download penguins.csv, text/csv, 16.0 kB"
    assert shown.texts("span", class_="state") == ["Awaiting upload", "Differs from its declaration"]


def test_a_link_that_is_no_web_address_is_not_offered() -> None:
    hostile = samples.hit(
        files=[samples.file("a", 1, "x/y") | {"link": {"href": "javascript:x", "expires_at": "2026"}}]
    )
    hostile["files"][0]["link"]["expires_at"] = "2026-11-21T10:15:00Z"
    assert page(samples.answer(hostile), State()).all("a", class_="download") == []


def test_the_page_says_until_when_its_links_work() -> None:
    shown = page(samples.answer(samples.hit()), State())
    assert shown.one("time", datetime="2026-11-21T10:15:00Z").text == "21 November 2026, 10:15 UTC"
    assert "work until" not in search.render_search(samples.answer(samples.BUNDLE), State())


def test_facets_are_checkboxes_of_the_search_form() -> None:
    shown = page(samples.answer(samples.hit()), ASKED)
    boxes = [(box.attributes["name"], box.attributes["value"]) for box in shown.all("input", type="checkbox")]
    assert boxes[:5] == [
        ("kind", "model"),
        ("kind", "training-dataset"),
        ("kind", "sensor-blob"),
        ("kind", "ecr-bundle"),
        ("project", "demo/audio"),
    ]
    assert [value for name, value in boxes if name == "year"] == ["2024", "2014", "2009"]
    checked = [box.attributes["value"] for box in shown.all("input", type="checkbox") if "checked" in box.attributes]
    # What is chosen stands there although the engine counted nothing for it.
    assert checked == ["model", "training-dataset", "CC-BY-4.0"]
    assert {box.attributes["form"] for box in shown.all("input", type="checkbox")} == {"search"}
    assert shown.texts("p", class_="uncounted") == [
        "Other values 3",
        "Not stated 2",
        "Not stated 3",
        "Not stated 1",
    ]


def test_every_control_has_its_label() -> None:
    for state in (State(), ASKED):
        shown = page(samples.answer(samples.hit()), state)
        labelled = {label.attributes["for"] for label in shown.all("label")}
        ids = [element.attributes["id"] for element in shown.elements if "id" in element.attributes]
        assert len(ids) == len(set(ids))
        assert {box.attributes["id"] for box in shown.all("input") if box.attributes["type"] != "hidden"} == labelled


def test_a_chosen_filter_is_taken_away_by_a_link() -> None:
    shown = page(samples.answer(samples.hit()), ASKED)
    assert asked(shown.links()["Remove the filter Kind Model"]) == (
        "/",
        [("q", "penguins"), ("kind", "training-dataset"), ("licence", "CC-BY-4.0"), ("sort", "title")],
    )
    assert asked(shown.links()["Clear all"]) == ("/", [("q", "penguins"), ("sort", "title")])


def test_every_order_is_a_link_and_the_present_one_is_told() -> None:
    shown = page(samples.answer(samples.hit()), State(q="a", cursor="x"))
    orders = [a for a in shown.all("a") if "sort=" in a.attributes["href"]]
    assert [(a.text, asked(a.attributes["href"])[1]) for a in orders] == [
        ("Relevance", [("q", "a"), ("sort", "relevance")]),
        ("Newest", [("q", "a"), ("sort", "newest")]),
        ("Oldest", [("q", "a"), ("sort", "oldest")]),
        ("Title", [("q", "a"), ("sort", "title")]),
    ]
    assert [a.text for a in orders if "aria-current" in a.attributes] == ["Relevance"]
    unworded = page(samples.answer(samples.hit()), State())
    assert [a.text for a in unworded.all("a") if "aria-current" in a.attributes] == ["Newest"]
    assert "Relevance" not in unworded.links()


def test_paging_goes_on_and_back_to_the_start() -> None:
    shown = page(samples.answer(samples.hit(), cursor="next+/="), State(q="a", cursor="here"))
    assert asked(shown.one("a", rel="next").attributes["href"]) == ("/", [("q", "a"), ("cursor", "next+/=")])
    assert asked(shown.links()["Back to the first page"]) == ("/", [("q", "a")])
    last = page(samples.answer(samples.hit()), State(q="a"))
    assert (last.all("a", rel="next"), "Back to the first page" in last.links()) == ([], False)


def test_the_same_search_is_had_as_json() -> None:
    shown = page(samples.answer(samples.hit()), ASKED)
    path, pairs = asked(shown.links()["This search as JSON"])
    assert (path, pairs) == ("/api/search", [*ASKED.pairs, *(("facet", name) for name in FACETS)])


def test_a_first_visit_shows_the_newest_and_the_kinds() -> None:
    shown = page(samples.answer(samples.hit(), total=10), State())
    assert shown.texts("h1") == ["Models, data and edge code, with their bytes"]
    assert shown.texts("h2") == ["Filters", "Newest objects"]
    assert shown.texts("p", class_="lead") == ["10 objects to find, cite and download."]
    assert shown.texts("ul", class_="kinds") == ["Model 4 Training data set 3 Sensor blob 2 ECR bundle 1"]
    assert shown.links()["Training data set"] == "/?kind=training-dataset"


def test_an_empty_catalog_says_how_to_fill_it() -> None:
    assert "catalog put" in search.render_search(samples.answer(facets={}), State())


def test_finding_nothing_offers_what_could_be_taken_away() -> None:
    shown = page(samples.answer(facets={}), State(q="pengiuns", chosen={"kind": ("model",), "year": ("2014",)}))
    assert shown.texts("h2") == ["Filters", "No objects for pengiuns"]
    links = shown.links()
    assert links["take away kind Model"] == "/?q=pengiuns&year=2014"
    assert links["take away year 2014"] == "/?q=pengiuns&kind=model"
    assert links["take away all filters"] == "/?q=pengiuns"


def test_a_page_after_the_last_leads_back() -> None:
    shown = page(samples.answer(facets={}), State(q="a", cursor="x"))
    assert shown.links()["Back to the first page"] == "/?q=a"


def test_a_refused_question_is_told_at_its_field_and_kept() -> None:
    faults = [
        Fault("/q", "The quote at character 1 is not closed.", "Close it."),
        Fault("/kind/0", "there is no kind 'modle'", "model"),
        Fault("/cursor", "this cursor belongs to another question"),
    ]
    state = State(q='"open', chosen={"kind": ("modle",)}, cursor="x")
    shown = Page(search.render_refusal(state, "The question has faults.", faults))
    box = shown.one("input", id="q")
    assert (box.attributes["value"], box.attributes["aria-invalid"], box.attributes["aria-describedby"]) == (
        '"open',
        "true",
        "q-faults",
    )
    assert shown.texts("ul", id="q-faults") == ["The quote at character 1 is not closed. Close it."]
    assert shown.texts("div", role="alert") == [
        (
            "This search cannot be run as it stands The question has faults. "
            "Kind: there is no kind 'modle' (model) Next page: this cursor belongs to another question"
        )
    ]
    assert shown.links()["Remove the filter Kind Modle"] == "/?q=%22open"


def test_while_search_is_away_the_question_is_kept() -> None:
    state = State(q="penguins", chosen={"kind": ("model",)}, cursor="x")
    shown = Page(search.render_unavailable(state, "The search engine does not answer."))
    assert shown.links()["ask it again"] == state.address()
    assert State.of(shown.submission("search")) == state.from_start()
