"""How a value reads on a page: sizes, dates, labels, and the only two texts that may carry markup or an address.

Pure. Everything returned as `Markup` was built here from escaped pieces; everything else is escaped by the templates.
"""

import html
import re
from datetime import UTC, date, datetime
from urllib.parse import quote, urlsplit

from markupsafe import Markup, escape

from catalog.objects import kinds
from catalog.storage.backends import Health
from catalog.storage.health import Standing

# Abbreviations that a plain capital would spoil, and units that a key carries in its name.
_SPELLED = {
    "doi": "DOI",
    "dois": "DOIs",
    "dtype": "data type",
    "ecr": "ECR",
    "hz": "(Hz)",
    "id": "identifier",
    "json": "JSON",
    "onnx": "ONNX",
    "orcid": "ORCID",
    "ror": "ROR",
    "sha256": "SHA-256",
    "url": "URL",
}
# Not strftime: its month names follow the server's locale.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_TAG = re.compile("(</?mark>)")
_PARTIAL = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_UNIT_STEP = 1000

STATES = {
    "available": "Available",
    "expected": "Awaiting upload",
    "mismatched": "Differs from its declaration",
    "missing": "Missing from the store",
    "overwritten": "Overwritten in the store since; as published",
    "lost": "Lost from the store since it was published",
}


def size_text(size: int) -> str:
    """Return a size people can compare, in decimal units: 1.2 MB."""
    if size < _UNIT_STEP:
        return f"{size} B"
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        amount /= _UNIT_STEP
        # 999.95 would print as 1000.0: that is one of the next unit.
        if amount < _UNIT_STEP - 0.05:
            return f"{amount:.1f} {unit}"
    return f"{amount:.1f} PB"


def size_range(text: str) -> str:
    """Return a range of sizes in bytes as people read it: 1000..999999 is 1.0 kB to 1.0 MB; anything else as it is."""
    low, dots, high = text.partition("..")
    if not dots or not (low or "0").isascii() or not (low or "0").isdigit() or not (high or "0").isdigit():
        return text
    if not high:
        return f"{size_text(int(low or '0'))} or more"
    above = size_text(int(high) + 1)
    return f"{size_text(int(low))} to {above}" if low else f"less than {above}"


def number_text(number: float) -> str:
    """Return a number with grouped thousands; what is no whole number keeps its digits."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.10g}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number with the noun in its form: 1 file, 3 files."""
    return f"{number_text(number)} {one if number == 1 else many}"


def date_text(text: str) -> str:
    """Return an ISO 8601 date, part of one, moment or range as people write it; anything else as it stands."""
    return " \N{EN DASH} ".join(_day(part) for part in text.split("/"))


def _day(text: str) -> str:
    try:
        if found := _PARTIAL.fullmatch(text):
            year, month, day = (int(part) if part else None for part in found.groups())
            if month is None:
                return text
            if day is None:
                return f"{_MONTHS[date(year or 1, month, 1).month - 1]} {year}"
            return _written(date(year or 1, month, day))
        return moment_text(text)
    except (ValueError, OverflowError):
        # Overflow: in UTC it would be in a year that the calendar of Python does not have.
        return text


def _written(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def moment_text(moment: str) -> str:
    """Return an RFC 3339 moment to the minute in UTC; raises ValueError for anything else."""
    read = datetime.fromisoformat(moment)
    utc = read.astimezone(UTC) if read.tzinfo else read
    return f"{_written(utc)}, {utc:%H:%M} UTC" if read.tzinfo else f"{_written(utc)}, {utc:%H:%M}"


def instant_text(moment: str) -> str:
    """Return an RFC 3339 moment as HTML takes it: to the second (HTML Standard, "valid date and time")."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def day_text(moment: str) -> str:
    """Return the UTC day of an RFC 3339 moment; raises ValueError for anything else."""
    read = datetime.fromisoformat(moment)
    return _written(read.astimezone(UTC) if read.tzinfo else read)


def lower_first(text: str) -> str:
    """Return a label for the middle of a sentence; an abbreviation keeps its capitals."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def label_of(key: str) -> str:
    """Return the label of a key: `sampling_rate_hz` is "Sampling rate (Hz)"."""
    words = [_SPELLED.get(word.lower(), word) for word in re.split(r"[_\s]+", key) if word]
    if not words:
        return key
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]])


_HIDDEN = {
    "private": "Private",
    "project": "For its project",
    "organization": "For its organization",
    "embargoed": "Embargoed",
}


def visibility_text(visibility: str, embargo_until: str | None) -> str | None:
    """Say to whom an object is hidden; None for a public one."""
    text = _HIDDEN.get(visibility)
    return f"{text} until {date_text(embargo_until[:10])}" if text and embargo_until else text


def kind_title(name: str) -> str:
    """Return what people call a kind; a kind no longer known keeps its name."""
    kind = kinds.known().get(name)
    return kind.title if kind else label_of(name.replace("-", " "))


def marked(highlight: str) -> Markup:
    """Return a search highlight as markup in which `<mark>` is the only element, whatever it came with.

    The engine escapes the text around its marks. That is not trusted: each piece is read back and escaped again, and
    marks that do not pair are dropped.
    """
    pieces = _TAG.split(highlight)
    tags = pieces[1::2]
    paired = tags == ["<mark>", "</mark>"] * (len(tags) // 2)
    return Markup("").join(
        (Markup(piece) if paired else "") if place % 2 else escape(html.unescape(piece))  # noqa: S704 - one of two literals.
        for place, piece in enumerate(pieces)
    )


_CODE = re.compile("`([^`]+)`")


def coded(text: str) -> Markup:
    """Return a text of ours in which `such` words are code, as they are in the file that it comes from."""
    pieces = _CODE.split(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece) for place, piece in enumerate(pieces)
    )


# Licences of Creative Commons are named by an address, which says which one it is.
_CREATIVE_COMMONS = re.compile(
    r"https?://creativecommons[.]org/(?:licenses/([a-z-]+)|publicdomain/(zero))/([0-9.]+)/?.*"
)


def licence_text(licence: str) -> str:
    """Return what a licence is called that may be named by an address: CC BY 4.0; anything else as it stands."""
    found = _CREATIVE_COMMONS.fullmatch(licence)
    if found is None:
        return licence
    return f"CC {found[1].upper()} {found[3]}" if found[1] else f"CC0 {found[3]}"


def unmarked(highlight: str) -> str:
    """Return the plain text of a search highlight."""
    return html.unescape(_TAG.sub("", highlight))


def safe_address(address: str | None) -> str | None:
    """Return an address a page may link to, or none: http and https with a host, and paths on this server."""
    if address is None or any(character.isspace() or not character.isprintable() for character in address):
        return None
    # A browser reads "//host" and "/\host" as another server.
    if address.startswith("/"):
        return None if address[1:2] in {"/", "\\"} else address
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return address if parts.scheme in {"http", "https"} and parts.hostname else None


def object_address(object_id: str) -> str:
    """Return the path of an object's page."""
    return f"/objects/{quote(object_id, safe='')}"


def health_text(standing: Standing | None) -> str:
    """Say how a store was found, where it was tried at all."""
    if standing is None:
        return "not tried yet"
    if standing.state is Health.FAILING:
        return "fails"
    return "works" if standing.suspected_at is None else "failed just now"
