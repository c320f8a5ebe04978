"""`/api/fields`: what searches can ask by name, with types, operators and examples."""

from functools import cache

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from catalog.api.contract import Answer, Operation, operation
from catalog.api.requests import JSON, AnyRequest
from catalog.search import facets, query
from catalog.search.fields import FIELDS, Field, Type
from catalog.search.language import ALSO


class ShownField(msgspec.Struct, frozen=True):
    """A field: how the search box asks for it (`examples`), and by what CQL2 may ask (`operators`)."""

    name: str
    type: Type
    description: str
    examples: list[str]
    operators: list[str]
    # Other words that the search box takes for it.
    also: list[str]
    # All that it can be, where that is known.
    values: list[str]
    # The vocabulary that its concepts come from.
    vocabulary: str | None
    # Whether `facet` counts it.
    facet: bool


class FieldList(msgspec.Struct, frozen=True):
    """All fields, and all orders."""

    items: list[ShownField]
    sorts: list[str]


def _shown(field: Field) -> ShownField:
    return ShownField(
        name=field.name,
        type=field.type,
        description=field.description,
        examples=list(field.examples),
        operators=list(field.operators),
        also=[word for word, meant in ALSO.items() if meant == field.name],
        values=list(field.values),
        vocabulary=field.scheme,
        facet=field.name in facets.COUNTABLE,
    )


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(FieldList([_shown(field) for field in FIELDS.values()], list(query.SORTS)))


@operation(
    "GET",
    "/api/fields",
    Operation(
        id="list_fields",
        summary="List what can be asked by name",
        tag="search",
        scope=None,
        answers={200: Answer("The fields, in the order in which people look for them.", FieldList)},
    ),
)
async def list_fields(request: AnyRequest) -> Response[bytes]:  # ruff: ignore[ARG001] - Litestar passes it by name.
    """List the fields of the search box and of filters."""
    return Response(_encoded(), media_type=JSON)


ROUTES: list[HTTPRouteHandler] = [list_fields]
