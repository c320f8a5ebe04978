"""What of a search page is saved."""

from catalog.api.saved_searches import SavedDraft
from catalog.web import saved
from catalog.web.state import State


def test_what_a_page_asks_beside_what_can_be_watched_is_not_saved() -> None:
    state = State(q="soil", chosen={"kind": ("model",)}, sort="title", limit="50", cursor="x", hybrid="true")
    question = saved.question_of(state)
    assert question == {"q": "soil", "kind": ["model"]}
    SavedDraft.model_validate({"name": "Soil", "query": question})
