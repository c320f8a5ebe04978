"""A token is good for at most what its principal may do and its scopes say, and only in its place."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations
from uuid import UUID

import pytest

from catalog.access import places, tokens
from catalog.access.audience import Granted, Permission, Role, readers_of, user_token, writers_of
from catalog.access.callers import Caller
from catalog.access.scopes import ALL_SCOPES, Held, Scope, rights_in
from catalog.errors import Forbidden, InsufficientScope

ME, OTHER = UUID(int=1), UUID(int=2)
VISIBILITIES = ("public", "organization", "project", "private", "embargoed")
PROJECTS = ("lab/soil", "lab/air", "lab2/soil", "lab-soil/soil")
# Whole names are compared: none of these is a part of another.
PLACES = ("lab", "lab/soil", "lab2", "la", "lab/soi")


def holding(
    scopes: Collection[Scope] = ALL_SCOPES,
    place: str | None = None,
    *,
    role: Role = Role.READER,
    rights: Collection[tuple[str, Role]] = (),
    ends_at: datetime | None = None,
) -> Caller:
    held = Held(UUID(int=9), frozenset(scopes), place, ends_at)
    return Caller(ME, "me", role, rights=frozenset(rights), held=held)


def objects() -> dict[tuple[str, str, str], tuple[list[str], list[str]]]:
    """Readers and writers of objects of every kind by project, visibility and owner; one more was granted to me."""
    made = {
        (project, visibility, name): (
            readers_of(visibility=visibility, owner_id=owner, project=project),
            writers_of(owner_id=owner, project=project),
        )
        for project in PROJECTS
        for visibility in VISIBILITIES
        for name, owner in (("mine", ME), ("other", OTHER))
    }
    granted = [Granted(user_token(ME), Permission.WRITE)]
    for project in PROJECTS:
        made[project, "private", "granted"] = (
            readers_of(visibility="private", owner_id=OTHER, project=project, granted=granted),
            writers_of(owner_id=OTHER, project=project, granted=granted),
        )
    return made


def sees(caller: Caller) -> set[tuple[str, str, str]]:
    return {key for key, (readers, _) in objects().items() if caller.audience.includes(readers)}


def changes(caller: Caller) -> set[tuple[str, str, str]]:
    return {key for key, (_, writers) in objects().items() if caller.may_change(writers)}


EVERY_SCOPES = [
    frozenset(some) for some in chain.from_iterable(combinations(Scope, count) for count in range(1, len(Scope) + 1))
]
WHO = [
    {"role": role, "rights": rights}
    for role in Role
    for rights in ((), *[((scope, given),) for scope in ("lab", "lab/soil", "lab2") for given in Role])
]


@pytest.mark.req("MWM-SADD-24")
@pytest.mark.parametrize("place", PLACES)
def test_a_token_of_one_place_sees_and_changes_what_its_holder_does_there_and_elsewhere_what_is_public(
    place: str,
) -> None:
    for who in WHO:
        whole, bound = holding(**who), holding(place=place, **who)
        here = {key for key in objects() if key[0] == place or key[0].partition("/")[0] == place}
        public = {key for key in objects() if key[1] == "public"}
        assert (who, sees(bound)) == (who, (sees(whole) & here) | public)
        assert (who, changes(bound)) == (who, changes(whole) & here)


@pytest.mark.parametrize("scopes", EVERY_SCOPES, ids=lambda some: "+".join(sorted(some)))
def test_without_a_scope_nothing_more_is_seen_or_changed_than_an_owner_would(scopes: frozenset[Scope]) -> None:
    mine = {key for key in objects() if key[2] in {"mine", "granted"}}
    public = {key for key in objects() if key[1] == "public"}
    for who in WHO:
        whole, narrow = holding(**who), holding(scopes, **who)
        assert changes(narrow) == (changes(whole) if Scope.CURATE in scopes else changes(whole) & mine)
        assert sees(narrow) == (sees(whole) if scopes & {Scope.READ, Scope.CURATE} else mine | public)


def test_without_a_token_of_ours_a_caller_is_good_for_everything() -> None:
    caller = Caller(ME, "me", Role.ADMIN)
    assert [scope for scope in Scope if caller.has(scope)] == list(Scope)
    assert caller.place is None


def test_a_missing_scope_is_named() -> None:
    caller = holding({Scope.READ, Scope.CURATE})
    refused = []
    for scope in Scope:
        try:
            caller.must_have(scope)
        except InsufficientScope as fault:
            refused.append((fault.scope, fault.detail))
    assert refused == [
        (scope, f"Your token lacks the scope {scope}: use one that has it, or make one.")
        for scope in ("register", "admin")
    ]


@pytest.mark.parametrize(
    ("place", "role", "rights", "meant"),
    [
        ("lab", Role.READER, {("lab", Role.CURATOR)}, (Role.READER, {("lab", Role.CURATOR)})),
        ("lab", Role.READER, {("lab/soil", Role.ADMIN)}, (Role.READER, {("lab/soil", Role.ADMIN)})),
        ("lab/soil", Role.READER, {("lab", Role.ADMIN)}, (Role.READER, {("lab/soil", Role.ADMIN)})),
        ("lab/soil", Role.READER, {("lab/air", Role.ADMIN)}, (Role.READER, set())),
        ("lab", Role.READER, {("lab2", Role.ADMIN), ("la", Role.ADMIN)}, (Role.READER, set())),
        ("lab", Role.ADMIN, set(), (Role.READER, {("lab", Role.ADMIN)})),
        ("lab/soil", Role.INGEST, set(), (Role.READER, {("lab/soil", Role.INGEST)})),
        ("lab", None, set(), (None, set())),
    ],
)
def test_a_role_counts_in_a_place_as_far_as_it_reaches_there(
    place: str,
    role: Role | None,
    rights: set[tuple[str, Role]],
    meant: tuple[Role | None, set[tuple[str, Role]]],
) -> None:
    assert rights_in(place, role, rights) == meant


def test_a_token_of_one_project_registers_there_alone_and_acts_for_nothing_without_a_place() -> None:
    caller = holding(place="lab/soil", role=Role.CURATOR)
    assert [project for project in PROJECTS if caller.may_register(project)] == ["lab/soil"]
    assert not caller.may_act_for(ME)
    assert holding(role=Role.CURATOR).may_act_for(OTHER)
    assert not holding({Scope.REGISTER}, role=Role.CURATOR).may_act_for(OTHER)
    with pytest.raises(Forbidden):
        caller.must_look_after_all()


def test_keys_of_the_store_are_for_tokens_that_are_good_for_what_the_keys_do() -> None:
    reads, writes = holding({Scope.READ}, role=Role.CURATOR), holding({Scope.REGISTER}, role=Role.CURATOR)
    assert places.must_reach(reads, "lab/soil", "", writing=False, reading=True) == ME
    assert places.must_reach(writes, "lab/soil", "uploads/me/", writing=True, reading=False) == ME
    with pytest.raises(InsufficientScope, match="register"):
        places.must_reach(reads, "lab/soil", "uploads/me/", writing=True, reading=False)
    with pytest.raises(InsufficientScope, match="read"):
        places.must_reach(writes, "lab/soil", "", writing=False, reading=True)
    # Whose folder it is, is a curator's choice.
    with pytest.raises(Forbidden, match="needs the role curator"):
        places.must_reach(writes, "lab/soil", "uploads/other/", writing=True, reading=False)


SOON, LATER = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))


@pytest.mark.parametrize(
    ("held", "wanted", "refused"),
    [
        ((ALL_SCOPES, None, None), (ALL_SCOPES, None, None), None),
        (({Scope.READ}, None, None), ({Scope.READ}, "lab", SOON), None),
        (({Scope.READ}, None, None), ({Scope.READ, Scope.ADMIN}, None, None), "lacks the scope admin"),
        (({Scope.ADMIN}, None, None), ({Scope.READ}, None, None), "lacks the scope read"),
        ((ALL_SCOPES, "lab", None), (ALL_SCOPES, "lab/soil", None), None),
        ((ALL_SCOPES, "lab", None), (ALL_SCOPES, None, None), "counts in lab alone"),
        ((ALL_SCOPES, "lab/soil", None), (ALL_SCOPES, "lab", None), "counts in lab/soil alone"),
        ((ALL_SCOPES, "lab", None), (ALL_SCOPES, "lab2", None), "counts in lab alone"),
        ((ALL_SCOPES, None, SOON), (ALL_SCOPES, None, SOON), None),
        ((ALL_SCOPES, None, SOON), (ALL_SCOPES, None, LATER), "Your token ends at"),
        ((ALL_SCOPES, None, SOON), (ALL_SCOPES, None, None), "Your token ends at"),
    ],
)
def test_by_a_token_nobody_comes_to_a_wider_or_a_longer_one(
    held: tuple[set[Scope], str | None, datetime | None],
    wanted: tuple[set[Scope], str | None, datetime | None],
    refused: str | None,
) -> None:
    scopes, place, ends_at = held
    caller = holding(scopes, place, ends_at=ends_at)
    told = None
    try:
        tokens.must_not_exceed(caller, frozenset(wanted[0]), *wanted[1:])
    except Forbidden as fault:
        told = fault.detail
    assert (told is None) == (refused is None)
    assert (refused or "") in (told or "")
