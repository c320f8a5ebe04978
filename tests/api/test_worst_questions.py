"""The worst that can be asked: answered, or refused with the place and the limit; never a fault of ours."""

import pytest

from bench import worst
from bench.worst import Worst
from tests.api.problems import problem_of
from tests.conftest import Clients


@pytest.mark.parametrize("asked", worst.QUESTIONS, ids=lambda one: one.name)
async def test_the_worst_questions_are_answered_or_refused_with_the_place(clients: Clients, asked: Worst) -> None:
    answer = await clients.anonymous.post(
        "/api/search", content=asked.body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == asked.answer, answer.text[:500]
    if answer.status_code == worst.FINE:
        assert set(answer.json()) >= {"total", "hits"}
        return
    if answer.status_code == worst.TOO_LARGE:
        assert problem_of(answer)["detail"] == "A body here has at most 524,288 bytes."
        return
    faults = problem_of(answer)["errors"]
    # The place is a parameter that was sent, or the whole where it cannot be read; the message is ours alone.
    assert {fault["pointer"].lstrip("/").partition("/")[0] for fault in faults} <= {*asked.asked, ""}
    assert all(fault["message"] for fault in faults)
    assert not [fault for fault in faults if "exception" in fault["message"].lower() or "shard" in fault["message"]]
