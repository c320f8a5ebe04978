"""What every page is sent with, and forms that change something: their key, their fields, and where they lead.

A form counts when it has the key that only pages of the session have, and comes from our own origin (OWASP, "Cross-Site
Request Forgery Prevention").
"""

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from litestar import Response

from catalog.api import requests
from catalog.api.requests import AnyRequest
from catalog.errors import Forbidden, Invalid
from catalog.web import login, rendering

NO_STORE = {"Cache-Control": "no-store"}
FORM_BYTES_MAX = 256 * 1024
FORM_FIELDS_MAX = 2_000
_FORM = "application/x-www-form-urlencoded"


def page(html: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
    """Return a page under the policy of all pages; what is shown to somebody who is logged in is kept nowhere."""
    told = {**rendering.SECURITY_HEADERS, **(headers or {})}
    who = login.account.get()
    if who is not None and who.name is not None:
        # It is one person's, and nothing is left of it when that person has logged out.
        told["Cache-Control"] = "private, no-store"
    return Response(html, status_code=status, media_type="text/html", headers=told)


def sent_to(address: str) -> Response[Any]:
    """Send the browser on to a page after a form has changed something: reloading that page changes nothing again."""
    return Response(b"", status_code=303, headers={"Location": address, "Cache-Control": "no-store"})


async def form(request: AnyRequest) -> list[tuple[str, str]]:
    """Return the fields of a form of this session, in their order; raises Forbidden for any other form, Invalid."""
    body = await requests.body(request, media_types=(_FORM,), most_bytes=FORM_BYTES_MAX)
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX
        )
    except ValueError:
        message = f"A form has at most {FORM_FIELDS_MAX:,} fields, in UTF-8."
        raise Invalid(message) from None
    key = next((value for name, value in fields if name == "key"), "")
    ours = await login.form_key(request)
    if ours is None or not login.is_our_origin(request) or not secrets.compare_digest(key.encode(), ours.encode()):
        raise Forbidden("This form is not of your session; go back to a page of the catalog and send it from there.")
    return [(name, value) for name, value in fields if name != "key"]
