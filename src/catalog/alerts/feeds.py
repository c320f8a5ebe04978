"""A saved search as a feed: Atom (RFC 4287) and JSON Feed 1.1.

Pure. An entry is what its reader may see now; its moment is that at which the owner came to see it, so that nothing in
a feed tells of what was hidden before.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

import msgspec

from catalog.alerts.matches import Told
from catalog.alerts.saved import Saved

ATOM = "application/atom+xml"
JSON_FEED = "application/feed+json"
_ATOM_NAMES = "http://www.w3.org/2005/Atom"
_JSON_FEED_VERSION = "https://jsonfeed.org/version/1.1"
SUMMARY_CHARS_MAX = 500
# What XML 1.0, section 2.2, has no way to write.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Feed:
    """What is shown: the search, its entries, who publishes, and where the pages and this feed are."""

    search: Saved
    entries: Sequence[Told]
    publisher: str
    # Where the catalog is, and this feed, with its key where it was asked for with one.
    address: str
    own_address: str

    @property
    def updated(self) -> datetime:
        """When the newest entry came, else when the question was asked."""
        return self.entries[0].seen_at if self.entries else self.search.asked_at

    def page_of(self, one: Told) -> str:
        """Return the address of the page of an object."""
        return f"{self.address}/objects/{one.id}"


def atom(feed: Feed) -> bytes:
    """Return the feed in Atom."""
    root = ET.Element("feed", xmlns=_ATOM_NAMES)
    _add(root, "id", f"urn:uuid:{feed.search.id}")
    _add(root, "title", feed.search.name)
    _add(root, "updated", feed.updated.isoformat())
    _add(_add(root, "author"), "name", feed.publisher)
    _add(root, "link", rel="self", type=ATOM, href=feed.own_address)
    _add(root, "link", rel="alternate", type="text/html", href=feed.address)
    for one in feed.entries:
        entry = _add(root, "entry")
        _add(entry, "id", f"urn:uuid:{one.id}")
        _add(entry, "title", one.title)
        _add(entry, "updated", one.seen_at.isoformat())
        _add(entry, "published", one.created_at.isoformat())
        _add(entry, "link", rel="alternate", type="text/html", href=feed.page_of(one))
        _add(entry, "category", term=one.kind)
        _add(entry, "summary", shortened(one.description) or one.title)
    told: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return told


def json_feed(feed: Feed) -> bytes:
    """Return the feed as JSON Feed 1.1."""
    return msgspec.json.encode(
        {
            "version": _JSON_FEED_VERSION,
            "title": feed.search.name,
            "home_page_url": feed.address,
            "feed_url": feed.own_address,
            "authors": [{"name": feed.publisher}],
            "items": [_item(feed, one) for one in feed.entries],
        }
    )


def _item(feed: Feed, one: Told) -> dict[str, Any]:
    return {
        "id": f"urn:uuid:{one.id}",
        "url": feed.page_of(one),
        "title": one.title,
        "content_text": shortened(one.description) or one.title,
        "date_published": one.created_at.isoformat(),
        "date_modified": one.seen_at.isoformat(),
        "tags": [one.kind, one.project],
    }


def shortened(text: str) -> str:
    """Return the beginning of a text, ended between words."""
    if len(text) <= SUMMARY_CHARS_MAX:
        return text
    return text[:SUMMARY_CHARS_MAX].rsplit(maxsplit=1)[0] + "\N{HORIZONTAL ELLIPSIS}"


def _add(parent: ET.Element, name: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, name, attributes)
    if text is not None:
        element.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    return element
