"""How to cite a work: a line of text in the manner of APA or Vancouver, BibTeX, RIS and CSL-JSON.

Pure. Names are used as their owners wrote them: only "Family, Given" tells which part is which, and guessing wrongly
misnames people.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from catalog.exchange.work import Work, family_and_given

# Publication Manual of the American Psychological Association, 7th ed., 9.8: from 21 authors on, 19 and the last.
APA_AUTHORS_MAX = 20
# Citing Medicine, 2nd ed., chapter 1: six authors, then "et al."
VANCOUVER_AUTHORS_MAX = 6
KEY_CHARS_MAX = 60
# The random part of an id.
ID_CHARS_IN_KEY = 12
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
_NAME_PARTS = re.compile(r"[\s.-]+")
_BIBTEX_PLAIN = str.maketrans({"{": "", "}": "", "\\": "", "\n": " "})


def apa(work: Work) -> str:
    """Return the reference as one line in the manner of APA."""
    names = [_apa_name(creator) for creator in work.creators]
    # No second full stop after an initial, nor after a title that ends in its own mark.
    authors = _stopped(_apa_names(names))
    edition = f" ({_edition(work)})" if work.version else ""
    return f"{authors} ({work.year}). {work.title}{edition} [{work.kind_title}]. {work.published_by}. {work.link}"


def _apa_name(creator: Mapping[str, Any]) -> str:
    parts = family_and_given(creator)
    if parts is None:
        return str(creator["name"])
    family, given = parts
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


def _edition(work: Work) -> str:
    return f"Version {work.version}"


def vancouver(work: Work) -> str:
    """Return the reference as one line in the manner of Vancouver."""
    names = [_vancouver_name(creator) for creator in work.creators[:VANCOUVER_AUTHORS_MAX]]
    more = ", et al" if len(work.creators) > VANCOUVER_AUTHORS_MAX else ""
    edition = f" {_edition(work)}." if work.version else ""
    authors = _stopped(", ".join(names) + more)
    return (
        f"{authors} {work.title} [{work.kind_title}].{edition} {work.published_by}; {work.year}. "
        f"Available from: {work.link}"
    )


def _vancouver_name(creator: Mapping[str, Any]) -> str:
    parts = family_and_given(creator)
    if parts is None:
        return str(creator["name"])
    family, given = parts
    return f"{family} {''.join(part[0].upper() for part in _NAME_PARTS.split(given) if part)}"


def bibtex(work: Work, key: str | None = None) -> str:
    """Return the reference as a BibTeX entry that classic styles accept, under its own key or the one given."""
    fields = {
        "author": " and ".join(_bibtex_name(creator) for creator in work.creators),
        # The inner braces keep the capitals that styles would take away.
        "title": f"{{{_escaped(work.title)}}}",
        "year": work.year,
        "publisher": _escaped(work.published_by),
        # Styles of biblatex, and programs that keep references, know it; classic styles pass over it.
        "keywords": ", ".join(_escaped(word) for word in work.words),
        # Verbatim in the styles that know it; an identifier holds no braces.
        "doi": (work.doi or "").translate(_BIBTEX_PLAIN),
        "url": work.link,
        "note": _edition(work) if work.version else f"Revision {work.revision}" if work.revision else "",
    }
    told = {name: value for name, value in fields.items() if value}
    width = max(len(name) for name in told)
    lines = ",\n".join(f"  {name.ljust(width)} = {{{value}}}" for name, value in told.items())
    return f"@misc{{{key or key_of(work)},\n{lines}\n}}"


def _bibtex_name(creator: Mapping[str, Any]) -> str:
    name = _escaped(str(creator["name"]))
    # BibTeX splits names at " and " and at commas: braces keep an organization in one piece.
    person = creator.get("type", "person") == "person" and " and " not in name.lower()
    return name if person else f"{{{name}}}"


def _escaped(text: str) -> str:
    return " ".join(text.translate(_BIBTEX).split())


def key_of(work: Work) -> str:
    """Return a citation key that people can remember: family name, year, first long word of the title."""
    name = str(work.creators[0]["name"])
    family = name.partition(",")[0] if "," in name else name.rsplit(maxsplit=1)[-1]
    word = next((w for w in re.findall(r"\w+", work.title) if len(w) > len("with")), "")
    plain = [re.sub(r"[^a-z0-9]", "", _folded(part)) for part in (family, work.year, word)]
    return "".join(plain)[:KEY_CHARS_MAX] if plain[0] else f"catalog{plain[1]}{work.id[-12:]}"


def key_among_many(work: Work) -> str:
    """Return a citation key that no other work has, however many stand in one list."""
    return f"{key_of(work)}-{work.id[-ID_CHARS_IN_KEY:]}"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKD", text).lower()


def ris(work: Work) -> str:
    """Return the reference as RIS: a tag, two spaces, a dash and a space; lines end in CR LF (RIS, 2011)."""
    issued = next((one["date"] for one in work.record.get("dates") or () if one["type"] == "Issued"), "")
    lines = [("TY", work.genre.ris)]
    lines += [("AU", str(creator["name"])) for creator in work.creators]
    lines += [
        ("TI", work.title),
        ("PY", work.year),
        ("DA", str(issued).partition("T")[0].partition("/")[0].replace("-", "/")),
        ("PB", work.published_by),
        ("ET", work.version or ""),
        ("LA", work.record.get("language") or ""),
        ("AB", work.record.get("description") or ""),
        *(("KW", word) for word in work.words),
        ("DO", work.doi or ""),
        ("UR", work.link),
    ]
    # A line break would begin another field.
    told = [f"{tag}  - {' '.join(str(value).split())}" for tag, value in lines if value]
    return "\r\n".join([*told, "ER  - ", ""])


def csl(work: Work) -> dict[str, Any]:
    """Return the reference as an item of CSL-JSON (Citation Style Language 1.0.2, "csl-data.json")."""
    issued = next((one["date"] for one in work.record.get("dates") or () if one["type"] == "Issued"), work.year)
    day = str(issued).partition("T")[0].partition("/")[0]
    fields = {
        "id": work.doi or work.id,
        "type": work.genre.csl,
        "title": work.title,
        "author": [_csl_name(creator) for creator in work.creators],
        "issued": {"date-parts": [[int(part) for part in day.split("-")]]},
        "publisher": work.published_by,
        "genre": work.kind_title,
        "version": work.version,
        "language": work.record.get("language"),
        "abstract": work.record.get("description"),
        "keyword": ", ".join(work.words),
        "DOI": work.doi,
        "URL": work.link,
    }
    return {name: value for name, value in fields.items() if value}


def _csl_name(creator: Mapping[str, Any]) -> dict[str, str]:
    parts = family_and_given(creator)
    return {"literal": str(creator["name"])} if parts is None else {"family": parts[0], "given": parts[1]}
