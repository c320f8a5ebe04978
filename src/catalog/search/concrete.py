"""The concrete indices of a catalog: one stands behind the alias, another one may be built beside it.

Each has an alias of its own as well, by which it is written: the engine makes up no index of a write that has to
meet an alias. Knows neither what is in them nor why there are two.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from catalog.errors import CatalogError, Unavailable
from catalog.search import answers
from catalog.search.document import SETTINGS
from catalog.search.index import Index, reason_of

# Copies are asked for once it is filled, and are there before anybody searches it.
COPIED_SECONDS_MAX = 20
_REPLICAS = "auto_expand_replicas"

_encode = msgspec.json.Encoder().encode
_standing_decoder = msgspec.json.Decoder(dict[str, dict[str, Any]])


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands behind an alias: name, its mapping's version, the fields it knows, how often it refreshes, shards."""

    name: str
    version: str | None
    fields: frozenset[str]
    refresh: str | None
    shards: int


class _Documents(msgspec.Struct):
    count: int = 0


class _Store(msgspec.Struct):
    size_in_bytes: int = 0


class _Searches(msgspec.Struct):
    query_total: int = 0
    query_time_in_millis: int = 0


class _Counts(msgspec.Struct):
    """Of these the engine tells what was asked for."""

    docs: _Documents = msgspec.field(default_factory=_Documents)
    store: _Store = msgspec.field(default_factory=_Store)
    search: _Searches = msgspec.field(default_factory=_Searches)


class _All(msgspec.Struct):
    primaries: _Counts
    total: _Counts


class _Statistics(msgspec.Struct):
    all: _All = msgspec.field(name="_all")


_statistics_decoder = msgspec.json.Decoder(_Statistics)


def own_alias(name: str) -> str:
    """Return the alias that an index has for itself."""
    return f"{name}-own"


async def behind(index: Index) -> Standing | None:
    """Return what stands behind the alias, None where nothing does; raises CatalogError where it is not one index."""
    status, answer = await index.ask("GET", "")
    if status == HTTPStatus.NOT_FOUND:
        return None
    if status != HTTPStatus.OK:
        index.refuse(status, answer)
    found = answers.read(_standing_decoder, answer)
    if len(found) != 1 or index.alias in found:
        raise CatalogError(f"{index.alias!r} must be an alias of one index; it stands for {', '.join(sorted(found))}.")
    ((name, told),) = found.items()
    mappings = told["mappings"]
    fields = frozenset(mappings.get("properties", {}))
    settings = told["settings"]["index"]
    version = mappings.get("_meta", {}).get("version")
    return Standing(name, version, fields, settings.get("refresh_interval"), int(settings["number_of_shards"]))


async def is_there(index: Index, name: str) -> bool:
    """Return whether there is an index of that name."""
    status, answer = await index.ask("GET", "/_settings", target=name)
    if status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        index.refuse(status, answer)
    return status == HTTPStatus.OK


async def make(index: Index, name: str) -> None:
    """Make an index to be filled, without refreshes and copies; nothing is done where there is one of that name."""
    body = index.shape.body(refresh_interval="-1") | {"aliases": {own_alias(name): {}}}
    body["settings"]["index"] |= {_REPLICAS: "false", "number_of_replicas": 0}
    status, answer = await index.ask("PUT", "", target=name, body=_encode(body))
    if status != HTTPStatus.OK and "resource_already_exists_exception" not in reason_of(answer):
        index.refuse(status, answer)


async def give_own_alias(index: Index, name: str) -> None:
    """Let an index be written by an alias of its own."""
    await _change_aliases(index, {"add": {"index": name, "alias": own_alias(name)}})


async def settle(index: Index, name: str) -> None:
    """Make an index that is filled searchable, with copies; raises Unavailable while they are not there."""
    told = {"refresh_interval": index.refresh_interval, _REPLICAS: SETTINGS[_REPLICAS]}
    await index.told("PUT", "/_settings", target=name, body=_encode({"index": told}))
    await index.told("POST", "/_refresh", target=name)
    status, answer = await index.ask(
        "GET",
        f"/_cluster/health/{name}",
        target="",
        params={"wait_for_status": "green", "timeout": f"{COPIED_SECONDS_MAX}s"},
    )
    if status == HTTPStatus.REQUEST_TIMEOUT:
        raise Unavailable(f"Copies of index {name!r} are not there yet.")
    if status != HTTPStatus.OK:
        index.refuse(status, answer)


async def swap(index: Index, name: str, *, instead_of: str | None) -> None:
    """Let the alias stand for another index, in one step; doing it twice is harmless."""
    await index.told("POST", "/_refresh", target=name)
    actions: list[dict[str, Any]] = [{"add": {"index": name, "alias": index.alias}}]
    if instead_of is not None:
        actions.append({"remove": {"index": instead_of, "alias": index.alias, "must_exist": False}})
    await _change_aliases(index, *actions)


async def remove(index: Index, names: Collection[str]) -> list[str]:
    """Remove indices for good, and return those that were there."""
    gone = []
    for name in sorted(names):
        status, answer = await index.ask("DELETE", "", target=name)
        if status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
            index.refuse(status, answer)
        if status == HTTPStatus.OK:
            gone.append(name)
    return gone


async def took_part(index: Index) -> list[str]:
    """Return all indices of this alias that ever were one of two."""
    status, answer = await index.ask("GET", f"/_alias/{own_alias(f'{index.alias}-*')}", target="")
    if status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
        index.refuse(status, answer)
    # Another catalog's alias may begin as this one does.
    ours = re.compile(rf"{re.escape(index.alias)}-[0-9a-f]{{10}}(-[0-9a-f]{{32}})?")
    return (
        [name for name in answers.read(_standing_decoder, answer) if ours.fullmatch(name)]
        if status == HTTPStatus.OK
        else []
    )


async def size(index: Index) -> tuple[int, int]:
    """Return how many documents the engine keeps behind the alias, and in how many bytes."""
    answer = await index.told("GET", "/_stats/docs,store")
    found = answers.read(_statistics_decoder, answer).all.primaries
    return found.docs.count, found.store.size_in_bytes


@dataclass(frozen=True, slots=True)
class Searched:
    """How many searches an index has answered, each counted once for every shard, and how many seconds they took."""

    count: int
    seconds: float

    def since(self, before: "Searched") -> "Searched":
        """Return what came after; a node that was started again, or an index that was swapped, counts anew."""
        if self.count < before.count:
            return self
        return Searched(self.count - before.count, max(0.0, self.seconds - before.seconds))


async def searched(index: Index) -> Searched:
    """Return what was searched behind the alias so far."""
    answer = await index.told("GET", "/_stats/search")
    found = answers.read(_statistics_decoder, answer).all.total.search
    return Searched(found.query_total, found.query_time_in_millis / 1000)


async def _change_aliases(index: Index, *actions: dict[str, Any]) -> None:
    await index.told("POST", "/_aliases", target="", body=_encode({"actions": list(actions)}))
