"""The text of a DOI is fixed by what it names, and a mistyped one names nothing."""

from uuid import UUID

import idutils
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.doi import names
from catalog.doi.names import Subject
from catalog.doi.tables import MOVES, DoiState, NoSuchMove, move

ID = UUID("0192f0c8-5f0a-7c3e-9d2b-0a1b2c3d4e5f")
subjects = st.builds(Subject, st.uuids(), st.none() | st.integers(1, 999_999_999))


def test_the_doi_of_an_object_and_of_its_versions() -> None:
    assert [names.doi_of("10.5072", Subject(ID, version)) for version in (None, 2)] == [
        "10.5072/01jbrcgqrafgz9tara3cp3tkjz-q",
        "10.5072/01jbrcgqrafgz9tara3cp3tkjz.v2-r",
    ]


@given(subjects)
def test_a_doi_is_one_and_leads_back_to_what_it_names_in_any_case(subject: Subject) -> None:
    doi = names.doi_of("10.5072", subject)

    assert idutils.is_doi(doi)
    assert doi == doi.lower()
    assert {names.subject_of("10.5072", text) for text in (doi, doi.upper())} == {subject}


@given(subjects, st.data())
def test_one_wrong_character_makes_it_name_nothing(subject: Subject, data: st.DataObject) -> None:
    doi = names.doi_of("10.5072", subject)
    place = data.draw(st.integers(len("10.5072/"), len(doi) - 1))
    other = data.draw(st.sampled_from(names.ALPHABET + "ilou.-"))

    mistyped = doi[:place] + other + doi[place + 1 :]

    assert names.subject_of("10.5072", mistyped) in ({subject} if mistyped == doi else {None})


@pytest.mark.parametrize("text", ["", "10.5072", "10.5072/", "10.5073/01jbrcgqrafgz9tara3cp3tkjz-q", "10.5072/é-j"])
def test_what_is_none_of_ours_names_nothing(text: str) -> None:
    assert names.subject_of("10.5072", text) is None


@pytest.mark.req("SAGE-STORAGE-27")
def test_states_move_along_the_table_and_in_no_other_way() -> None:
    made = {}
    for before in DoiState:
        for after in DoiState:
            try:
                made[before, after] = move(before, after) == after
            except NoSuchMove:
                made[before, after] = False

    assert made == {
        (before, after): before == after or after in MOVES[before] for before in DoiState for after in DoiState
    }
    assert {state.value for state in MOVES[DoiState.RESERVED]} == {"registering"}
    assert DoiState.FINDABLE not in MOVES[DoiState.RESERVED] | MOVES[DoiState.FAILED]
