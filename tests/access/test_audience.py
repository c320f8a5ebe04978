"""One compiler, two engines: whoever may see a row may find its document, and nobody else."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from catalog.access.audience import (
    ANONYMOUS,
    Audience,
    Granted,
    Permission,
    Role,
    readers_of,
    user_token,
    writers_of,
)
from catalog.access.grants import check_prefix, prefix_tokens
from catalog.access.principals import Caller
from catalog.access.scopes import ALL_SCOPES, Held
from catalog.engines import opened
from catalog.errors import Invalid
from catalog.search import query
from catalog.search.document import Projection, document_from
from catalog.search.index import Index, Outcome, Verdict, Written
from catalog.search.query import Question
from tests.conftest import make_world, prepare
from tests.search.conftest import entry

PEOPLE = tuple(UUID(int=number) for number in range(1, 6))
VISIBILITIES = ("public", "organization", "project", "private", "embargoed", "anything else")
PROJECTS = ("lab/soil", "lab/soil2", "lab2/soil", "la/soil")
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
    st.builds(
        lambda person, role, place: (
            Caller(person, "somebody", role, held=Held(UUID(int=9), ALL_SCOPES, place, None)).audience
        ),
        st.sampled_from(PEOPLE),
        st.sampled_from(Role),
        st.sampled_from(("lab", "lab/soil", "la")),
    ),
)
readers = st.one_of(
    st.builds(
        lambda visibility, owner, project: readers_of(visibility=visibility, owner_id=owner, project=project),
        st.sampled_from(VISIBILITIES),
        st.sampled_from(PEOPLE),
        st.sampled_from(PROJECTS),
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
        meant = {key for key, tokens in objects.items() if meets(audience, set(tokens))}
        seen, found = await both.seen(audience), await both.found(audience, set(objects))
        assert (seen, found) == (meant, meant)


def meets(audience: Audience, tokens: set[str]) -> bool:
    """Whether an audience sees what these tokens may see, said anew."""
    placed = audience.within is None or {f"read:{audience.within}", f"write:{audience.within}"} & tokens
    return audience.everything or "public" in audience.tokens & tokens or bool(audience.tokens & tokens and placed)


SCOPES = ("lab", "lab/soil", "lab/air", "other")
READS = {"public", "organization", "project"}
ALL = {"public", "organization", "project", "private", "embargoed"}
# Of an object in lab/soil that belongs to somebody else: what each role in each scope sees of it, by its visibility.
SEEN = {
    ("lab", Role.READER): READS,
    ("lab", Role.INGEST): {"public"},
    ("lab", Role.CURATOR): ALL,
    ("lab", Role.ADMIN): ALL,
    ("lab/soil", Role.READER): READS,
    ("lab/soil", Role.INGEST): {"public"},
    ("lab/soil", Role.CURATOR): ALL,
    ("lab/soil", Role.ADMIN): ALL,
    ("lab/air", Role.READER): {"public", "organization"},
    ("lab/air", Role.INGEST): {"public"},
    ("lab/air", Role.CURATOR): {"public", "organization"},
    ("lab/air", Role.ADMIN): {"public", "organization"},
    ("other", Role.READER): {"public"},
    ("other", Role.INGEST): {"public"},
    ("other", Role.CURATOR): {"public"},
    ("other", Role.ADMIN): {"public"},
}


def seen_by(audience: Audience) -> set[str]:
    owner = PEOPLE[0]
    return {
        visibility
        for visibility in ALL
        if audience.includes(readers_of(visibility=visibility, owner_id=owner, project="lab/soil"))
    }


def member(scope: str, role: Role) -> Caller:
    return Caller(PEOPLE[1], "somebody", Role.READER, rights=frozenset({(scope, role)}))


@pytest.mark.req("SAGE-STORAGE-4", "DEWRANGLE-RFC-4")
def test_a_role_shows_what_its_scope_holds_and_a_write_only_one_nothing() -> None:
    assert {(scope, role): seen_by(member(scope, role).audience) for scope in SCOPES for role in Role} == SEEN


def test_whoever_looks_after_a_scope_may_change_what_is_in_it() -> None:
    writers = writers_of(owner_id=PEOPLE[0], project="lab/soil")
    changes = {(scope, role) for scope in SCOPES for role in Role if member(scope, role).may_change(writers)}
    assert changes == {(scope, role) for scope in ("lab", "lab/soil") for role in (Role.CURATOR, Role.ADMIN)}
    assert Caller(PEOPLE[0], "owner", Role.READER).may_change(writers)


def test_without_a_role_only_what_is_public_is_seen_and_by_its_owner_everything() -> None:
    assert seen_by(ANONYMOUS) == {"public"}
    assert seen_by(Caller(PEOPLE[1], "somebody", Role.INGEST).audience) == {"public"}
    assert seen_by(Caller(PEOPLE[0], "owner", Role.INGEST).audience) == ALL
    assert seen_by(Caller(PEOPLE[1], "curator", Role.CURATOR).audience) == ALL


@pytest.mark.req("SAGE-STORAGE-4")
@pytest.mark.parametrize("permission", Permission)
def test_every_permission_lets_its_holder_see_and_only_some_let_them_change(permission: Permission) -> None:
    friend = Caller(PEOPLE[1], "friend", Role.READER)
    granted = [Granted(user_token(PEOPLE[1]), permission)]
    readers = readers_of(visibility="private", owner_id=PEOPLE[0], project="lab/soil", granted=granted)
    writers = writers_of(owner_id=PEOPLE[0], project="lab/soil", granted=granted)
    assert friend.audience.includes(readers)
    assert friend.may_change(writers) == (permission in {Permission.WRITE, Permission.FULL_CONTROL})
    assert not Caller(PEOPLE[2], "stranger", Role.READER).audience.includes(readers)


@pytest.mark.parametrize("sibling", ["lab2", "la", "lab/soil2", "lab/soi", "labs/soil"])
def test_a_scope_never_reaches_a_sibling_with_a_similar_name(sibling: str) -> None:
    readers = readers_of(visibility="project", owner_id=PEOPLE[0], project="lab/soil")
    assert not member(sibling, Role.ADMIN).audience.includes(readers) or sibling == "lab"
    assert not Audience(frozenset(prefix_tokens(Permission.FULL_CONTROL, f"{sibling}/"))).includes(readers)


def test_an_unknown_visibility_shows_an_object_to_its_owner_and_those_who_look_after_it() -> None:
    readers = readers_of(visibility="anything else", owner_id=PEOPLE[0], project="lab/soil")
    assert readers == ["read:lab", "read:lab/soil", user_token(PEOPLE[0])]


@pytest.mark.parametrize("prefix", ["", "/", "lab", "lab/soil", "lab//", "lab/soil/uploads/", "../", "Lab/", "lab/../"])
def test_a_prefix_that_is_no_whole_scope_is_not_granted(prefix: str) -> None:
    with pytest.raises(Invalid):
        check_prefix(prefix)


def test_a_prefix_is_an_organization_or_a_project_with_its_slash() -> None:
    assert [check_prefix(prefix) for prefix in ("lab/", "lab/soil/")] == ["lab/", "lab/soil/"]


@pytest.mark.parametrize("place", [None, "lab/air"])
def test_what_is_open_to_everybody_is_seen_with_a_token_that_counts_elsewhere_too(place: str | None) -> None:
    opened = frozenset(prefix_tokens(Permission.READ, "lab/soil/"))
    held = Held(UUID(int=7), ALL_SCOPES, place, None)
    caller = Caller(UUID(int=8), "somebody", Role.READER, opened=opened, held=held)
    there = readers_of(visibility="private", owner_id=UUID(int=9), project="lab/soil")
    beside = readers_of(visibility="private", owner_id=UUID(int=9), project="lab/soil2")

    assert [caller.audience.includes(one) for one in (there, beside)] == [True, False]
    assert not caller.may_change(writers_of(owner_id=UUID(int=9), project="lab/soil"))
    assert Caller(None, "anonymous", None, opened=opened).audience.includes(there)
