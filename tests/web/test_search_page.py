"""The search page: every state is a link, nothing needs a script."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import Fault, Invalid
from catalog.vocabulary.hierarchy import Way
from catalog.web import search
from catalog.web.state import FACETS, State
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
    bbox=st.none() | st.sampled_from(["5.9,45.8,10.5,47.8", "170,-20,-170,0", "5,,,", "here"]),
    time=st.none() | st.sampled_from(["2009", "2009-08..2010-01-17", "2009..", "..2010", ">=2009", "1..2..3"]),
    below=st.dictionaries(st.sampled_from(["subject", "task"]), st.just("top") | line).map(
        lambda below: dict(sorted(below.items()))
    ),
    hybrid=st.none() | st.sampled_from(["true", "false"]),
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
    question = {
        "q": "penguins",
        "sort": "title",
        "kind": ["model", "training-dataset"],
        "licence": ["CC-BY-4.0"],
    }
    assert ASKED.asked() == question
    assert ASKED.counted({"task": "urn:t"}) == question | {
        "facet": [
            *("kind", "project", "creator", "keyword", "licence", "year", "format", "stage", "state", "quality"),
            *("sensor", "has_labels", "subject", "task", "runtime", "created_at", "bytes"),
        ],
        "tree": ["subject", "task"],
        "below": ["urn:t"],
    }


def test_a_tree_shows_the_level_of_the_only_concept_that_is_chosen_or_the_one_that_somebody_opened() -> None:
    ways = {"c": Way("scientific-fields", (("a", "A"), ("b", "B"), ("c", "C"))), "a": Way("s", (("a", "A"),))}
    for state, shown in (
        (State(), {}),
        (State(chosen={"subject": ("c",)}), {"subject": "b"}),
        (State(chosen={"subject": ("a",), "task": ("c",)}), {"task": "b"}),
        (State(chosen={"subject": ("a", "c")}), {}),
        (State(chosen={"subject": ("gone",)}), {}),
        (State(chosen={"subject": ("c",)}, below={"subject": "a"}), {"subject": "a"}),
        (State(chosen={"subject": ("c",)}, below={"subject": "top"}), {}),
    ):
        assert state.levels(ways) == shown, state


def test_a_tree_unfolds_by_links_and_says_the_way_to_its_level() -> None:
    told = {
        "above": [
            {"value": "urn:a", "count": 9, "label": "Natural sciences", "narrower": 3},
            {"value": "urn:b", "count": 7, "label": "Biology", "narrower": 2},
        ],
        "buckets": [
            {"value": "urn:c", "count": 4, "label": "Ecology", "narrower": 1},
            {"value": "urn:d", "count": 2, "label": "Botany", "narrower": 0},
        ],
        "rest": 0,
        "missing": 3,
    }
    state = State(q="a", chosen={"subject": ("urn:c",)}, cursor="here")
    ways = {
        "urn:c": Way("scientific-fields", (("urn:a", "Natural sciences"), ("urn:b", "Biology"), ("urn:c", "Ecology")))
    }

    shown = Page(search.render_search(samples.answer(samples.hit(), facets={"subject": told}), state, None, ways))

    boxes = [(box.attributes["value"], "checked" in box.attributes) for box in shown.all("input", name="subject")]
    assert boxes == [("urn:b", False), ("urn:c", True), ("urn:d", False)]
    assert shown.texts("p", class_="way") == ["All › Natural sciences"]
    assert [text for text in shown.texts("p", class_="uncounted") if "narrower" in text] == ["Nothing narrower 3"]
    links = shown.links()
    path, pairs = asked(links["Narrower than Ecology"])
    assert (path, pairs) == ("/", [("q", "a"), ("subject", "urn:c"), ("subject_below", "urn:c")])
    assert asked(links["Natural sciences"])[1][-1] == ("subject_below", "urn:a")
    assert asked(links["All"])[1][-1] == ("subject_below", "top")
    assert "Narrower than Botany" not in links
    # What is chosen says where it stands.
    (chip,) = [text for text in links if text.startswith("Remove the filter")]
    assert chip == "Remove the filter Field Natural sciences › Biology › Ecology"


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
    counted = [*(("facet", name) for name in FACETS), ("tree", "subject"), ("tree", "task")]
    assert (path, pairs) == ("/api/search", [*ASKED.pairs, *counted])


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
            "This search cannot be run as it stands "
            "Kind: there is no kind 'modle' (model) Next page: this cursor belongs to another question"
        )
    ]
    assert shown.links()["Remove the filter Kind Modle"] == "/?q=%22open"


def test_the_links_that_take_filters_off_do_not_grow_with_the_square_of_what_is_chosen() -> None:
    sizes = []
    for count in (100, 200):
        values = [f"{number:060}" for number in range(50)]
        chosen = {name: tuple(values) for name in list(FACETS)[1 : 1 + count // 50]}
        state = State(q="x", chosen=chosen)
        counted = {name: {"buckets": [{"value": one, "count": 1} for one in values]} for name in chosen}
        answer = samples.answer(samples.hit(), total=1) | {"facets": counted}
        whole, refused = search.render_search(answer, state), search.render_refusal(state, "No.", [])
        assert max(len(whole), len(refused)) < 1_500_000
        # Every value can be taken off, by its link or where it is ticked.
        for text in (whole, refused):
            ticked = [one for one in Page(text).all("input") if "checked" in one.attributes]
            assert len(ticked) == count
            assert len(text.split('class="chips"')[1].split("</ul>")[0].split("<li>")) == count + 1
        sizes.append(len(refused))
    assert sizes[1] < 2 * sizes[0]


def test_of_a_few_values_each_has_a_link_that_takes_it_off() -> None:
    state = State(chosen={"keyword": tuple(f"word{number}" for number in range(30))})
    shown = Page(search.render_refusal(state, "No.", []))
    assert len([one for one in shown.links() if one.startswith("Remove the filter")]) == 30


def test_a_state_of_too_many_values_is_refused_with_each_figure_and_shortened() -> None:
    state = State.of(
        [("keyword", str(number)) for number in range(60)]
        + [(name, str(number)) for name in ("creator", "sensor", "format", "project") for number in range(50)]
    )
    with pytest.raises(Invalid) as refused:
        state.must_be_short()
    assert [(fault.pointer, fault.message) for fault in refused.value.faults] == [
        ("/keyword", "60 values are too many: at most 50."),
        ("", "260 values of filters are too many: at most 200 of all together."),
    ]
    few = state.shortened()
    few.must_be_short()
    assert sum(map(len, few.chosen.values())) == 200


def test_what_is_wrong_with_the_words_is_told_once_at_the_box() -> None:
    faults = [Fault("/q", "The quote at character 1 is not closed.", "Close it.")]
    shown = Page(search.render_refusal(State(q='"open'), "The query has faults.", faults))
    assert shown.texts("ul", id="q-faults") == ["The quote at character 1 is not closed. Close it."]
    assert shown.texts("div", role="alert") == []
    assert shown.texts("h2", id="results-heading") == ["Nothing was searched"]


def test_a_page_offers_all_that_it_found_in_other_forms() -> None:
    state = State(q="wether", chosen={"kind": ("model",)}, sort="title", limit="5")
    shown = Page(search.render_search(samples.answer(samples.hit(), total=30, similar=True), state))
    asked_for = "/api/search/export?q=wether&kind=model&similar=true&as="
    assert {label: shown.links()[label] for label in ("CSV", "Parquet", "BibTeX", "a list for aria2")} == {
        "CSV": f"{asked_for}csv",
        "Parquet": f"{asked_for}parquet",
        "BibTeX": f"{asked_for}bibtex",
        "a list for aria2": f"{asked_for}aria2",
    }
    assert "CSV" not in Page(search.render_search(samples.answer(total=0), state)).links()


def test_while_search_is_away_the_question_is_kept() -> None:
    state = State(q="penguins", chosen={"kind": ("model",)}, cursor="x")
    shown = Page(search.render_unavailable(state, "The search engine does not answer."))
    assert shown.links()["ask it again"] == state.address()
    assert State.of(shown.submission("search")) == state.from_start()


NO_MODEL = "The language model is not installed."


def meant(*hits: dict[str, Any], total: int, added: int, note: str | None = None) -> str:
    told = {"used": note is None, "added": added, "why": None, "note": note}
    state = State(q="wet earth", hybrid="true")
    choice = search.meaning_of(state, by_default=False)
    return search.render_search(samples.answer(*hits, total=total, hybrid=told), state, choice)


def test_meanings_are_one_choice_beside_the_words_and_stay_chosen() -> None:
    asked_for = meant(samples.hit(), total=1, added=0)
    assert State.of(Page(asked_for).submission("search")) == State(q="wet earth", hybrid="true")
    assert "Also what means something near" in asked_for

    plain = Page(search.render_search(samples.answer(), State(q="a"), search.meaning_of(State(), by_default=False)))
    assert State.of(plain.submission("search")) == State(q="a")


def test_where_meanings_are_the_default_one_may_choose_words_alone() -> None:
    words = State(q="a", hybrid="false")
    shown = search.render_search(samples.answer(), words, search.meaning_of(words, by_default=True))

    assert "Only what has these words" in shown
    assert State.of(Page(shown).submission("search")) == words


def test_where_there_is_no_model_there_is_no_choice() -> None:
    assert "means something near" not in search.render_search(samples.answer(samples.hit()), State(q="a"))


def test_a_page_says_what_was_found_by_its_meaning_and_why_nothing_was() -> None:
    assert "1 object more means something near" in meant(samples.hit(), total=1, added=1)
    near = meant(samples.hit(), total=0, added=1)
    assert ("Nothing has all of these words" in near, "1 near object for" in near) == (True, True)
    assert NO_MODEL in meant(total=0, added=0, note=NO_MODEL)
