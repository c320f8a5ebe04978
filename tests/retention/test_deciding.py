"""Which rule holds, when it falls due, what stands against it, and how much time is believed to have passed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.retention import clock, removing
from catalog.retention.clock import STEP_MAX, Moment
from catalog.retention.deciding import Facts, Obstacle, Policy, Rule, Since, default, holding, judge
from catalog.retention.leftovers import is_exactly
from catalog.storage import keys
from catalog.storage.keys import UploadKey

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
NOW = BEGAN + timedelta(days=100)
DAY = timedelta(days=1)
OBJECT = UUID(int=7)
POLICY = Policy(job_days=15, grace=timedelta(days=7), removals=500, share=0.2)

KNOWN = Facts(
    id=OBJECT,
    kind="model",
    project="lab/soil",
    title="Soil",
    size=3,
    created_at=BEGAN,
    updated_at=BEGAN + 10 * DAY,
    published_at=BEGAN + 20 * DAY,
    job_ended_at=None,
    kept_from=None,
    has_doi=False,
    held=False,
    depended_on=False,
    versions=0,
    at=NOW,
)


def rule(scope: str | None, kind: str | None = None, days: int | None = 30, **said: Any) -> Rule:
    given: dict[str, Any] = {"object_id": None, "since": Since.REGISTRATION, "versions": False} | said
    return Rule(scope, kind, days=days, **given)


NEAREST_FIRST = [
    rule(None, object_id=OBJECT),
    rule("lab/soil", "model"),
    rule("lab/soil"),
    rule("lab", "model"),
    rule("lab"),
]
OF_OTHERS = [
    rule(None, object_id=UUID(int=8)),
    rule("lab/so"),
    rule("lab/soil2"),
    rule("la"),
    rule("lab2"),
    rule("lab/soil", "weights"),
    rule("lab", "labels"),
    default(POLICY),
]


@pytest.mark.req("MWM-SADD-67")
@pytest.mark.parametrize("nearest", range(len(NEAREST_FIRST)))
def test_the_most_specific_rule_wins_in_whatever_order_they_come(nearest: int) -> None:
    there = NEAREST_FIRST[nearest:]
    assert holding([*OF_OTHERS, *there], KNOWN) == NEAREST_FIRST[nearest]
    assert holding([*reversed(there), *OF_OTHERS], KNOWN) == NEAREST_FIRST[nearest]


def test_without_a_rule_nothing_is_ever_due() -> None:
    verdict = judge(OF_OTHERS, KNOWN)
    assert (verdict.rule, verdict.due_at, verdict.due) == (None, None, False)


@pytest.mark.req("MWM-SADD-69")
def test_jobs_are_due_fifteen_days_after_their_end_and_never_while_they_run() -> None:
    running = replace(KNOWN, kind="job")
    ended = replace(running, job_ended_at=NOW - 15 * DAY)
    ended_just_after = replace(running, job_ended_at=NOW - 15 * DAY + timedelta(seconds=1))
    told = [judge([default(POLICY)], one) for one in (running, ended, ended_just_after)]
    assert [(one.due_at, one.due) for one in told] == [
        (None, False),
        (NOW, True),
        (NOW + timedelta(seconds=1), False),
    ]


@pytest.mark.parametrize("since", Since)
def test_a_job_that_runs_is_due_by_no_rule(since: Since) -> None:
    assert judge([rule("lab", "job", 1, since=since)], replace(KNOWN, kind="job")).due_at is None


@pytest.mark.parametrize(
    ("since", "due_at"),
    [
        (Since.REGISTRATION, BEGAN + 30 * DAY),
        (Since.CHANGE, BEGAN + 40 * DAY),
        (Since.PUBLICATION, BEGAN + 50 * DAY),
        (Since.JOB_END, None),
    ],
)
def test_days_are_counted_from_what_the_rule_says(since: Since, due_at: datetime | None) -> None:
    assert judge([rule("lab", since=since)], KNOWN).due_at == due_at


def test_what_somebody_wanted_kept_is_due_its_days_after_that() -> None:
    kept = replace(KNOWN, kept_from=NOW - 3 * DAY)
    verdict = judge([rule("lab")], kept)
    assert (verdict.since, verdict.due_at, verdict.due) == (NOW - 3 * DAY, NOW + 27 * DAY, False)


@pytest.mark.parametrize(
    ("known", "obstacle"),
    [
        ({"has_doi": True}, Obstacle.DOI),
        ({"held": True}, Obstacle.HOLD),
        ({"depended_on": True}, Obstacle.DEPENDANTS),
        ({"versions": 1}, Obstacle.VERSIONS),
    ],
)
def test_what_stands_against_it_keeps_what_is_due(known: dict[str, Any], obstacle: Obstacle) -> None:
    verdict = judge([rule("lab")], replace(KNOWN, **known))
    assert (verdict.due, verdict.obstacles, verdict.removable) == (True, (obstacle,), False)


def test_published_versions_go_where_the_rule_says_so() -> None:
    assert judge([rule("lab", versions=True)], replace(KNOWN, versions=2)).removable


def test_a_rule_reads_as_a_sentence() -> None:
    said = [rule("lab/soil", "model", 1), rule("lab", None, None), rule(None, object_id=OBJECT, versions=True)]
    assert [f"{one.place}: {one.text}" for one in [*said, default(POLICY)]] == [
        "lab/soil, kind model: keep for 1 day from registration",
        "lab: keep for ever",
        "the object itself: keep for 30 days from registration, published versions too",
        "the catalog's default, kind job: keep for 15 days from the end of the job",
    ]


@pytest.mark.req("MWM-SADD-69")
@given(steps=st.lists(st.timedeltas(min_value=-3 * DAY, max_value=3 * DAY), max_size=50))
def test_retention_clock_believes_no_jump_whatever_the_clock_does(steps: list[timedelta]) -> None:
    at, believed, short = BEGAN, timedelta(), timedelta()
    for step in steps:
        believed += clock.stepped(at, at + step)
        at += step
        short += step if timedelta() < step <= STEP_MAX else timedelta()
    assert believed == short


@pytest.mark.req("MWM-SADD-69")
@pytest.mark.parametrize(
    ("moment", "over"),
    [
        (Moment(BEGAN + 7 * DAY, 7 * 86_400), True),
        # The clock jumped forward by a day: its end is reached, and the time was not witnessed.
        (Moment(BEGAN + 7 * DAY, 6 * 86_400), False),
        # It jumped back: the time has passed, and its end is not reached.
        (Moment(BEGAN + 6 * DAY, 7 * 86_400), False),
    ],
)
def test_retention_clock_says_a_grace_is_over_only_by_both_clocks(moment: Moment, over: bool) -> None:  # noqa: FBT001
    assert clock.is_over(BEGAN + 7 * DAY, 0, 7 * DAY, moment) is over


@pytest.mark.parametrize(
    ("due", "objects", "flood"),
    [(10, 10, False), (11, 12, True), (20, 100, False), (21, 100, True), (11, 1_000, False)],
)
def test_too_many_at_once_are_a_flood(due: int, objects: int, flood: bool) -> None:  # noqa: FBT001
    assert removing.is_flood(POLICY, due, objects) is flood


SIBLINGS = st.sampled_from(["a", "ab", "a/b", "a.b", "a-b", "A", "a/b/c", "b", "a b"])
PREFIXES = st.sampled_from(["", "a", "ab", "a/b", "a-b"])
PROJECTS = st.sampled_from(["aa/bb", "aa/bbb", "aaa/bb", "aa/bb-c"])
IDS = st.sampled_from([UUID(int=1), UUID(int=2), UUID(int=0x10)])


@pytest.mark.req("MWM-SADD-68")
@given(
    prefix=PREFIXES, other_prefix=PREFIXES, mine=st.tuples(PROJECTS, IDS, IDS, SIBLINGS),
    other=st.tuples(PROJECTS, IDS, IDS, SIBLINGS),
)  # fmt: skip
def test_a_key_is_taken_for_exactly_one_upload_and_for_none_of_its_siblings(
    prefix: str,
    other_prefix: str,
    mine: tuple[str, UUID, UUID, str],
    other: tuple[str, UUID, UUID, str],
) -> None:
    upload = UploadKey(*mine)
    key = keys.upload_key(prefix, upload)
    assert is_exactly(prefix, key, upload.object_id, upload.upload_id, upload.path)
    same = (other[1:], other_prefix) == (mine[1:], prefix)
    assert is_exactly(other_prefix, key, *other[1:]) is same


@pytest.mark.req("MWM-SADD-68")
@given(added=st.sampled_from(["/", "b", "/b", ".b", "/../x"]), mine=st.tuples(PROJECTS, IDS, IDS, SIBLINGS))
def test_what_begins_or_ends_with_a_key_of_ours_is_none_of_ours(added: str, mine: tuple[str, UUID, UUID, str]) -> None:
    upload = UploadKey(*mine)
    key = keys.upload_key("a", upload)
    longer, below = key + added, f"a/{key}"
    folder = key.rpartition("/")[0] + "/"
    for one in (longer, below, folder, folder.rstrip("/"), "a/", "a", ""):
        assert not is_exactly("a", one, upload.object_id, upload.upload_id, upload.path)
