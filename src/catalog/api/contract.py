"""What an operation promises, written beside its handler, and the OpenAPI document made of those promises.

Handlers read raw requests (so that one answer can list all faults); the promise here is what the document, the client
and the tests rely on. `tests/api/test_contract.py` holds every promise against the running service.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import msgspec
from litestar import Litestar, route
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import SecurityRequirement
from pydantic import BaseModel

from catalog import __version__
from catalog.access.scopes import Scope
from catalog.api import addressing, requests
from catalog.api.requests import JSON, AnyRequest

PROBLEM = "application/problem+json"
MERGE_PATCH = "application/merge-patch+json"

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": 'The revision the change starts from, as the ETag gave it ("3"), or * for any. Left out: 428.',
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Answer 304 when the object is still at this revision.",
    "schema": {"type": "string"},
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Any text of yours; repeating the request with it within 30 days makes nothing twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: its JSON Schema or model, and its media type; `also` are those that hold the same otherwise."""

    schema: type[BaseModel] | Mapping[str, Any]
    media_type: str = JSON
    example: Any = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful answer."""

    description: str
    schema: Any = None
    media_type: str = JSON
    headers: Mapping[str, str] | None = None
    # Media types in which the same is told, for whoever asks for them.
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One promise."""

    id: str
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    problems: tuple[int, ...] = ()
    query: type[BaseModel] | None = None
    headers: tuple[Mapping[str, Any], ...] = ()
    body: Body | None = None
    # Who may call it: nobody need say who they are, or a bearer token is needed.
    token: bool = False
    # What a token of ours has to be good for. Left out: to read for GET, to register for all others. None: for nothing
    # in particular, or the handler decides.
    scope: Scope | Literal["by method"] | None = "by method"
    description: str = ""

    def scope_for(self, method: str) -> Scope | None:
        """Return what a token has to be good for."""
        if self.scope == "by method":
            return Scope.READ if method == "GET" else Scope.REGISTER
        return self.scope


# Whoever looks whether we live, and stores that notify us, add to the address what they like.
DIALECTS = ("s3", "seaweedfs", "eventbridge", "sns")
OPEN = ("/livez", "/readyz", *(f"/api/notifications/{dialect}" for dialect in DIALECTS))


def operation(method: str, path: str, promise: Operation) -> Callable[[Any], HTTPRouteHandler]:
    """Make a route handler that carries its promise."""
    return route(
        path,
        http_method=[method],  # type: ignore[list-item]  # Litestar takes the method's name; its type says an enum.
        # Every handler answers with a status of its own; this one only satisfies the router.
        status_code=200,
        opt={"promise": promise, requests.NEEDED_SCOPE: promise.scope_for(method)},
        before_request=_looking(path, queried=promise.query is not None or path in OPEN),
        include_in_schema=False,
        name=promise.id,
    )


def _looking(path: str, *, queried: bool) -> Callable[[AnyRequest], Awaitable[None]] | None:
    """Return what is done before the handler: refuse parameters it does not have, look up an object that is named."""
    if "{object_id:" not in path:
        return None if queried else requests.no_query

    async def look(request: AnyRequest) -> None:
        if not queried:
            await requests.no_query(request)
        await addressing.look_up(request)

    return look


# What may happen to any request, whatever the operation.
ALWAYS = (400, 401, 429, 500, 503)
TAGS = {
    "objects": "Registering, reading and changing objects.",
    "files": "Bytes: uploads and downloads, by signed links to the store.",
    "jobs": "Computations outside the catalog: what they are given and give back, by a key.",
    "versions": "Published states of an object, and what it went through.",
    "dois": "Digital object identifiers: made, registered, and what stands in the way.",
    "provenance": "Where objects come from, and what was made of them.",
    "search": "Finding objects, with facets and links.",
    "kinds": "What an object can be.",
    "vocabularies": "Controlled terms: schemes of concepts with labels in several languages.",
    "access": "Organizations, projects, roles, grants, tokens and service accounts: who may see and change what.",
    "retention": "How long things are kept, what is held, and what is due to be removed.",
    "curation": "What needs attention, and changes of many objects at once.",
    "notifications": "Where buckets tell the catalog to look at a key.",
    "operations": "How the catalog itself is doing, and who was given what.",
}

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "What went wrong (RFC 9457), with all faults at once.",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "examples": ["/problems/invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) to the place of the fault."},
                    "message": {"type": "string"},
                    "suggestion": {"type": "string"},
                },
            },
        },
    },
}


def promises(app: Litestar) -> Iterable[tuple[str, str, Operation]]:
    """Yield path, method and promise of every operation of the app."""
    for one in app.routes:
        for handler in getattr(one, "route_handlers", []):
            promise = handler.opt.get("promise")
            if promise is not None:
                for method in handler.http_methods:
                    yield re.sub(r":\w+}", "}", one.path_format), str(method), promise


def document(app: Litestar) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the app's promises."""
    schemas: dict[str, Any] = {"Problem": PROBLEM_SCHEMA}
    paths: dict[str, dict[str, Any]] = {}
    for path, method, promise in sorted(promises(app), key=lambda one: (one[0], one[1])):
        paths.setdefault(path, {})[method.lower()] = _operation(path, method, promise, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Catalog",
            "version": __version__,
            "summary": "A metadata catalog and search service for scientific objects.",
            "description": (
                "Register objects, upload their files straight to the store through tickets, find them, and download "
                "through signed links. Errors are problem details (RFC 9457) that list every fault with its place."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "contact": {"name": "The catalog's maintainers"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the catalog (`cat_…`), or an access token of its OpenID provider. One "
                    "of ours may be good for less than its holder: an operation names the scope that it needs.",
                }
            },
        },
    }


def _operation(path: str, method: str, promise: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        | ({"description": addressing.SPELLINGS} if name == "object_id" else {})
        for name in re.findall(r"{(\w+)}", path)
    ]
    if promise.query is not None:
        parameters += _query_parameters(promise.query, schemas)
    parameters += [dict(header) for header in promise.headers]
    scope = promise.scope_for(method)
    problems = sorted({*ALWAYS, *promise.problems, *([] if scope is None else [403])})
    anonymous: list[SecurityRequirement] = [] if promise.token else [{}]
    described: dict[str, Any] = {
        "operationId": promise.id,
        "summary": promise.summary,
        "tags": [promise.tag],
        # The scope that a token needs (OpenAPI 3.1.0, section 4.8.30).
        "security": [*anonymous, {"token": [] if scope is None else [scope.value]}],
        "responses": {
            **{str(status): _answer(answer, schemas) for status, answer in promise.answers.items()},
            **{
                str(status): {
                    "description": HTTPStatus(status).phrase,
                    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status in problems
            },
        },
    }
    if promise.description:
        described["description"] = promise.description
    if parameters:
        described["parameters"] = parameters
    if promise.body is not None:
        content: dict[str, Any] = {"schema": _schema(promise.body.schema, schemas)}
        if promise.body.example is not None:
            content["example"] = promise.body.example
        others: dict[str, Any] = {media_type: {"schema": {"type": "string"}} for media_type in promise.body.also}
        described["requestBody"] = {"required": True, "content": {promise.body.media_type: content} | others}
    return described


def _path_schema(name: str) -> dict[str, Any]:
    if name.endswith("_id"):
        return {"type": "string", "format": "uuid"}
    return {"type": "string", "minLength": 1}


def _query_parameters(model: type[BaseModel], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    parameters = []
    for name, described in schema["properties"].items():
        text = described.pop("description", None)
        options = [option for option in described.get("anyOf", []) if option.get("type") != "null"]
        parameter = {"name": name, "in": "query", "schema": options[0] if len(options) == 1 else described}
        if text:
            parameter["description"] = text
        if parameter["schema"].get("type") == "array":
            parameter |= {"style": "form", "explode": True}
        parameters.append(parameter)
    return parameters


def _answer(answer: Answer, schemas: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.schema is not None:
        described["content"] = {answer.media_type: {"schema": _schema(answer.schema, schemas)}}
        described["content"] |= {media_type: {} for media_type in answer.also}
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return described


def _schema(wanted: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if isinstance(wanted, Mapping):
        return dict(wanted)
    template = "#/components/schemas/{name}"
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        schema = wanted.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[wanted.__name__] = schema
        return {"$ref": f"#/components/schemas/{wanted.__name__}"}
    (schema,), components = msgspec.json.schema_components([wanted], ref_template=template)
    schemas.update(components)
    return schema
