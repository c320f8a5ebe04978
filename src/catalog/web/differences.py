"""The page of what differs between two states of an object: versions as they were published, or the object as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from catalog.api import requests
from catalog.api import versions as versions_api
from catalog.api.requests import AnyRequest
from catalog.web import login, rendering, wording
from catalog.web.answers import page
from catalog.web.details import Detail, detail_of
from catalog.web.state import State

CHANGES = {"added": "Added", "removed": "Removed", "changed": "Changed"}
# How the API calls the object as it stands, as one side of a comparison.
NOW = "draft"


@get("/objects/{object_id:str}/versions/{version:str}/diff/{other:str}", include_in_schema=False)
async def show_differences(request: AnyRequest) -> Response[str]:
    """Show what differs between two states of an object."""
    object_id = requests.object_id(request)
    told = await versions_api.compared(request, object_id, await login.visitor(request))
    html = render_differences(
        msgspec.to_builtins(told),
        str(object_id),
        json_address=f"/api{request.scope['path']}",
    )
    return page(html, headers={"Cache-Control": "no-cache"})


def render_differences(told: Mapping[str, Any], object_id: str, *, json_address: str) -> str:
    """Return the page for an answer of `GET …/versions/{version}/diff/{other}`."""
    today = wording.object_address(object_id)
    return rendering.render(
        "differences.html",
        state=State(),
        today=today,
        sides=[_side(told["before"], today), _side(told["after"], today)],
        differences=[
            {
                "place": place_of(one["pointer"]),
                "change": CHANGES[one["change"]],
                "before": _value(one["pointer"], one["before"]) if one["change"] != "added" else None,
                "after": _value(one["pointer"], one["after"]) if one["change"] != "removed" else None,
            }
            for one in told["items"]
        ],
        json_address=json_address,
    )


def place_of(pointer: str) -> str:
    """Return a JSON pointer (RFC 6901) as people read it: labels of fields, and numbers from one."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    if parts[:1] == ["files"]:
        return f"File {'/'.join(parts[1:])}" if parts[1:] else "Files"
    words = [str(int(part) + 1) if part.isascii() and part.isdigit() else wording.label_of(part) for part in parts]
    return " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(words)


def _side(name: str, today: str) -> tuple[str, str]:
    return ("The object as it is", today) if name == NOW else (f"Version {name}", f"{today}/versions/{name}")


def _value(pointer: str, value: Any) -> Sequence[Detail]:
    key = pointer.rpartition("/")[2]
    return [detail_of(key, value)]


PAGES: list[HTTPRouteHandler] = [show_differences]
