"""How to cite an object: one line of text in the manner of APA, and BibTeX.

Pure. Names are used as their owners wrote them: only "Family, Given" tells which part is which, and guessing wrongly
misnames people.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

# Publication Manual of the American Psychological Association, 7th ed., 9.8: from 21 authors on, 19 and the last.
APA_AUTHORS_MAX = 20
KEY_CHARS_MAX = 60
_YEAR_FROM = ("Issued", "Created", "Collected")
_BIBTEX = str.maketrans({
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
})  # fmt: skip


def year_of(entry: Mapping[str, Any]) -> str:
    """Return the year of issue, else of creation, else of collection, else of registration."""
    for wanted in _YEAR_FROM:
        for dated in entry.get("dates") or ():
            if dated["type"] == wanted:
                return str(dated["date"])[:4]
    return str(entry["created_at"])[:4]


def apa(entry: Mapping[str, Any], kind_title: str, publisher: str, address: str) -> str:
    """Return the reference as one line."""
    names = [_apa_name(creator) for creator in entry["creators"]]
    # No second full stop after an initial, nor after a title that ends in its own mark.
    authors = _stopped(_apa_names(names))
    return f"{authors} ({year_of(entry)}). {entry['title']} [{kind_title}]. {publisher}. {address}"


def _apa_name(creator: Mapping[str, Any]) -> str:
    name = str(creator["name"])
    family, comma, given = (part.strip() for part in name.partition(","))
    if creator.get("type", "person") != "person" or not comma or not given:
        return name
    initials = " ".join("-".join(f"{part[0]}." for part in word.split("-") if part) for word in given.split())
    return f"{family}, {initials}"


def _apa_names(names: Sequence[str]) -> str:
    if len(names) > APA_AUTHORS_MAX:
        return f"{', '.join(names[: APA_AUTHORS_MAX - 1])}, … {names[-1]}"
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])}, & {names[-1]}"


def _stopped(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def bibtex(entry: Mapping[str, Any], publisher: str, address: str) -> str:
    """Return the reference as a BibTeX entry that classic styles accept."""
    fields = {
        "author": " and ".join(_bibtex_name(creator) for creator in entry["creators"]),
        # The inner braces keep the capitals that styles would take away.
        "title": f"{{{_escaped(entry['title'])}}}",
        "year": year_of(entry),
        "publisher": _escaped(publisher),
        "url": address,
        "note": _escaped(f"Revision {entry['revision']}"),
    }
    width = max(len(name) for name in fields)
    lines = ",\n".join(f"  {name.ljust(width)} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{{key_of(entry)},\n{lines}\n}}"


def _bibtex_name(creator: Mapping[str, Any]) -> str:
    name = _escaped(str(creator["name"]))
    # BibTeX splits names at " and " and at commas: braces keep an organization in one piece.
    person = creator.get("type", "person") == "person" and " and " not in name.lower()
    return name if person else f"{{{name}}}"


def _escaped(text: str) -> str:
    return " ".join(text.translate(_BIBTEX).split())


def key_of(entry: Mapping[str, Any]) -> str:
    """Return a citation key that people can remember: family name, year, first long word of the title."""
    name = str(entry["creators"][0]["name"])
    family = name.partition(",")[0] if "," in name else name.rsplit(maxsplit=1)[-1]
    word = next((w for w in re.findall(r"\w+", entry["title"]) if len(w) > len("with")), "")
    plain = [re.sub(r"[^a-z0-9]", "", _folded(part)) for part in (family, year_of(entry), word)]
    return "".join(plain)[:KEY_CHARS_MAX] if plain[0] else f"catalog{plain[1]}{str(entry['id'])[-12:]}"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKD", text).lower()
