"""Requests as values: what is sent, whether it may be sent again, and how its answer is read.

Every method of the client is described here and in the rooms beside it once, without a connection; `connection` sends
what is described, for a program that waits (`Blocking`) or for one that awaits (`Awaiting`). Knows no network.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    Unpack,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)
from urllib.parse import quote

import httpx2

from catalog.client.patience import PASSING, Patience
from catalog.client.problems import Problem, Unreachable

if TYPE_CHECKING:
    from catalog.client.connection import Awaiting, Blocking

Parameters = Sequence[tuple[str, str]]
MERGE_PATCH = "application/merge-patch+json"
# Yielded, sent, returned.
GENERATOR_ARGUMENTS = 3

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C", bound="Blocking | Awaiting", covariant=True)  # ruff: ignore[PLC0105] - it is read in every signature.


def _whole(response: httpx2.Response) -> Any:
    return response.json()


def member(name: str) -> Callable[[httpx2.Response], Any]:
    """Return what reads one member of an answer's JSON."""
    return lambda response: response.json()[name]


def nothing(_: httpx2.Response) -> None:
    """Read nothing of an answer that has nothing to say."""


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One request. A body of bytes is sent as it is, any other as JSON; `accept` are statuses that are no refusal."""

    method: str
    path: str
    parameters: Parameters = ()
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    answer_seconds: float | None = None
    accept: frozenset[int] = frozenset()
    read: Callable[[httpx2.Response], R] = _whole


@dataclass(frozen=True, slots=True)
class Pause:
    """Time that passes before the next request."""

    seconds: float


# Several requests, one after the other, each told what the one before was answered.
Steps: TypeAlias = Generator["Call[Any] | Pause", Any, R]


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """Pages, each naming the cursor of the next; `read` takes out of a page what is yielded."""

    path: str
    parameters: Parameters = ()
    read: Callable[[Any], Iterable[R]] = lambda page: page["items"]

    def call(self, cursor: str | None) -> Call[Any]:
        """Return the request for the page that a cursor stands for, or for the first one."""
        more = [] if cursor is None else [("cursor", cursor)]
        return Call("GET", self.path, [*self.parameters, *more], repeatable=True)


class Stream(Protocol[R_co]):
    """An answer that comes in pieces, and how it is gone on with where the line breaks."""

    # Bytes as they come, or one line after the other.
    raw: bool

    def call(self) -> Call[Any]:
        """Return the request for all that has not been told."""

    def feed(self, piece: Any) -> Iterable[R_co]:
        """Take a piece, and return what is told by it."""

    def goes_on(self) -> bool:
        """Whether it may be asked for anew after the pieces that have come."""


def pause_before_more(stream: Stream[Any], failed: Problem | Unreachable, patience: Patience) -> float:
    """Return how long to wait before a stream is gone on with; raises what it failed of when it is not."""
    passing = not isinstance(failed, Problem) or failed.status in PASSING
    asked = failed.retry_after_seconds if isinstance(failed, Problem) else None
    pause = patience.pause(asked) if passing and stream.goes_on() else None
    if pause is None:
        raise failed
    return pause


class Room(Generic[C]):
    """What can be asked about one thing, over the wire of a `Catalog` or an `AsyncCatalog`."""

    def __init__(self, wire: C) -> None:
        self._wire = wire

    @property
    def connection(self) -> C:
        """The wire, for the other modules of this client."""
        return self._wire


class _Method(Generic[P, R]):
    """A described method: reached through a room, it is an ordinary one, with its name, signature and docstring."""

    def __init__(self, described: Callable[..., Any]) -> None:
        functools.update_wrapper(cast("Any", self), described)
        self._described = described

    @property
    def unbound(self) -> Callable[..., Any]:
        """The method as a class has it, with a room as its first argument: what `help` and `inspect` look at."""
        described = self

        @functools.wraps(self._described)
        def method(self: Room[Any], *args: Any, **named: Any) -> Any:
            return cast("Any", described).__get__(self)(*args, **named)

        told = cast("Any", method)
        told.__signature__ = _signature(self._described)
        told.described = self
        return method

    def _bound(self, room: Room[Any], work: Callable[..., Any]) -> Any:
        @functools.wraps(self._described)
        def method(*args: Any, **named: Any) -> Any:
            return work(*args, **named)

        # As bound methods have them.
        bound = cast("Any", method)
        whole = _signature(self._described)
        bound.__signature__ = whole.replace(parameters=list(whole.parameters.values())[1:])
        bound.__self__ = room
        return bound


class Operation(_Method[P, R]):
    """A method that answers once: its result in a `Catalog`, to be awaited in an `AsyncCatalog`."""

    @overload
    def __get__(self, room: None, owner: Any = None) -> Operation[P, R]: ...
    @overload
    def __get__(self, room: Room[Blocking], owner: Any = None) -> Callable[P, R]: ...
    @overload
    def __get__(self, room: Room[Awaiting], owner: Any = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, room: Room[Any] | None, owner: Any = None) -> Any:
        """Return the method as the room's wire runs it."""
        if room is None:
            return self.unbound
        return self._bound(room, lambda *args, **named: self._run(room, args, named))

    def _run(self, room: Room[Any], args: Any, named: Any) -> Any:
        return room.connection.run(self._described(room, *args, **named))


class Series(_Method[P, R]):
    """A method that yields: an iterator in a `Catalog`, an asynchronous one in an `AsyncCatalog`."""

    @overload
    def __get__(self, room: None, owner: Any = None) -> Series[P, R]: ...
    @overload
    def __get__(self, room: Room[Blocking], owner: Any = None) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, room: Room[Awaiting], owner: Any = None) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, room: Room[Any] | None, owner: Any = None) -> Any:
        """Return the method as the room's wire runs it."""
        if room is None:
            return self.unbound
        return self._bound(room, lambda *args, **named: self._run(room, args, named))

    def _run(self, room: Room[Any], args: Any, named: Any) -> Any:
        described = self._described(room, *args, **named)
        return room.connection.walk(described) if isinstance(described, Listing) else room.connection.stream(described)


class _Threaded(Operation[P, R]):
    def _run(self, room: Room[Any], args: Any, named: Any) -> Any:
        return room.connection.apart(self._described, room, args, named)


class _ThreadedSeries(Series[P, R]):
    def _run(self, room: Room[Any], args: Any, named: Any) -> Any:
        return room.connection.each_apart(self._described, room, args, named)


@overload
def request(described: Callable[Concatenate[Any, P], Call[R]]) -> Operation[P, R]: ...
@overload
def request(described: Callable[Concatenate[Any, P], Steps[R]]) -> Operation[P, R]: ...
def request(described: Callable[..., Any]) -> Any:
    """Make a method of what describes a request, or several."""
    return Operation(described)


@overload
def series(described: Callable[Concatenate[Any, P], Listing[R]]) -> Series[P, R]: ...
@overload
def series(described: Callable[Concatenate[Any, P], Stream[R]]) -> Series[P, R]: ...
def series(described: Callable[..., Any]) -> Any:
    """Make a method that yields of what describes pages or a stream."""
    return Series(described)


def in_thread(work: Callable[Concatenate[Any, P], R]) -> Operation[P, R]:
    """Make a method of work on a `Catalog` that waits for disks; an `AsyncCatalog` does it in a thread."""
    return _Threaded(work)


def series_in_thread(work: Callable[Concatenate[Any, P], Iterator[R]]) -> Series[P, R]:
    """Make a method that yields of such work; an `AsyncCatalog` takes each next piece in a thread."""
    return _ThreadedSeries(work)


@functools.cache
def _signature(described: Callable[..., Any]) -> inspect.Signature:
    """Return what a method takes and gives: each member of a question by name, and the answer in place of the call."""
    whole = inspect.signature(described)
    parameters: list[inspect.Parameter] = []
    for one in whole.parameters.values():
        if one.kind is not inspect.Parameter.VAR_KEYWORD or get_origin(one.annotation) is not Unpack:
            parameters.append(one)
            continue
        (members,) = get_args(one.annotation)
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
            for name, hint in get_type_hints(members).items()
        ]
    return whole.replace(parameters=parameters, return_annotation=_given(whole.return_annotation))


def _given(described: Any) -> Any:
    """Return what a described request or listing comes to."""
    origin, inner = get_origin(described), get_args(described)
    if origin is Call and inner:
        return inner[0]
    if origin is collections.abc.Generator and len(inner) == GENERATOR_ARGUMENTS:
        return inner[-1]
    return cast("Any", Iterator)[inner[0]] if origin in {Listing, Stream} and inner else described


def get(path: str, parameters: Parameters = ()) -> Call[Any]:
    """Return the request for what can be read at a path."""
    return Call("GET", path, parameters, repeatable=True)


def items(path: str, parameters: Parameters = ()) -> Call[Any]:
    """Return the request for a short listing, read as its items."""
    return Call("GET", path, parameters, repeatable=True, read=member("items"))


def if_match(revision: int | None) -> dict[str, str]:
    """Return the header of a change that starts from a revision; None: from whichever there is."""
    return {"if-match": "*" if revision is None else f'"{revision}"'}


def quoted(text: object) -> str:
    """Return a text as one segment of a path."""
    return quote(str(text), safe="")


def said(**named: object) -> Parameters:
    """Return what was said as parameters; None was not, and a list says each of its values."""
    return [
        (name, "true" if value is True else "false" if value is False else str(value))
        for name, values in named.items()
        if values is not None
        for value in _each(values)
    ]


def asking(text: str | None, question: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question as the catalog takes it in a body: regions as one text, moments as RFC 3339, no None."""
    asked = {"q": text or None, **question}
    return {name: _put(name, value) for name, value in asked.items() if value is not None}


def parameters_of(text: str | None, question: Mapping[str, Any]) -> Parameters:
    """Return a question as the catalog takes it in an address; a filter in JSON is its text there."""
    asked = asking(text, question)
    if isinstance(asked.get("filter"), Mapping):
        asked["filter"] = json.dumps(asked["filter"], ensure_ascii=False)
    return said(**asked)


# What a question says once; whatever else it says are several values of one thing, or one of them alone.
_ONCE = frozenset(
    {
        *("q", "filter", "narrower", "similar", "bbox", "time", "valid_at", "sort", "limit", "cursor", "after_write"),
        *("wait_seconds", "hybrid", "as", "after"),
    }
)


def _put(name: str, value: Any) -> Any:
    if name == "bbox" and isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    if isinstance(value, date):
        return value.isoformat()
    if name in _ONCE:
        return value
    return list(_each(value))


def _each(values: object) -> Iterable[object]:
    return values if isinstance(values, Sequence) and not isinstance(values, str) else [values]


def object_path(object_id: str) -> str:
    """Return the path of an object by its id, a DOI, or its name."""
    return f"/api/objects/{quoted(object_id)}"
