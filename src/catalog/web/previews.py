"""The page that shows a file without a download: a picture, a sound, first rows of a table, how a text begins."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from catalog.api import previews as previews_api
from catalog.api.previews import EXCERPT_BYTES_MAX, TABLES, Form, Preview
from catalog.api.requests import AnyRequest
from catalog.web import login, rendering, wording
from catalog.web.answers import page
from catalog.web.state import State

ROWS_SHOWN_MAX = 50
COLUMNS_SHOWN_MAX = 40
# Of letters that could not be read: more of them are no text in UTF-8.
UNREADABLE_SHARE_MAX = 0.05
CELL_CHARS_MAX = 500
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Sheet:
    """The first rows of a table, and what of it is not shown."""

    heading: Sequence[str]
    rows: Sequence[Sequence[str]]
    more_rows: bool
    columns_left_out: int


@get("/objects/{object_id:str}/preview/{path:path}", include_in_schema=False)
async def show_preview(request: AnyRequest) -> Response[str]:
    """Show a file, or how it begins."""
    preview = await previews_api.read(request, await login.visitor(request), base="/objects")
    headers = {"Cache-Control": "no-store"}
    if preview.link is not None:
        parts = urlsplit(preview.link.href)
        headers["Content-Security-Policy"] = rendering.policy_with(f"{parts.scheme}://{parts.netloc}")
    return page(render_preview(preview), headers=headers)


def render_preview(preview: Preview) -> str:
    """Return the page of a preview."""
    file = preview.file
    text = readable(preview.excerpt)
    plain = file.media_type.partition(";")[0].strip().lower()
    sheet = None
    if preview.form is Form.TABLE and text:
        sheet = sheet_of(text, TABLES[plain], whole=preview.whole)
    place = quote(file.path, safe="/")
    today = wording.object_address(str(preview.entry.id))
    return rendering.render(
        "preview.html",
        state=State(),
        title=preview.entry.record["title"],
        object_address=today,
        path=file.path,
        name=file.path.rsplit("/", 1)[-1],
        about=f"{wording.size_text(file.size)}, {file.media_type}",
        form=preview.form.value if preview.form else None,
        address=preview.link.href if preview.link else None,
        sheet=sheet,
        text=text,
        cut=not preview.whole,
        shown=wording.size_text(len(preview.excerpt)),
        download_address=f"{today}/files/{place}",
        most=wording.size_text(EXCERPT_BYTES_MAX),
    )


def readable(excerpt: bytes) -> str | None:
    """Return bytes as text in UTF-8, without what the end of an excerpt has cut in two; None for what is no text."""
    text = excerpt.decode("utf-8-sig", "replace")
    # What the end has cut of a letter is told as one such mark.
    text = text.removesuffix(_UNREADABLE)
    if "\x00" in text or text.count(_UNREADABLE) > UNREADABLE_SHARE_MAX * len(text):
        return None
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t\r")


def sheet_of(text: str, delimiter: str, *, whole: bool) -> Sheet | None:
    """Return the first rows of a table (RFC 4180); None where there are none."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows.append(row)
            if len(rows) > ROWS_SHOWN_MAX + 2:
                break
    except csv.Error:
        pass
    if not whole and len(rows) <= ROWS_SHOWN_MAX + 2:
        # The last one was cut by the end of the excerpt.
        rows = rows[:-1]
    rows = [row for row in rows if row]
    if not rows:
        return None
    widest = max(map(len, rows))
    shown = min(widest, COLUMNS_SHOWN_MAX)
    even = [[*(cell[:CELL_CHARS_MAX] for cell in row[:shown]), *[""] * (shown - len(row))] for row in rows]
    return Sheet(
        heading=even[0],
        rows=even[1 : ROWS_SHOWN_MAX + 1],
        more_rows=not whole or len(rows) > ROWS_SHOWN_MAX + 1,
        columns_left_out=widest - shown,
    )


PAGES: list[HTTPRouteHandler] = [show_preview]
