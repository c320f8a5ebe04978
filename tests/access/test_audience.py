"""One compiler, two engines: whoever may see a row may find its document, and nobody else."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from catalog.access.audience import ANONYMOUS, PUBLIC, Audience, readers_of, user_token
from catalog.access.principals import Caller, Role
from catalog.engines import opened
from catalog.search import query
from catalog.search.document import Projection, document_from
from catalog.search.index import Index, Outcome, Verdict, Written
from catalog.search.query import Question
from tests.conftest import make_world, prepare
from tests.search.conftest import entry

PEOPLE = tuple(UUID(int=number) for number in range(1, 6))
VISIBILITIES = ("public", "private")
# Tokens that begin, end or read alike: compared whole they are all different.
LIKE = (
    "public",
    "public:x",
    "Public",
    f"user:{PEOPLE[0]}",
    f"user:{PEOPLE[0]}0",
    "user:",
    "org:a",
    "org:a-b",
    "org:a b",
)

callers = st.one_of(
    st.just(ANONYMOUS),
    st.builds(
        lambda person, role: Caller(person, "somebody", role).audience, st.sampled_from(PEOPLE), st.sampled_from(Role)
    ),
    st.builds(lambda tokens: Audience(frozenset(tokens)), st.sets(st.sampled_from(LIKE))),
)
readers = st.one_of(
    st.builds(
        lambda visibility, owner: readers_of(visibility=visibility, owner_id=owner),
        st.sampled_from(VISIBILITIES),
        st.sampled_from(PEOPLE),
    ),
    st.lists(st.sampled_from(LIKE), unique=True),
)


@dataclass
class Both:
    """The two engines, holding the same objects."""

    index: Index
    connection: sa.ext.asyncio.AsyncConnection

    async def hold(self, lists: list[list[str]]) -> dict[UUID, list[str]]:
        """Put objects with these readers into both, in place of what was there."""
        objects = {uuid4(): readers for readers in lists}
        await self.connection.execute(sa.text("DELETE FROM shown"))
        await self.connection.execute(
            sa.text("INSERT INTO shown VALUES (:id, :readers)"),
            [{"id": key, "readers": value} for key, value in objects.items()],
        )
        documents = [_written(entry(id=key, readers=value)) for key, value in objects.items()]
        assert await self.index.write(documents) == [Outcome(Verdict.WRITTEN)] * len(documents)
        await self.index.refresh()
        return objects

    async def seen(self, audience: Audience) -> set[UUID]:
        """Return what the database shows."""
        shown = sa.table("shown", sa.column("id", sa.Uuid), sa.column("readers"))
        rows = await self.connection.execute(sa.select(shown.c.id).where(audience.sql_condition(shown.c.readers)))
        return set(rows.scalars())

    async def found(self, audience: Audience, among: set[UUID]) -> set[UUID]:
        """Return what the search shows."""
        question = Question(None, limit=100)
        found = await self.index.find(query.body_of(question, audience), question)
        return {hit.id for hit in found.hits} & among


def _written(one: Projection) -> Written:
    return Written(one.id, one.revision, document_from(one))


@pytest.fixture(scope="session")
async def both(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Both]:
    """Both engines, with nothing else in them."""
    world = make_world(engines_ready, tmp_path_factory.mktemp("audience"))
    await prepare(world, engines_ready)
    async with opened(world.settings) as engines, engines.database.engine.connect() as connection:
        # The run goes on long after the last statement here, and the database ends idle transactions.
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(sa.text("CREATE TABLE shown (id uuid, readers text[])"))
        yield Both(engines.index, connection)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(lists=st.lists(readers, min_size=1, max_size=6), audiences=st.lists(callers, min_size=1, max_size=6))
async def test_the_database_and_the_search_show_everybody_the_same_objects(
    both: Both, lists: list[list[str]], audiences: list[Audience]
) -> None:
    objects = await both.hold(lists)

    for audience in audiences:
        meant = {key for key, tokens in objects.items() if audience.everything or audience.tokens & set(tokens)}
        seen, found = await both.seen(audience), await both.found(audience, set(objects))
        assert (seen, found) == (meant, meant)


def test_a_public_object_is_everybodys_and_a_private_one_its_owners() -> None:
    owner, other = PEOPLE[:2]
    sees = {
        visibility: [
            bool(audience.tokens & set(readers_of(visibility=visibility, owner_id=owner)))
            for audience in (
                ANONYMOUS,
                Audience(frozenset({PUBLIC, user_token(other)})),
                Audience(frozenset({user_token(owner)})),
            )
        ]
        for visibility in VISIBILITIES
    }

    assert sees == {"public": [True, True, True], "private": [False, False, True]}


def test_an_unknown_visibility_shows_an_object_to_its_owner_alone() -> None:
    assert readers_of(visibility="anything else", owner_id=PEOPLE[0]) == [user_token(PEOPLE[0])]
