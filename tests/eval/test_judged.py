"""The judged questions that need no corpus of others, asked of the demo's objects and the kinds' examples."""

from dataclasses import replace
from typing import Any

import pytest

from catalog.demo import data
from catalog.engines import opened
from catalog.settings import Workstation
from eval import corpus, judging
from eval.__main__ import ask
from eval.corpus import Filled
from eval.judging import IDENTIFIER, PARAPHRASE, Figures, Judged
from indexer import documents
from tests.api.conftest import in_process
from tests.conftest import World, make_tokens, prepare


async def answers(world: World, ready: dict[str, Any]) -> list[Judged]:
    """Fill a catalog of its own, and ask as anybody what can be answered there."""
    await prepare(world, ready)
    token = (await make_tokens(world))["ingest"]
    filled = Filled()
    async with (
        data.packages(Workstation().cache / "demo", world.folder / "downloads.log", print) as packages,
        in_process(world.settings, token) as client,
        opened(world.settings) as engines,
    ):
        await corpus.register_demo(client, packages, filled)
        await corpus.register_examples(client, filled)
        while await documents.step(engines):
            pass
        await engines.index.refresh()
        # From here on as nobody in particular.
        del client.headers["Authorization"]
        asked = []
        for question in judging.questions():
            here = {name: grade for name, grade in question.expected.items() if name in filled.ids}
            if here and question.of != PARAPHRASE:
                asked.append(await ask(client, replace(question, expected=here), filled.ids))
    assert filled.refused == {}
    return asked


@pytest.mark.req("SAGE-STORAGE-28", "SAGE-STORAGE-33")
@pytest.mark.timeout(300)
async def test_the_demos_objects_are_found_by_what_people_type(
    fresh_world: World, engines_ready: dict[str, Any]
) -> None:
    judged = await answers(fresh_world, engines_ready)
    by_class = {of: [one for one in judged if one.question.of == of] for of in {one.question.of for one in judged}}

    assert [one.question.text for one in by_class[IDENTIFIER] if one.missed] == []
    assert len(judged) >= 50
    overall = Figures.of(judged)
    assert overall.ndcg_10 >= 0.95, overall
    worst = {of: Figures.of(some).ndcg_10 for of, some in by_class.items()}
    assert min(worst.values()) >= 0.85, worst
