"""The page of an object's lineage: a picture whose boxes are links, the same in words, and where the object is used."""

from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from catalog.api import objects as objects_api
from catalog.api import provenance as provenance_api
from catalog.api import requests
from catalog.api.requests import AnyRequest
from catalog.errors import Fault, Invalid
from catalog.provenance.graph import Direction
from catalog.web import drawing, login, rendering, wording
from catalog.web.answers import page
from catalog.web.state import State

DEPTHS = (1, 2, 3, 5)
DEPTH_DEFAULT = 2


@get("/objects/{object_id:str}/provenance", include_in_schema=False)
async def show_lineage(request: AnyRequest) -> Response[str]:
    """Show what an object came from and what came of it."""
    object_id = requests.object_id(request)
    text = request.query_params.get("depth", str(DEPTH_DEFAULT))
    if text not in map(str, DEPTHS):
        message = f"one of {', '.join(map(str, DEPTHS))}"
        raise Invalid("That many steps cannot be drawn.", faults=[Fault("/depth", message)])
    visitor = await login.visitor(request)
    entry = await objects_api.read(request, object_id, visitor)
    graph = await provenance_api.read(
        request, object_id, visitor, direction=Direction.BOTH, depth=int(text), most=drawing.NODES_DRAWN_MAX
    )
    html = render_lineage(msgspec.to_builtins(graph), str(entry.record["title"]))
    return page(html, headers={"Cache-Control": "no-cache"})


def render_lineage(graph: dict[str, Any], title: str) -> str:
    """Return the page for an answer of `GET …/provenance` with both directions."""
    here = drawing.lineage_address(graph["object"])
    picture = drawing.drawn(graph)
    dependents = graph["dependents"] or {"visible": 0, "hidden": False}
    return rendering.render(
        "lineage.html",
        state=State(),
        title=title,
        object_address=wording.object_address(graph["object"]),
        picture=picture,
        depths=[(depth, f"{here}?depth={depth}", depth == graph["depth"]) for depth in DEPTHS],
        width=drawing.NODE_WIDTH,
        height=drawing.NODE_HEIGHT,
        more=picture.left_out > 0 or not graph["complete"],
        dependents=dependents["visible"],
        hidden=dependents["hidden"],
        json_address=f"/api/objects/{graph['object']}/provenance?direction=both&depth={graph['depth']}",
    )


PAGES: list[HTTPRouteHandler] = [show_lineage]
