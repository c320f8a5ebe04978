"""Bearer tokens: shown once, kept as a digest, good until they end."""

import hashlib
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from catalog.access import principals
from catalog.access.audience import LOOKS_AFTER_ALL, REGISTERS, Role
from catalog.access.principals import Caller
from catalog.database import Database
from catalog.errors import Forbidden, Invalid, NotFound, Unauthenticated
from tests.conftest import make_world

STRANGER = UUID(int=9)


@pytest.fixture(scope="session")
async def database(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Database]:
    """A database of these tests' own, in which others have tokens as well."""
    opened = Database(str(make_world(engines_ready, tmp_path_factory.mktemp("access")).settings.database_url))
    async with opened.transaction() as session:
        for name in ("bystander", "onlooker"):
            await principals.create_token(session, name=name, role=Role.READER)
    yield opened
    await opened.close()


async def create(database: Database, name: str, role: Role = Role.INGEST, **more: Any) -> tuple[Caller, str]:
    async with database.transaction() as session:
        return await principals.create_token(session, name=name, role=role, **more)


async def revoke(database: Database, token: str) -> None:
    async with database.transaction() as session:
        (row,) = await session.execute(
            sa.text("SELECT id FROM token WHERE digest = :digest"), {"digest": principals.digest_of(token)}
        )
        await principals.revoke_token(session, row.id)


@pytest.mark.parametrize("role", list(Role))
async def test_a_token_says_who_holds_it_and_what_they_may(database: Database, role: Role) -> None:
    made, token = await create(database, f"holder-{role}", role)

    caller = await principals.identify(database, token)

    assert (caller.id, caller.name, caller.role) == (made.id, f"holder-{role}", role)
    assert caller.audience.everything == (role in LOOKS_AFTER_ALL)
    assert made.id is not None
    assert caller.may_register() == (role in REGISTERS)
    assert caller.may_act_for(made.id)
    assert caller.may_act_for(STRANGER) == (role in LOOKS_AFTER_ALL)


async def test_two_tokens_of_one_name_are_one_principal(database: Database) -> None:
    first, one = await create(database, "twice")
    second, other = await create(database, "twice")

    assert (first.id, one != other) == (second.id, True)
    assert {(await principals.identify(database, token)).id for token in (one, other)} == {first.id}


async def test_a_role_is_not_changed_by_the_way(database: Database) -> None:
    await create(database, "steady", Role.READER)

    with pytest.raises(Invalid, match="steady exists with the role reader"):
        await create(database, "steady", Role.ADMIN)


@pytest.mark.parametrize("token", ["", "cat_", "cat_unknown", "bystander", "cat_" + "x" * 43, "ü\u0000", "'; --"])
async def test_a_token_that_nobody_was_given_is_refused(database: Database, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await principals.identify(database, token)


async def test_a_token_is_refused_once_it_is_revoked_and_others_of_the_principal_are_not(database: Database) -> None:
    _, ended = await create(database, "revoked")
    holder, kept = await create(database, "revoked")
    assert (await principals.identify(database, ended)).id == holder.id

    await revoke(database, ended)

    with pytest.raises(Unauthenticated):
        await principals.identify(database, ended)
    assert (await principals.identify(database, kept)).id == holder.id


async def test_a_token_can_be_revoked_once(database: Database) -> None:
    _, token = await create(database, "revoked-twice")
    await revoke(database, token)

    with pytest.raises(NotFound):
        await revoke(database, token)


async def test_a_token_is_refused_once_its_time_is_over(database: Database) -> None:
    _, over = await create(database, "expiring", expires=timedelta(seconds=-1))
    holder, lasting = await create(database, "expiring", expires=timedelta(hours=1))

    with pytest.raises(Unauthenticated):
        await principals.identify(database, over)
    assert (await principals.identify(database, lasting)).id == holder.id


async def test_no_table_holds_a_token_or_anything_it_could_be_made_of(database: Database) -> None:
    """Whoever steals the database must not become anybody: 256 random bits are kept as their SHA-256 alone."""
    _, token = await create(database, "secretive", label="for the dump")
    secret = token.removeprefix(principals.TOKEN_MARK)
    held = await everything_in(database)

    # Enough of the random part to tell tokens apart is shown; from nine characters on it would help in guessing.
    pieces = [secret[start : start + 9] for start in range(len(secret) - 8)]
    assert [piece for piece in pieces if any(piece.encode() in value for value in held)] == []
    assert hashlib.sha256(token.encode()).digest() in held


async def everything_in(database: Database) -> list[bytes]:
    """Return every value of every row of every table, as bytes."""
    async with database.transaction() as session:
        tables = await session.execute(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        values: list[bytes] = []
        for table in tables.scalars().all():
            for row in await session.execute(sa.text(f'SELECT * FROM "{table}"')):  # noqa: S608 - from the catalogue.
                values += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return values


async def test_a_list_of_tokens_tells_how_each_begins_and_never_more(database: Database) -> None:
    _, token = await create(database, "listed", label="laptop")

    async with database.transaction() as session:
        (shown,) = [one for one in await principals.list_tokens(session) if one["name"] == "listed"]

    assert (shown["hint"], shown["label"], shown["role"]) == (token[:8], "laptop", "ingest")
    assert token not in str(shown)


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        (None, {"known": Unauthenticated, "register": Unauthenticated, "look after all": Unauthenticated}),
        (Role.READER, {"register": Forbidden, "look after all": Forbidden}),
        (Role.INGEST, {"look after all": Forbidden}),
        (Role.CURATOR, {}),
        (Role.ADMIN, {}),
    ],
)
def test_what_a_role_may_not_do_is_refused(role: Role | None, refused: dict[str, type[Exception]]) -> None:
    caller = principals.NOBODY if role is None else Caller(STRANGER, "somebody", role)
    acts = {
        "known": caller.must_be_known,
        "register": caller.must_register,
        "look after all": caller.must_look_after_all,
    }

    outcomes: dict[str, type[Exception]] = {}
    for name, act in acts.items():
        try:
            assert act() == STRANGER
        except (Unauthenticated, Forbidden) as fault:
            outcomes[name] = type(fault)

    assert outcomes == refused


def test_a_caller_is_shown_by_name_alone() -> None:
    assert repr(Caller(STRANGER, "somebody", Role.ADMIN)) == "Caller(somebody)"
