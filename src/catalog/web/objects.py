"""The page of one object: what it is, its bytes, where and when it holds, how to cite it, what the record went through.

Pure. Nothing is left out because a template does not know it: what only the kind or the people said is shown by shape.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec
from markupsafe import Markup

from catalog.api.previews import FOLDER, form_of
from catalog.exchange import citation, schema_org
from catalog.exchange.formats import FORMATS
from catalog.exchange.work import Work
from catalog.web import rendering, wording
from catalog.web.details import Detail, Listing, Text, entries_of
from catalog.web.drawing import lineage_address
from catalog.web.lineage import Traced
from catalog.web.state import State

MEMBER_TYPES = {"object": "Object of this catalog", "git": "Git commit", "image": "Container image", "url": "Address"}
DIGEST_CHARS_SHOWN = 12
# Enough to go on with; `catalog similar` tells more.
SIMILAR_SHOWN = 5
SIMILAR_TRAITS_SHOWN = 4
# What a description may leave out, and the page asks for.
DESCRIBED = ("name", "licence", "coverage", "external")
# States in which the bytes of a file are had.
SERVED = frozenset({"available", "overwritten"})


@dataclass(frozen=True, slots=True)
class Removal:
    """That an object is about to be removed: when at the earliest, and by which rule, standing where."""

    at: str
    rule: str
    place: str


@dataclass(frozen=True, slots=True)
class Creator:
    """A person or organization, with the page that identifies it."""

    name: str
    organization: bool
    identifier: str | None
    identifier_address: str | None
    affiliation: str | None
    affiliation_address: str | None


@dataclass(frozen=True, slots=True)
class Similar:
    """Another object, and what the two share."""

    title: str
    address: str
    kind_label: str
    shared: Sequence[str]


@dataclass(frozen=True, slots=True)
class File:
    """One row of the files table."""

    path: str
    folder: str
    name: str
    size: str
    size_exact: str
    media_type: str
    sha256: str
    sha256_short: str
    state: str
    state_label: str
    address: str | None
    preview_address: str | None
    found: str | None


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one folder; `depth` is how many folders it lies in, and the size that of all below it."""

    path: str
    depth: int
    files: Sequence[File]
    total: str
    size: str


@dataclass(frozen=True, slots=True)
class Version:
    """One row of the versions list; a withdrawn one has no address."""

    name: str
    address: str | None
    changes_address: str | None
    since_address: str | None
    current: bool
    published_at: str
    note: str | None
    withdrawn_at: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a bundle, in the bundle's order."""

    type_label: str
    name: str
    role: str | None
    address: str | None
    target: str
    entries: Sequence[tuple[str, Detail]]


def as_published(entry: Mapping[str, Any], published: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the description, terms and files of one of its versions instead of today's."""
    described = published["description"]
    told = {name: described.get(name) for name in described.keys() | set(DESCRIBED)}
    files, terms = published["files"], published["terms"]
    instead = {"terms": terms, "files": files, "files_total": len(files), "shown_version": published["version"]}
    return {**entry, **told, **instead}


def render_object(
    entry: Mapping[str, Any],
    work: Work,
    *,
    versions: Sequence[Mapping[str, Any]] = (),
    traced: Traced | None = None,
    similar: Sequence[Mapping[str, Any]] = (),
    edit_address: str | None = None,
    titles: Mapping[str, str] = MappingProxyType({}),
    removal: Removal | None = None,
) -> str:
    """Return the page of an object as `GET /api/objects/{id}` answers it; `work` is the same as others are told of it.

    `versions` are those of `GET …/versions`; `as_published` makes the entry of one of them. `traced` is what it came
    from, and what came of it; `similar` what `GET …/similar` lists. `edit_address` is where the reader may change it.
    `titles` are those of objects that its metadata names and the reader may see, by id. `removal` is what those are
    told who may change it.
    """
    kind_label = wording.kind_title(entry["kind"])
    today = wording.object_address(entry["id"])
    shown_version = entry.get("shown_version")
    hidden = wording.visibility_text(entry["visibility"], entry.get("embargo_until"))
    api_address = shown_version["href"] if shown_version else f"/api/objects/{entry['id']}"
    terms = entry.get("terms") or {}
    metadata: dict[str, Any] = _labelled(dict(entry.get("metadata") or {}), terms)
    members = _members(metadata, titles)
    if members:
        metadata.pop("members")
    metadata = _titled(metadata, titles)
    files = [_file(file) for file in entry.get("files") or ()]
    return rendering.render(
        "object.html",
        state=State(),
        entry=entry,
        kind_label=kind_label,
        hidden=hidden,
        paragraphs=[part.strip() for part in (entry.get("description") or "").split("\n\n") if part.strip()],
        creators=[_creator(creator) for creator in entry["creators"]],
        contact_address=f"mailto:{quote(entry['contact']['email'], safe='@')}",
        keywords=[(word, State(q=word).address()) for word in entry.get("keywords") or ()],
        subjects=[
            (terms.get(uri, uri), State(chosen={"subject": (uri,)}).address()) for uri in entry.get("subjects") or ()
        ],
        project_address=f"/projects/{entry['project']}",
        kind_address=State(chosen={"kind": (entry["kind"],)}).address(),
        licence=entry.get("licence"),
        year=work.year,
        files=files,
        folders=folders_of(entry.get("files") or ()),
        files_total=entry.get("files_total", len(files)),
        files_size=_total(entry.get("files") or ()),
        members=members,
        traced=traced or None,
        similar=[
            Similar(
                one["title"],
                wording.object_address(one["id"]),
                wording.kind_title(one["kind"]),
                one["shared"][:SIMILAR_TRAITS_SHOWN],
            )
            for one in similar
        ],
        lineage_address=lineage_address(entry["id"]),
        specifics=entries_of(metadata),
        coverage=_coverage(entry.get("coverage") or {}),
        dates=[(dated["type"], wording.date_text(dated["date"]), dated["date"]) for dated in entry.get("dates") or ()],
        custom=entries_of(entry.get("custom") or {}, labelled=False),
        apa=citation.apa(work),
        vancouver=citation.vancouver(work),
        bibtex=citation.bibtex(work),
        formats=[(name, f"{api_address}?format={name}") for name in FORMATS],
        doi=work.doi,
        doi_resolves=work.resolves,
        doi_address=wording.safe_address(work.link) if work.doi else None,
        json_ld=_data_block(schema_org.schema_org_from(work)) if hidden is None else None,
        credits=_credits(entry),
        cited=work.address,
        json_address=api_address,
        shown_version=shown_version,
        versions=_versions(versions, today, shown_version),
        today_address=today,
        edit_address=edit_address,
        removal=removal,
    )


def _versions(versions: Sequence[Mapping[str, Any]], today: str, shown: Mapping[str, Any] | None) -> Sequence[Version]:
    """Return the versions, newest first, each with what leads to the difference from the one before that is left."""
    listed: list[Version] = []
    before: Mapping[str, Any] | None = None
    for version in versions:
        listed.append(_version(version, today, shown, before))
        if version["state"] == "published":
            before = version
    return list(reversed(listed))


def _version(
    version: Mapping[str, Any], today: str, shown: Mapping[str, Any] | None, before: Mapping[str, Any] | None
) -> Version:
    there = version["state"] == "published"
    return Version(
        name=f"Version {version['number']}" + (f" ({version['label']})" if version["label"] else ""),
        address=f"{today}/versions/{version['number']}" if there else None,
        changes_address=f"{today}/versions/{before['number']}/diff/{version['number']}" if there and before else None,
        since_address=f"{today}/versions/{version['number']}/diff/draft" if there else None,
        current=shown is not None and shown["number"] == version["number"],
        published_at=version["published_at"],
        note=version["note"],
        withdrawn_at=version["withdrawn_at"],
        reason=version["reason"],
    )


def _labelled(value: Any, terms: Mapping[str, str]) -> Any:
    """Return metadata with what concepts are called in place of their URIs."""
    match value:
        case Mapping():
            return {name: _labelled(inner, terms) for name, inner in value.items()}
        case list():
            return [_labelled(inner, terms) for inner in value]
        case str():
            return terms.get(value, value)
        case _:
            return value


def _titled(value: Any, titles: Mapping[str, str]) -> Any:
    """Return metadata with the title of what is named, and the way there, in place of its id."""
    match value:
        case Mapping():
            return {name: _titled(inner, titles) for name, inner in value.items()}
        case list():
            return [_titled(inner, titles) for inner in value]
        case str() if value in titles:
            return Text(titles[value], wording.object_address(value))
        case _:
            return value


def _data_block(value: Mapping[str, Any]) -> Markup:
    """Return JSON as the text of a data block: nothing in it can end the element that it stands in."""
    text = msgspec.json.encode(value).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _credits(entry: Mapping[str, Any]) -> list[tuple[str, Detail]]:
    """Return who else had a part, who paid, and under which names it goes elsewhere."""
    told = {name: entry.get(name) for name in ("titles", "language", "publisher", "contributors", "funding")}
    return entries_of(told | {"identifiers": entry.get("identifiers")})


def _creator(creator: Mapping[str, Any]) -> Creator:
    affiliation = creator.get("affiliation") or {}
    orcid, ror = creator.get("orcid"), creator.get("ror")
    return Creator(
        name=creator["name"],
        organization=creator.get("type") == "organization",
        identifier=f"ORCID {orcid}" if orcid else f"ROR {ror}" if ror else None,
        identifier_address=_identifier_address("orcid.org", orcid) or _identifier_address("ror.org", ror),
        affiliation=affiliation.get("name"),
        affiliation_address=_identifier_address("ror.org", affiliation.get("ror")),
    )


def _identifier_address(registry: str, identifier: str | None) -> str | None:
    # Both registries ask to show their identifiers as addresses (ORCID and ROR display guidelines).
    return wording.safe_address(f"https://{registry}/{identifier}") if identifier else None


def _file(file: Mapping[str, Any]) -> File:
    folder, _, name = file["path"].rpartition("/")
    found = file.get("found")
    available = file["state"] in SERVED
    return File(
        path=file["path"],
        folder=f"{folder}/" if folder else "",
        name=name,
        size=wording.size_text(file["size"]),
        size_exact=wording.counted(file["size"], "byte", "bytes"),
        media_type=file["media_type"],
        sha256=file["sha256"],
        sha256_short=file["sha256"][:DIGEST_CHARS_SHOWN],
        state=file["state"],
        state_label=wording.STATES.get(file["state"], file["state"]),
        # Of the pages, not of the API: whoever is logged in here is nobody there.
        address=wording.safe_address(file["href"].removeprefix("/api")) if available else None,
        preview_address=_preview(file) if available else None,
        found=_found(found) if found else None,
    )


def _preview(file: Mapping[str, Any]) -> str | None:
    """Return the page that shows a file, unless it is one of a version or of a type that is not shown."""
    before, files, path = file["href"].removeprefix("/api").partition("/files/")
    if not files or "/versions/" in before or form_of(file["media_type"], file["size"]) is None:
        return None
    return wording.safe_address(f"{before}/{FOLDER}/{path}")


def folders_of(files: Sequence[Mapping[str, Any]]) -> list[Folder]:
    """Return all folders as they come in files that are sorted by path: each before what lies in it."""
    inside: dict[str, list[Mapping[str, Any]]] = {}
    for file in files:
        folder = file["path"].rpartition("/")[0]
        parts = folder.split("/") if folder else []
        for count in range(1, len(parts) + 1):
            inside.setdefault("/".join(parts[:count]), [])
        inside.setdefault(folder, []).append(file)
    told = []
    for path, own in inside.items():
        below = [file for file in files if not path or file["path"].startswith(f"{path}/")]
        total = wording.counted(len(below), "file", "files")
        told.append(Folder(path, path.count("/"), [_file(file) for file in own], total, _total(below)))
    return told


def _found(found: Mapping[str, Any]) -> str:
    size, digest = found.get("size"), found.get("sha256")
    parts = [
        wording.counted(size, "byte", "bytes") if size is not None else None,
        f"SHA-256 {digest}" if digest else None,
    ]
    return ", ".join(part for part in parts if part)


def _total(files: Sequence[Mapping[str, Any]]) -> str:
    return wording.size_text(sum(file["size"] for file in files))


def _members(metadata: Mapping[str, Any], titles: Mapping[str, str]) -> list[Member]:
    members = metadata.get("members")
    if not isinstance(members, list) or not all(isinstance(m, Mapping) and "type" in m for m in members):
        return []
    return [_member(member, titles) for member in members]


def _member(member: Mapping[str, Any], titles: Mapping[str, str]) -> Member:
    shown = {"type", "name", "role", "id", "url", "reference"}
    if member["type"] == "object":
        target = str(member.get("id", ""))
        address: str | None = wording.object_address(target)
    else:
        target = str(member.get("url") or member.get("reference") or "")
        address = wording.safe_address(member.get("url"))
    return Member(
        type_label=MEMBER_TYPES.get(member["type"], wording.label_of(str(member["type"]))),
        name=str(member.get("name") or titles.get(target) or target),
        role=member.get("role"),
        address=address,
        target=target,
        entries=entries_of({key: value for key, value in member.items() if key not in shown}),
    )


def _coverage(coverage: Mapping[str, Any]) -> list[tuple[str, Detail]]:
    spatial = coverage.get("spatial") or {}
    temporal = coverage.get("temporal") or {}
    entries: list[tuple[str, Detail]] = []
    if place := spatial.get("place"):
        entries.append(("Place", Text(place)))
    if point := spatial.get("point"):
        entries.append(("Point", Text(f"{_latitude(point['latitude'])}, {_longitude(point['longitude'])}")))
    if box := spatial.get("box"):
        corners = [
            f"{_latitude(box['south'])} to {_latitude(box['north'])}",
            f"{_longitude(box['west'])} to {_longitude(box['east'])}",
        ]
        entries.append(("Region", Listing([Text(corner) for corner in corners])))
    if start := temporal.get("start"):
        end = temporal.get("end")
        entries.append(("From", Text(wording.date_text(start))))
        entries.append(("Until", Text(wording.date_text(end) if end else "still going on")))
    return entries


def _latitude(degrees: float) -> str:
    return f"{wording.number_text(abs(degrees))}° {'N' if degrees >= 0 else 'S'}"


def _longitude(degrees: float) -> str:
    return f"{wording.number_text(abs(degrees))}° {'E' if degrees >= 0 else 'W'}"
