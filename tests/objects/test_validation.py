"""A registration's faults: all of them, each with its place and how to mend it."""

import copy
import json
from typing import Any

import idutils
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from catalog.errors import Fault, Invalid
from catalog.objects import kinds, sent_json, telling, validation
from catalog.objects.metadata import ACCEPTED, Orcid, bare_doi

MODEL: dict[str, Any] = copy.deepcopy(dict(kinds.known()["model"].example))


def faults(body: Any) -> list[Fault]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Invalid) as refused:
        validation.draft_from(sent, prefix="")
    return list(refused.value.faults)


def changed(**changes: Any) -> dict[str, Any]:
    return MODEL | changes


@pytest.mark.parametrize("name", kinds.known())
@pytest.mark.req("SAGE-STORAGE-32")
def test_the_example_of_every_kind_is_accepted_and_keeps_its_words(name: str) -> None:
    example = dict(kinds.known()[name].example)

    draft = validation.draft_from(json.dumps(example).encode(), prefix="")

    kept = draft.description.model_dump(mode="json", exclude_unset=True)
    assert kept | {"metadata": {**example["metadata"], **kept["metadata"]}} == kept
    assert {key: kept[key] for key in example if key != "metadata"} == {
        key: value for key, value in example.items() if key != "metadata"
    }


def test_all_faults_are_told_at_once() -> None:
    body = changed(
        title="",
        creators=[{"name": "Rivera, Ana", "orcid": "0000-0002-1825-0098"}],
        licence="MIT-ish",
        visibility="pubic",
        keyword=["cloud"],
        metadata={"runtime": [{"name": "onnxruntime", "version": "about 2"}]},
        files=[{"path": "../a", "size": -1, "sha256": "abc"}],
    )
    del body["contact"]

    assert faults(body) == [
        Fault("/title", "string should have at least 1 character"),
        Fault(
            "/creators/0/orcid",
            "0000-0002-1825-0098 is not an ORCID iD: its last digit does not fit the others; check for a typing error",
        ),
        Fault("/contact", "contact is required"),
        Fault("/licence", "'MIT-ish' is not an SPDX licence id or expression; examples: CC-BY-4.0, MIT, CC0-1.0"),
        Fault("/visibility", "must be one of 'public', 'organization', 'project', 'private' or 'embargoed'", "public"),
        Fault("/metadata/runtime/0/version", "write a version range as >=2.1,<3 (PEP 440)"),
        Fault("/files/0/size", "must be at least 0"),
        Fault("/files/0/sha256", "write the 64 hexadecimal digits of the SHA-256"),
        Fault("/keyword", "there is no field 'keyword' here", "keywords"),
        Fault("/files/0/path", "write the path from the object's own root, without . and .. parts"),
    ]


@pytest.mark.req("SAGE-STORAGE-1")
def test_an_object_without_a_contact_is_refused_with_the_field_named() -> None:
    body = changed()
    del body["contact"]

    assert faults(body) == [Fault("/contact", "contact is required")]


def test_an_unknown_kind_is_answered_with_the_nearest_and_the_rest_is_checked_all_the_same() -> None:
    assert faults(changed(kind="modle", title=7)) == [
        Fault(
            "/kind",
            f"there is no kind 'modle'; the kinds are {', '.join(kinds.known())}",
            "model",
        ),
        Fault("/title", "must be a text"),
    ]


def test_an_unknown_field_deep_inside_is_answered_with_the_nearest_name() -> None:
    body = changed(metadata={"runtime": [{"name": "torch", "acelerator": "cuda"}]})

    assert faults(body) == [
        Fault("/metadata/runtime/0/acelerator", "there is no field 'acelerator' here", "accelerator")
    ]


def test_a_pointer_into_a_member_leaves_out_the_name_of_its_type() -> None:
    body = copy.deepcopy(dict(kinds.known()["ecr-bundle"].example))
    body["metadata"]["members"][0]["commit"] = "main"
    body["metadata"]["members"].append({"type": "gti", "url": "https://git.example.org/a"})
    body["metadata"]["members"].append({"type": "image", "reference": "edge/cloud-cover"})

    assert [(fault.pointer, fault.message) for fault in faults(body)] == [
        (
            "/metadata/members/0/commit",
            "write the whole commit id, 40 or 64 hexadecimal digits: branches, tags and short ids move",
        ),
        (
            "/metadata/members/2",
            "type must be one of 'object', 'git', 'image', 'url'",
        ),
        (
            "/metadata/members/3/reference",
            "write an image as name@sha256:<64 hex digits>, or name:tag if no digest is known",
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"project": "Demo"},
            Fault("/project", "write it as demo/weather: twice 2 to 63 of a to z, 0 to 9 and hyphen, no hyphen first"),
        ),
        (
            {"name": "Cloud U-Net"},
            Fault("/name", "write 1 to 128 of a to z, 0 to 9, dot, hyphen and underscore, a letter or digit first"),
        ),
        (
            {"contact": {"name": "Ana", "email": "ana"}},
            Fault("/contact/email", "write a mail address, such as ana@example.org"),
        ),
        (
            {"external": [{"type": "ulr", "url": "https://example.org"}]},
            Fault("/external/0", "type must be one of 'git', 'image', 'url'", "url"),
        ),
        (
            {"external": [{"type": "url", "url": "http://example.org"}]},
            Fault("/external/0/url", "write an address that begins with https://, without a user in it"),
        ),
        ({"metadata": {"parameters": "many"}}, Fault("/metadata/parameters", "must be a whole number")),
    ],
)
def test_what_belongs_in_a_field_is_said_in_words_and_not_in_patterns(changes: dict[str, Any], fault: Fault) -> None:
    assert faults(changed(**changes)) == [fault]


def test_two_files_at_one_path_are_refused() -> None:
    one = MODEL["files"][0]

    assert faults(changed(files=[one, one])) == [
        Fault("/files/1/path", "the same path stands at /files/0 already; paths are unique in an object")
    ]


def test_a_path_that_fills_the_key_beyond_its_limit_is_refused_with_the_figure() -> None:
    path = "/".join(["x" * 200] * 5)

    (fault,) = faults(changed(files=[{**MODEL["files"][0], "path": path}]))

    assert fault.pointer == "/files/0/path"
    assert fault.message.startswith("shorten the path: it has 1004 bytes in UTF-8 and may have 930 here")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON: EOF while parsing a value at line 1 column 0"),
        (b'{"kind": "model",', "not JSON: EOF while parsing a value at line 1 column 17"),
        (b'{"title": NaN}', "not JSON: expected value at line 1 column 11"),
        (b"[" * 100_000, "not JSON: recursion limit exceeded at line 1 column 202"),
        (b'{"title": "\\ud800"}', "not JSON: unexpected end of hex escape at line 1 column 18"),
        (b'{"kind": "\xff"}', "not JSON: invalid unicode code point at line 1 column 11"),
        (b'{"kind": "model", "x": ' + b"[" * 20_000, "not JSON: recursion limit exceeded at line 1 column 224"),
        (b"[]", "send one JSON object that describes what you register"),
    ],
)
def test_what_is_no_json_object_is_refused_with_the_place(body: bytes, told: str) -> None:
    assert faults(body) == [Fault("", told)]


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "line\nbreak"])
def test_a_control_character_in_a_title_is_refused(text: str) -> None:
    assert [fault.pointer for fault in faults(changed(title=text))] == ["/title"]


@pytest.mark.parametrize(
    "custom",
    [
        {"a b": 1},
        {"deep": {"er": 1}},
        {"long": "x" * 1001},
        {"many": [1] * 101},
        {"big": 2**60},
        {"big": 1e22},
        {"big": [1e300]},
        {f"k{n}": 1 for n in range(101)},
    ],
)
def test_custom_fields_are_bounded(custom: dict[str, Any]) -> None:
    assert [fault.pointer.split("/")[1] for fault in faults(changed(custom=custom))] == ["custom"]


def test_custom_fields_keep_scalars_lists_and_quantities() -> None:
    custom = {"run": 7, "flag": True, "note": "a", "list": [1, "b"], "mass": {"value": 1.5, "unit": "kg"}}

    draft = validation.draft_from(json.dumps(changed(custom=custom)).encode(), prefix="")

    assert draft.description.model_dump(mode="json")["custom"] == custom


@pytest.mark.parametrize(
    ("ror", "accepted"), [("05gq02987", True), ("https://ror.org/05gq02987", True), ("05gq02988", False)]
)
def test_a_ror_id_is_checked_by_its_checksum(ror: str, *, accepted: bool) -> None:
    body = json.dumps(changed(creators=[{"type": "organization", "name": "Brown", "ror": ror}])).encode()

    if accepted:
        (creator,) = validation.draft_from(body, prefix="").description.creators
        assert creator.ror == "05gq02987"
    else:
        assert [fault.pointer for fault in faults(body)] == ["/creators/0/ror"]


RANGES = ["2024-05/2024", "2024/2024-05", "2024-05-17T20:00:00-08:00/2024-05-18T05:00:00+01:00"]


@pytest.mark.parametrize("date", ["2024", "2024-05", "2024-05-17", "2024-05-17T08:00:00Z", "2007/2009", *RANGES])
def test_dates_of_every_precision_are_kept_as_written(date: str) -> None:
    body = json.dumps(changed(dates=[{"type": "Issued", "date": date}])).encode()

    assert validation.draft_from(body, prefix="").description.dates[0].date == date


# Another separator, other digits, no such hour, and forms of ISO 8601 that RFC 3339 leaves out.
ODD_DATES = ["2024-05-17x08:00:00+00:00", "٢٠٢٤", "2024-05-17T25:00:00Z", "20240517T080000Z", "2024-W20-5", ""]


@pytest.mark.parametrize(
    "date", ["24", "2024-13", "2024-02-30", "2024-05-17T08:00:00", "2007/2008/2009", "soon", *ODD_DATES]
)
def test_wrong_dates_are_refused(date: str) -> None:
    assert [fault.pointer for fault in faults(changed(dates=[{"type": "Issued", "date": date}]))] == ["/dates/0/date"]


@pytest.mark.parametrize("date", ["2024/2023", "2024-05-17/2024-04", "2024-05-17T08:00:00+02:00/2024-05-17T05:59:00Z"])
def test_a_range_that_runs_backwards_is_refused(date: str) -> None:
    assert faults(changed(dates=[{"type": "Valid", "date": date}])) == [
        Fault("/dates/0/date", "the range ends before it starts; exchange the two")
    ]


@pytest.mark.parametrize(
    "orcid",
    [
        "0000-0002-1825-0097",
        "0000-0002-1694-233X",
        "0000-0002-1825-0098",
        "0000-0001-5000-0007",
        "0000-0001-4999-9991",
        "0000-0003-5000-0001",
        "0000-0003-5000-0010",
        "0009-0000-0000-0000",
        "0009-0000-0000-0003",
        "0009-0001-0000-0001",
        "0009-0010-0000-0004",
        "0000-0000-0000-0001",
        "1422-4586-3573-0476",
    ],
)
def test_an_orcid_is_what_the_library_of_identifiers_takes_for_one(orcid: str) -> None:
    known: TypeAdapter[str] = TypeAdapter(Orcid)
    if idutils.is_orcid(orcid):
        assert known.validate_python(orcid) == orcid
    else:
        with pytest.raises(ValueError, match="its last digit does not fit"):
            known.validate_python(orcid)


@pytest.mark.parametrize(
    "doi",
    [
        "10.5281/zenodo.1234",
        "doi:10.5281/zenodo.1234",
        "DOI: 10.1000.10/123/456",
        "https://doi.org/10.5281/ZENODO.1234",
        "dx.doi.org/10.1/a",
        "doi.org/10.5281/x",
        "ftp://doi.org/10.5281/x",
        "10.5281",
        "10.5281/",
        "10./x",
        "10.5281.x/y",
        "11.5281/x",
        "x10.5281/x",
        "",
    ],
)
def test_a_doi_is_what_the_library_of_identifiers_takes_for_one(doi: str) -> None:
    if idutils.is_doi(doi):
        assert bare_doi(doi) == idutils.normalize_doi(doi).lower()
    else:
        with pytest.raises(ValueError, match="write a DOI"):
            bare_doi(doi)


def test_an_orcid_has_no_other_digits_than_ascii() -> None:
    assert faults(changed(creators=[{"name": "Rivera, Ana", "orcid": "٠٠٠٠-0002-1825-0097"}])) == [
        Fault("/creators/0/orcid", "write an ORCID iD as 0000-0002-1825-0097")
    ]


@pytest.mark.parametrize(("sign", "named"), [("\x1b", "U+001B"), ("\x7f", "U+007F")])
def test_a_mail_address_has_no_control_characters(sign: str, named: str) -> None:
    assert faults(changed(contact={"name": "Ana", "email": f"a{sign}@example.org"})) == [
        Fault("/contact/email", f"remove the control character {named} at place 2")
    ]


# The first two have no place in XML, in which a DOI's record is told.
@pytest.mark.parametrize(("sign", "named"), [("\ufffe", "U+FFFE"), ("\uffff", "U+FFFF"), ("\U0001fffe", "U+1FFFE")])
def test_noncharacters_are_refused(sign: str, named: str) -> None:
    assert faults(changed(title=f"a{sign}", description=f"a\n{sign}")) == [
        Fault("/title", f"remove {named} at place 2"),
        Fault("/description", f"remove {named} at place 3"),
    ]


@pytest.mark.parametrize("sign", ["\u202a", "\u202e", "\u2066", "\u2069"])
def test_what_reorders_a_text_is_refused_in_lines_and_paths(sign: str) -> None:
    named = f"U+{ord(sign):04X}"
    wrong = changed(title=f"a{sign}b", description=f"a{sign}b", keywords=[f"{sign}a"])
    wrong["files"] = [{"path": f"x{sign}gpj.exe", "size": 1, "sha256": "a1" * 32}]

    assert faults(wrong) == [
        Fault("/title", f"remove {named} at place 2: it reorders what is shown"),
        Fault("/keywords/0", f"remove {named} at place 1: it reorders what is shown"),
        Fault("/files/0/path", f"remove the character {named} at place 2: it reorders what is shown of a name"),
    ]


def test_what_was_accepted_before_a_rule_is_still_read() -> None:
    metadata = kinds.named("model").metadata.model_validate(
        {"runtime": [{"name": "torch\u202e"}]}, strict=False, context=ACCEPTED
    )

    assert [one.name for one in metadata.runtimes()] == ["torch\u202e"]


def test_line_breaks_of_windows_are_kept_as_those_of_everybody() -> None:
    draft = validation.draft_from(json.dumps(changed(description="One.\r\n\r\nTwo.\n")).encode(), prefix="")

    assert draft.description.description == "One.\n\nTwo."
    assert faults(changed(description="One.\rTwo.")) == [
        Fault("/description", "remove the control character U+000D at place 5")
    ]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"title": "One", "title": "Two"}', ["/title"]),
        (b'{"a": [{"b": 1}, {"c": {"d": 1, "e": 2, "d": 1, "d": 3}}]}', ["/a/1/c/d"]),
        (b'{"a\\u0022": 1, "a\\"": 2}', ['/a"']),
        (b'{"a/b": 1, "a/b": 2, "c": 1, "c": 2}', ["/a~1b", "/c"]),
        (b'{"a": {"b": 1}, "c": {"b": 1, "d": "\\u0022b\\u0022: 2"}}', []),
        (b'[1, "1", {"a": "a"}]', []),
        (b"{", []),
    ],
)
def test_a_name_that_stands_twice_is_found_wherever_it_is(body: bytes, pointers: list[str]) -> None:
    assert [one.pointer for one in sent_json.faults_in(body, validation.pointer_to)] == pointers


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_name_stands_twice_in_json_that_was_written_from_a_value(value: Any) -> None:
    assert sent_json.faults_in(json.dumps(value).encode(), validation.pointer_to) == []


def test_a_draft_that_says_something_twice_is_told_that_beside_all_else() -> None:
    body = json.dumps(changed(licence="what")).encode()[:-1] + b', "title": "Another"}'

    with pytest.raises(Invalid) as refused:
        validation.draft_from(body, prefix="")
    assert [fault.pointer for fault in refused.value.faults] == ["/title", "/licence"]


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("question", ["description", "title"], None),
        ("gpu", ["cpu", "tpu", "cuda"], None),
        ("ulr", ["git", "url"], "url"),
        ("licnece", ["licence", "title"], "licence"),
        ("trainig-dataset", list(kinds.known()), "training-dataset"),
    ],
)
def test_only_what_was_probably_meant_is_suggested(name: str, known: list[str], meant: str | None) -> None:
    assert telling.nearest(name, known) == meant


@pytest.mark.parametrize("text", ["\u200b\u200b", "\u2060", "\ufeff \u200f"])
def test_a_line_that_nobody_can_see_is_refused(text: str) -> None:
    assert faults(changed(title=text, creators=[{"name": text}])) == [
        Fault("/title", "write something that can be seen"),
        Fault("/creators/0/name", "write something that can be seen"),
    ]


@pytest.mark.parametrize("title", ["\N{PENGUIN}", "\u0650", "\u0645\u0646\u0627\u062e", "5", "?"])
def test_a_line_of_any_script_is_taken(title: str) -> None:
    draft = validation.draft_from(json.dumps(changed(title=title)).encode(), prefix="")

    assert draft.description.title == title


def test_a_keyword_is_counted_as_it_is_kept() -> None:
    longer = "\u0958"

    assert faults(changed(keywords=[longer * 51])) == [
        Fault("/keywords/0", "string should have at most 100 characters")
    ]
    draft = validation.draft_from(json.dumps(changed(keywords=[longer * 50])).encode(), prefix="")
    record = validation.record_of(draft.description)
    assert [len(keyword) for keyword in record["keywords"]] == [100]
    assert validation.shortcomings(draft.kind, record) == []


def test_a_dimension_is_no_larger_than_every_reader_can_count() -> None:
    tensor = {"name": "x", "dtype": "float32", "shape": [2**53, 2**53 + 1]}

    assert faults(changed(metadata={"inputs": [tensor]})) == [
        Fault("/metadata/inputs/0/shape/1", f"must be at most {2**53}")
    ]


# A request may be all fault: what is told of it has limits of its own


def refusal(body: Any) -> Invalid:
    with pytest.raises(Invalid) as refused:
        validation.draft_from(json.dumps(body).encode(), prefix="")
    return refused.value


def test_of_many_faults_the_first_are_told_and_all_are_counted() -> None:
    telling.schema_for_names.cache_clear()

    refused = refusal(changed(**{f"keyword{number}": 0 for number in range(1_000)}))

    assert refused.detail == "There are 1000 faults in the request; the first 100 are listed."
    assert [fault.pointer for fault in refused.faults] == [f"/keyword{number}" for number in range(100)]
    assert {fault.suggestion for fault in refused.faults} == {"keywords"}
    # To make a schema takes milliseconds.
    assert telling.schema_for_names.cache_info().misses == 1


def test_faults_beyond_reading_are_only_counted() -> None:
    count = validation.FAULTS_READ_MAX + 1

    refused = refusal(changed(**{f"a{number}": 0 for number in range(count)}))

    assert refused.detail == f"There are {count} faults in the request."
    assert refused.faults == (
        Fault("", f"there are {count:,} faults, too many to list: is this what you meant to send?"),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"x" * 1_000_000: 0},
        {"kind": "x" * 1_000_000},
        {"visibility": "x" * 1_000_000},
        {"custom": {"x" * 1_000_000: 0}},
        {"licence": "x" * 1_000_000},
        {"external": [{"type": "x" * 1_000_000}]},
        {"note": {"x" * 1_000_000: "\0"}},
    ],
    ids=lambda changes: next(iter(changes))[:10],
)
def test_a_long_text_is_not_sent_back(changes: dict[str, Any]) -> None:
    told = refusal(changed(**changes)).faults

    assert told
    assert sum(len(fault.pointer) + len(fault.message) for fault in told) < 3_000


def test_a_merge_patch_replaces_removes_and_goes_deep() -> None:
    target = {"a": {"b": 1, "c": 2}, "d": [1], "e": "x"}

    assert validation.merge(target, {"a": {"b": None, "f": {"g": None}}, "d": [2], "e": None}) == {
        "a": {"c": 2, "f": {}},
        "d": [2],
    }


def test_a_patch_says_where_to_change_what_it_cannot() -> None:
    kind = kinds.known()["model"]
    record = validation.draft_from(json.dumps(MODEL).encode(), prefix="").description.model_dump(
        mode="json", exclude={"files"}, exclude_none=True
    )

    with pytest.raises(Invalid) as refused:
        validation.revised_from(kind, record, b'{"kind": "weights", "files": [], "title": null}')

    assert list(refused.value.faults) == [
        Fault("/kind", "the kind of an object never changes; register a new object"),
        Fault("/files", "declare files by POST to /api/objects/{id}/files"),
        Fault("/title", "title is required"),
    ]
