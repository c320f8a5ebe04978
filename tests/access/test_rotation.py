"""A token's life: two values while it is rotated, an end with what was made with it, and when it was last used."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from catalog.access import principals, sessions, tokens, uses
from catalog.access.audience import Role
from catalog.access.callers import NOBODY, Caller
from catalog.access.principals import Wish
from catalog.access.scopes import ALL_SCOPES, Scope
from catalog.access.tokens import MadeToken
from catalog.access.uses import Uses
from catalog.database import Database
from catalog.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unauthenticated
from catalog.local.token import admin_token
from tests.conftest import make_world

DAY = timedelta(days=1)
WAIT_SECONDS_MAX = 20


@pytest.fixture(scope="session")
async def database(engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Database]:
    """A database of these tests' own, in which somebody else has a token as well."""
    opened = Database(str(make_world(engines_ready, tmp_path_factory.mktemp("rotation")).settings.database_url))
    async with opened.transaction() as session:
        await principals.create_token(session, name="bystander", role=Role.READER)
    yield opened
    await opened.close()


async def somebody(database: Database, role: Role = Role.INGEST, **more: Any) -> tuple[Caller, str]:
    """Make a principal with a token, and return it as it calls with that."""
    async with database.transaction() as session:
        _, token = await principals.create_token(session, name=f"p{uuid4().hex[:12]}", role=role, **more)
    return await principals.identify(database, token), token


async def make(database: Database, caller: Caller, wish: Wish | None = None) -> MadeToken:
    async with database.transaction() as session:
        return await tokens.make(session, wish or Wish(), holder=None, caller=caller)


async def rotate(database: Database, caller: Caller, token_id: UUID, overlap: timedelta) -> MadeToken:
    async with database.transaction() as session:
        return await tokens.rotate(session, token_id, overlap, caller=caller)


async def works(database: Database, token: str) -> bool:
    try:
        await principals.identify(database, token)
    except Unauthenticated:
        return False
    return True


def own(caller: Caller) -> UUID:
    assert caller.held is not None
    return caller.held.id


@pytest.mark.req("MWM-SADD-16", "MWM-SADD-24")
async def test_after_a_rotation_both_values_are_the_same_token_until_the_overlap_is_over(database: Database) -> None:
    caller, former = await somebody(database)
    made = await rotate(database, caller, own(caller), DAY)
    callers = [await principals.identify(database, token) for token in (former, made.value)]
    assert callers == [caller, caller]
    assert made.view.former_until is not None
    assert timedelta(hours=23) < made.view.former_until - datetime.now(UTC) <= DAY
    async with database.transaction() as session:
        over = sa.text("UPDATE token SET former_until = now() WHERE id = :id")
        await session.execute(over, {"id": own(caller)})
    assert [await works(database, token) for token in (former, made.value)] == [False, True]


async def test_a_third_value_is_refused_and_one_without_overlap_ends_both(database: Database) -> None:
    caller, first = await somebody(database)
    second = (await rotate(database, caller, own(caller), DAY)).value
    with pytest.raises(Conflict, match="no third one may; rotate without an overlap to end both at once"):
        await rotate(database, caller, own(caller), DAY)
    assert [await works(database, token) for token in (first, second)] == [True, True]
    third = await rotate(database, caller, own(caller), timedelta(0))
    assert [await works(database, token) for token in (first, second, third.value)] == [False, False, True]
    assert third.view.former_until is None
    # None is left that a further one would be the third of.
    fourth = await rotate(database, caller, own(caller), DAY)
    assert [await works(database, token) for token in (third.value, fourth.value)] == [True, True]


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=30, seconds=1)])
async def test_an_overlap_has_its_limit(database: Database, overlap: timedelta) -> None:
    caller, token = await somebody(database)
    with pytest.raises(Invalid) as refused:
        await rotate(database, caller, own(caller), overlap)
    assert [(fault.pointer, fault.message) for fault in refused.value.faults] == [
        ("/overlap_seconds", "an overlap is from 0 to 30 days")
    ]
    assert await works(database, token)


async def test_rotations_at_once_leave_two_values(database: Database) -> None:
    caller, first = await somebody(database)
    outcomes = await asyncio.gather(
        *(rotate(database, caller, own(caller), DAY) for _ in range(4)), return_exceptions=True
    )
    values = [one.value for one in outcomes if isinstance(one, MadeToken)]
    assert [type(one) for one in outcomes if not isinstance(one, MadeToken)] == [Conflict] * 3
    assert [await works(database, token) for token in (first, *values)] == [True, True]


async def test_what_was_made_with_a_token_ends_with_it(database: Database) -> None:
    caller, first = await somebody(database)
    child = await make(database, caller, Wish(frozenset({Scope.READ})))
    by_child = await principals.identify(database, child.value)
    grandchild = await make(database, by_child, Wish(frozenset({Scope.READ})))
    async with database.transaction() as session:
        _, beside = await principals.create_token(session, name=caller.name, role=Role.INGEST)
    async with database.transaction() as session:
        assert await tokens.revoke(session, own(caller), caller=caller) == 3
    values = (first, child.value, grandchild.value, beside)
    assert [await works(database, token) for token in values] == [False, False, False, True]


async def test_both_values_end_at_once_when_the_token_is_revoked(database: Database) -> None:
    caller, former = await somebody(database)
    made = await rotate(database, caller, own(caller), DAY)
    async with database.transaction() as session:
        await principals.revoke_token(session, own(caller))
    assert [await works(database, token) for token in (former, made.value)] == [False, False]


async def test_a_token_tells_what_it_is_good_for(database: Database) -> None:
    caller, _ = await somebody(database)
    until = datetime.now(UTC) + DAY
    made = await make(database, caller, Wish(frozenset({Scope.READ, Scope.REGISTER}), "lab/soil", "night", until))
    held = (await principals.identify(database, made.value)).held
    assert held is not None
    assert (held.scopes, held.place, held.ends_at) == ({Scope.READ, Scope.REGISTER}, "lab/soil", until)
    async with database.transaction() as session:
        shown = await tokens.tokens_of(session, None, caller=caller)
    assert [(one.id, one.hint, one.label, one.this) for one in shown] == [
        (made.view.id, made.value[:8], "night", False),
        (own(caller), shown[1].hint, None, True),
    ]


async def test_wrong_wishes_are_told_all_at_once(database: Database) -> None:
    caller, _ = await somebody(database)
    with pytest.raises(Invalid) as refused:
        await make(database, caller, Wish(frozenset(), "Lab", None, datetime.now(UTC)))
    assert [fault.pointer for fault in refused.value.faults] == ["/scopes", "/place", "/expires_at"]


@pytest.mark.parametrize(
    "wider", [Wish(ALL_SCOPES, "lab"), Wish(frozenset({Scope.READ}), None), Wish(frozenset({Scope.READ}), "lab2")]
)
async def test_a_narrow_token_neither_makes_nor_rotates_nor_revokes_a_wider_one(
    database: Database, wider: Wish
) -> None:
    caller, _ = await somebody(database)
    target = await make(database, caller, wider)
    narrow = await make(database, caller, Wish(frozenset({Scope.READ}), "lab"))
    by_narrow = await principals.identify(database, narrow.value)
    with pytest.raises(Forbidden):
        await make(database, by_narrow, wider)
    with pytest.raises(Forbidden):
        await rotate(database, by_narrow, target.view.id, DAY)
    with pytest.raises(Forbidden):
        async with database.transaction() as session:
            await tokens.revoke(session, target.view.id, caller=by_narrow)
    assert await works(database, target.value)
    # What it came with is its own to rotate and to end.
    assert await works(database, (await rotate(database, by_narrow, narrow.view.id, DAY)).value)
    async with database.transaction() as session:
        assert await tokens.revoke(session, narrow.view.id, caller=by_narrow) == 1


async def test_tokens_of_others_are_not_there(database: Database) -> None:
    (caller, _), (other, kept) = await somebody(database, Role.CURATOR), await somebody(database)
    for attempt in (
        lambda session: tokens.rotate(session, own(other), DAY, caller=caller),
        lambda session: tokens.revoke(session, own(other), caller=caller),
        lambda session: tokens.make(session, Wish(), holder=f"user:{other.name}", caller=caller),
        lambda session: tokens.tokens_of(session, f"user:{other.name}", caller=caller),
    ):
        with pytest.raises(NotFound):
            async with database.transaction() as session:
                await attempt(session)
    assert await works(database, kept)


async def test_an_admin_ends_anybodys_tokens_and_makes_none_in_their_name(database: Database) -> None:
    (admin, _), (other, ended) = await somebody(database, Role.ADMIN), await somebody(database)
    async with database.transaction() as session:
        listed = await tokens.tokens_of(session, f"user:{other.name}", caller=admin)
    assert [one.id for one in listed] == [own(other)]
    with pytest.raises(NotFound):
        await rotate(database, admin, own(other), DAY)
    async with database.transaction() as session:
        await tokens.revoke(session, own(other), caller=admin)
    assert not await works(database, ended)


async def test_nobody_has_more_tokens_than_can_be_kept_apart(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "TOKENS_MAX", 3)
    caller, _ = await somebody(database)
    outcomes = await asyncio.gather(*(make(database, caller) for _ in range(4)), return_exceptions=True)
    made = [one for one in outcomes if isinstance(one, MadeToken)]
    assert (len(made), [type(one) for one in outcomes if not isinstance(one, MadeToken)]) == (2, [TooLarge] * 2)
    async with database.transaction() as session:
        await tokens.revoke(session, made[0].view.id, caller=caller)
    await make(database, caller)


async def last_used(database: Database, token: str) -> datetime | None:
    return (await principals.identify(database, token)).last_used_at


@pytest.mark.req("MWM-SADD-16")
async def test_it_is_known_when_a_token_was_last_used_without_a_write_for_every_use(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "WRITTEN_EVERY_SECONDS", 0.02)
    written = []

    async def counted(session: Any, used: dict[UUID, datetime]) -> None:
        written.append(dict(used))
        await original(session, used)

    original = uses.write
    monkeypatch.setattr(uses, "write", counted)
    caller, token = await somebody(database)
    assert await last_used(database, token) is None
    noted, stop = Uses(database), asyncio.Event()
    keeping = asyncio.create_task(noted.keep(stop))
    began = datetime.now(UTC)
    noted.note(caller)
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while await last_used(database, token) is None:
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)
    for _ in range(3):
        noted.note(await principals.identify(database, token))
    noted.note(NOBODY)
    stop.set()
    await keeping
    used = await last_used(database, token)
    assert used is not None
    assert began <= used <= datetime.now(UTC)
    assert written == [{own(caller): used}]


async def test_an_older_moment_takes_nothing_back(database: Database) -> None:
    caller, token = await somebody(database)
    at = datetime.now(UTC)
    for moment in (at, at - DAY):
        async with database.transaction() as session:
            await uses.write(session, {own(caller): moment})
    assert await last_used(database, token) == at


async def test_a_use_of_long_ago_is_noted_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    caller, token = await somebody(database)
    async with database.transaction() as session:
        await uses.write(session, {own(caller): datetime.now(UTC) - uses.KNOWN_TO - timedelta(seconds=1)})
    again = await principals.identify(database, token)
    assert again == caller
    monkeypatch.setattr(uses, "WRITTEN_EVERY_SECONDS", 0.02)
    noted, stop = Uses(database), asyncio.Event()
    keeping = asyncio.create_task(noted.keep(stop))
    noted.note(again)
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while (await last_used(database, token)) == again.last_used_at:
        assert time.monotonic() < ends
        await asyncio.sleep(0.01)
    stop.set()
    await keeping


async def test_a_service_has_no_session_of_the_pages(database: Database) -> None:
    caller, _ = await somebody(database)
    async with database.transaction() as session:
        secret = await sessions.begin(session, caller.must_be_known(), DAY, instead_of=None)
    assert (await sessions.visitor(database, secret)).id == caller.id
    async with database.transaction() as session:
        await session.execute(sa.text("UPDATE principal SET kind = 'service' WHERE id = :id"), {"id": caller.id})
    assert await sessions.visitor(database, secret) is None


async def test_a_first_admin_is_made_once_and_only_while_there_is_none(
    engines_ready: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = Database(str(make_world(engines_ready, tmp_path_factory.mktemp("first")).settings.database_url))
    first, second = principals.new_value(), principals.new_value()

    async def ensure(token: str) -> bool:
        async with empty.transaction() as session:
            return await principals.ensure_admin(session, token)

    assert sorted(await asyncio.gather(*(ensure(first) for _ in range(3)))) == [False, False, True]
    caller = await principals.identify(empty, first)
    assert (caller.name, caller.role) == ("first-admin", Role.ADMIN)
    assert await ensure(second) is False
    assert not await works(empty, second)
    # Ended, and nobody else is: what was revoked stays so, and another value begins anew once it is restored.
    async with empty.transaction() as session:
        await principals.end(session, "first-admin")
    for token in (first, second):
        with pytest.raises(Conflict):
            await ensure(token)
    await empty.close()


async def test_the_embedded_stack_leaves_a_token_of_an_admin_until_that_admin_is_ended(
    engines_ready: dict[str, Any], tmp_path: Path
) -> None:
    url = str(make_world(engines_ready, tmp_path).settings.database_url)
    own, file = Database(url), tmp_path / "admin-token"
    await admin_token(file, url)
    token = file.read_text().strip()
    assert (await principals.identify(own, token)).role is Role.ADMIN
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    await admin_token(file, url)
    assert file.read_text().strip() == token
    async with own.transaction() as session:
        await principals.end(session, "local-admin")
    # The stack starts all the same, and makes nobody an admin behind the back of whoever ended it.
    await admin_token(file, url)
    assert not await works(own, file.read_text().strip())
    await own.close()
