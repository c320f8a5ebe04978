"""The catalog as an object in a program: one method per thing that the API offers."""

import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Literal, Self, cast
from urllib.parse import quote

import httpx2

from catalog.client import parts
from catalog.client.connection import Connection, Parameters
from catalog.client.problems import BytesDiffer, NoSuchFile, NotACatalog, NotAvailable, NotNoticed
from catalog.client.shapes import (
    Activity,
    Change,
    CurationQueue,
    DifferenceList,
    DiscoveredFile,
    Edit,
    EditPlan,
    File,
    FileDeclaration,
    Hit,
    Impact,
    Kind,
    KindSummary,
    Lineage,
    Object,
    PastRevision,
    ProvenanceImport,
    PublishedVersion,
    Quality,
    Registered,
    Relation,
    Responsibility,
    SearchPage,
    Ticket,
    Undone,
    UnfoundSearch,
    Upload,
    VersionList,
    WaitingObject,
)
from catalog.client.transfer import PART, Downloaded, Progress, Source, download, silent, upload
from catalog.client.vocabularies import Vocabularies
from catalog.errors import Invalid

PATIENCE_SECONDS = 15.0
PAGE_LIMIT = 100
DEPTH = 5
POLL_SECONDS_FIRST = 0.05
POLL_SECONDS_MAX = 1.0
# How people write a DOI; what is in it the catalog checks.
DOI_SPELLING = re.compile(r"(https?://(dx\.)?doi\.org/|doi:)?10\.[0-9]", re.IGNORECASE)

Sort = Literal["relevance", "newest", "oldest", "title"]
Values = Sequence[str]


class Catalog:
    """A catalog at one address, as one principal; anonymous without a token. Close it, or use it in a `with` block.

    Safe to use from several threads. Refusals raise Problem, silence raises Unreachable after `patience_seconds`.
    """

    def __init__(self, url: str, token: str | None = None, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._connection = Connection(url, token, patience_seconds=patience_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({self.url!r})"

    @property
    def connection(self) -> Connection:
        """The connections, for the other modules of this client."""
        return self._connection

    @property
    def vocabularies(self) -> Vocabularies:
        """Controlled terms: schemes, concepts and proposals."""
        return Vocabularies(self._connection)

    @property
    def url(self) -> str:
        """The catalog's address."""
        return self._connection.address

    def close(self) -> None:
        """Close the connections; the catalog is of no use afterwards."""
        self._connection.close()

    def search(
        self,
        text: str | None = None,
        *,
        kind: Values = (),
        project: Values = (),
        licence: Values = (),
        year: Sequence[int | str] = (),
        creator: Values = (),
        format: Values = (),  # ruff: ignore[A002] - the field's name everywhere else.
        state: Values = (),
        quality: Values = (),
        has_labels: Sequence[Literal["yes", "no"]] = (),
        subject: Values = (),
        task: Values = (),
        sensor: Values = (),
        runtime: Values = (),
        valid_at: str | None = None,
        facet: Values = (),
        sort: Sort | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> SearchPage:
        """Return one page of what matches; several values of one field mean any of them."""
        parameters = [
            *_parameters("q", [text] if text else []),
            *_parameters("kind", kind),
            *_parameters("project", project),
            *_parameters("licence", licence),
            *_parameters("year", year),
            *_parameters("creator", creator),
            *_parameters("format", format),
            *_parameters("state", state),
            *_parameters("quality", quality),
            *_parameters("has_labels", has_labels),
            *_parameters("subject", subject),
            *_parameters("task", task),
            *_parameters("sensor", sensor),
            *_parameters("runtime", runtime),
            *_parameters("valid_at", [valid_at] if valid_at else []),
            *_parameters("facet", facet),
            *_parameters("sort", [sort] if sort else []),
            *_parameters("limit", [] if limit is None else [limit]),
            *_parameters("cursor", [cursor] if cursor else []),
        ]
        answer: SearchPage = self._connection.json("GET", "/api/search", parameters=parameters, repeatable=True)
        return answer

    def search_pages(self, text: str | None = None, **question: Any) -> Iterator[SearchPage]:
        """Yield every page of what matches, asking for the next one as it is wanted; arguments as for `search`."""
        cursor = question.pop("cursor", None)
        while True:
            page = self.search(text, cursor=cursor, **question)
            yield page
            cursor = page["cursor"]
            if cursor is None:
                return

    def hits(self, text: str | None = None, **question: Any) -> Iterator[Hit]:
        """Yield every object that matches; arguments as for `search`."""
        for page in self.search_pages(text, **{"limit": PAGE_LIMIT, **question}):
            yield from page["hits"]

    def objects(
        self, *, kind: str | None = None, project: str | None = None, mine: bool = False, limit: int = PAGE_LIMIT
    ) -> Iterator[Object]:
        """Yield every object that may be seen, newest first, straight from the record; each with its first files."""
        asked = {"kind": kind, "project": project, "mine": "true" if mine else None, "limit": str(limit)}
        parameters = [(name, value) for name, value in asked.items() if value is not None]
        return self._connection.pages("/api/objects", parameters)

    def get(self, object_id: str) -> Object:
        """Return an object with all its files, by its id, a DOI of it, or org/project/kind/name."""
        answer = self.named(object_id)
        if "object" in answer:
            version = cast("PublishedVersion", answer)
            raise Invalid(
                f"{object_id} names version {version['version']['number']} of the object {version['object']}, and this "
                "is for objects; leave the version out."
            )
        return answer

    def named(self, name: str) -> Object | PublishedVersion:
        """Return what an id, a DOI, or org/project/kind/name names; with @version after it, that version."""
        answer: Object | PublishedVersion = self._connection.json("GET", _object(name), repeatable=True)
        return answer

    def register(self, draft: Mapping[str, Any], *, idempotency_key: str | None = None) -> Registered:
        """Register an object, once: repeated with the same key, it answers what it made the first time."""
        answer: Registered = self._connection.json(
            "POST",
            "/api/objects",
            body=draft,
            headers={"idempotency-key": idempotency_key or uuid.uuid4().hex},
            repeatable=True,
        )
        return answer

    def patch(self, object_id: str, changes: Mapping[str, Any], *, revision: int) -> Object:
        """Change an object by a merge patch (RFC 7396), unless it has moved on from that revision."""
        headers = {"content-type": "application/merge-patch+json", "if-match": f'"{revision}"'}
        answer: Object = self._connection.json("PATCH", _object(object_id), body=changes, headers=headers)
        return answer

    def withdraw(self, object_id: str, reason: str, *, revision: int) -> None:
        """Withdraw an object and say why, unless it has moved on from that revision."""
        self._connection.send(
            "DELETE", _object(object_id), parameters=[("reason", reason)], headers={"if-match": f'"{revision}"'}
        )

    def publish(
        self, object_id: str, *, revision: int, label: str | None = None, note: str | None = None
    ) -> PublishedVersion:
        """Freeze an object as its next version, unless it has moved on from that revision."""
        said = {name: value for name, value in {"label": label, "note": note}.items() if value is not None}
        answer: PublishedVersion = self._connection.json(
            "POST", f"{_object(object_id)}/versions", body=said, headers={"if-match": f'"{revision}"'}
        )
        return answer

    def versions(self, object_id: str) -> VersionList:
        """Return all versions of an object, oldest first, withdrawn ones too."""
        answer: VersionList = self._connection.json("GET", f"{_object(object_id)}/versions", repeatable=True)
        return answer

    def version(self, object_id: str, version: int | str = "latest", *, at: str | None = None) -> PublishedVersion:
        """Return a version by its number, its label, or the latest; `at` a moment: the latest of then."""
        answer: PublishedVersion = self._connection.json(
            "GET",
            f"{_object(object_id)}/versions/{quote(str(version), safe='')}",
            parameters=_parameters("at", [] if at is None else [at]),
            repeatable=True,
        )
        return answer

    def compare(self, object_id: str, before: int | str, after: int | str = "draft") -> DifferenceList:
        """Return what differs between two versions, field by field; `draft` is the object as it stands."""
        path = f"{_object(object_id)}/versions/{quote(str(before), safe='')}/diff/{quote(str(after), safe='')}"
        answer: DifferenceList = self._connection.json("GET", path, repeatable=True)
        return answer

    def withdraw_version(self, object_id: str, version: int | str, reason: str, *, revision: int) -> None:
        """Withdraw one version and say why, unless the object has moved on from that revision."""
        self._connection.send(
            "DELETE",
            f"{_object(object_id)}/versions/{quote(str(version), safe='')}",
            parameters=[("reason", reason)],
            headers={"if-match": f'"{revision}"'},
        )

    def quality(self, object_id: str) -> Quality:
        """Return how good an object's record is, check by check, and how to mend it."""
        answer: Quality = self._connection.json("GET", f"{_object(object_id)}/quality", repeatable=True)
        return answer

    def curation(self) -> list[CurationQueue]:
        """Return what needs attention: how many of your objects wait in each queue, or of all objects for curators."""
        found: list[CurationQueue] = self._connection.json("GET", "/api/curation", repeatable=True)["items"]
        return found

    def waiting(self, queue: str, *, project: str | None = None) -> Iterator[WaitingObject]:
        """Yield the objects that wait in a queue, newest first."""
        return self._connection.pages(
            f"/api/curation/queues/{quote(queue, safe='')}",
            _parameters("project", [] if project is None else [project]),
        )

    def discovered_files(self, *, project: str | None = None) -> Iterator[DiscoveredFile]:
        """Yield the files that others put into the bucket and that no object claims, newest first; for curators."""
        return self._connection.pages(
            "/api/curation/discovered", _parameters("project", [] if project is None else [project])
        )

    def unfound_searches(self) -> list[UnfoundSearch]:
        """Return texts that found nothing, those asked most often first; for curators."""
        found: list[UnfoundSearch] = self._connection.json("GET", "/api/curation/unfound", repeatable=True)["items"]
        return found

    def preview_edit(self, select: Mapping[str, Any], patch: Mapping[str, Any]) -> EditPlan:
        """Return what a merge patch would do to many objects; `select` has objects, or any of project, kind, queue.

        With `limit` it takes only the first of what fits, after the id `after`; the plan's `next_after` goes on there.
        """
        answer: EditPlan = self._connection.json(
            "POST", "/api/curation/edits/preview", body={"select": select, "patch": patch}, repeatable=True
        )
        return answer

    def make_edit(self, select: Mapping[str, Any], patch: Mapping[str, Any], plan: EditPlan) -> Edit:
        """Change many objects as they were looked at; refused whole when one of them is not as it was."""
        body = {"select": select, "patch": patch, "preview": plan["digest"]}
        answer: Edit = self._connection.json("POST", "/api/curation/edits", body=body)
        return answer

    def undo_edit(self, edit_id: str) -> Undone:
        """Take an edit back, except where somebody changed since what it changed."""
        answer: Undone = self._connection.json("POST", f"/api/curation/edits/{quote(edit_id, safe='')}/undo")
        return answer

    def history(self, object_id: str, *, until: str | None = None) -> Iterator[Change]:
        """Yield what an object went through, newest first; for those who may change it."""
        return self._connection.pages(
            f"{_object(object_id)}/history", _parameters("until", [] if until is None else [until])
        )

    def revision(self, object_id: str, revision: int) -> PastRevision:
        """Return the description of an object as it read at a revision; for those who may change it."""
        answer: PastRevision = self._connection.json("GET", f"{_object(object_id)}/history/{revision}", repeatable=True)
        return answer

    def declare_files(self, object_id: str, files: Sequence[FileDeclaration], *, revision: int) -> Registered:
        """Declare more files of an object, or new bytes for some; the answer has a ticket for each."""
        headers = {"if-match": f'"{revision}"'}
        answer: Registered = self._connection.json(
            "POST", f"{_object(object_id)}/files", body={"files": list(files)}, headers=headers
        )
        return answer

    def ticket(self, object_id: str, path: str) -> Ticket:
        """Return a fresh ticket for a file whose bytes are not there."""
        body = {"object": object_id, "path": path}
        answer = self._connection.json("POST", "/api/uploads", body=body, repeatable=True)
        return cast("Ticket", answer["upload"])

    def upload(self, ticket: Ticket, source: Source, *, progress: Progress = silent, stop: Event | None = None) -> None:
        """Send a file's bytes straight to the store; `source` is a path, or opens the bytes anew at each call.

        A large file goes in parts, and goes on with those that an earlier call has brought.
        """
        bring = upload if ticket.get("parts") is None else parts.upload
        bring(self._connection, ticket, source, progress=progress, stop=stop)

    def upload_state(self, upload_id: str) -> Upload:
        """Return where an upload stands."""
        answer: Upload = self._connection.json("GET", f"/api/uploads/{quote(upload_id, safe='')}", repeatable=True)
        return answer

    def nudge(self, upload_id: str) -> None:
        """Ask the catalog to look at an upload's bytes now, for when the store's notification is late or lost."""
        self._connection.send("POST", f"/api/uploads/{quote(upload_id, safe='')}/complete", repeatable=True)

    def link(self, object_id: str, path: str) -> str:
        """Return a signed link to a file's bytes, which works for a short time for whoever holds it."""
        response = self._connection.send(
            "GET",
            f"{_object(object_id)}/files/{quote(path)}",
            repeatable=True,
            accept=frozenset({httpx2.codes.TEMPORARY_REDIRECT}),
        )
        if "location" not in response.headers:
            raise NotACatalog(f"What answers at {self.url} gives no link; check the address.")
        return str(response.headers["location"])

    def download(
        self,
        object_: Object,
        path: str,
        target: Path,
        *,
        part: str = PART,
        progress: Progress = silent,
        stop: Event | None = None,
    ) -> Downloaded:
        """Fetch a file of an object to `target` and check its SHA-256, going on with a `.part` file left before."""
        file = file_of(object_, path)
        if file["state"] != "available":
            raise NotAvailable(f"The bytes of {path!r} are {file['state']}; only an available file can be downloaded.")
        return download(
            self._connection,
            lambda: self.link(object_["id"], path),
            file,
            target,
            part=part,
            progress=progress,
            stop=stop,
        )

    def provenance(self, object_id: str, *, direction: str = "up", depth: int = DEPTH) -> Lineage:
        """Return what an object came from (up), what came of it (down), or both."""
        parameters = [("direction", direction), ("depth", str(depth))]
        answer: Lineage = self._connection.json(
            "GET", f"{_object(object_id)}/provenance", parameters=parameters, repeatable=True
        )
        return answer

    def provenance_as(self, object_id: str, format: str, *, direction: str = "up", depth: int = DEPTH) -> str:  # ruff: ignore[A002] - the parameter's name everywhere else.
        """Return the same as a text: turtle, json-ld or prov-json."""
        parameters = [("direction", direction), ("depth", str(depth)), ("format", format)]
        address = f"{_object(object_id)}/provenance"
        return self._connection.send("GET", address, parameters=parameters, repeatable=True).text

    def impact(self, object_id: str) -> Impact:
        """Return what depends on an object, counted by kind, with the nearest."""
        answer: Impact = self._connection.json("GET", f"{_object(object_id)}/impact", repeatable=True)
        return answer

    def relate(self, object_id: str, relation: str, target: str, *, revision: int) -> dict[str, Any]:
        """Record a relation, unless the object has moved on from that revision.

        `target` is an object by id or kind/name, a DOI in any spelling, an address or URN as it is, or another
        identifier with its type before it, such as ISSN:2049-3630. A DOI of this catalog is kept as its object.
        """
        kind, colon, value = target.partition(":")
        if DOI_SPELLING.match(target):
            kind, colon, value = "DOI", ":", target
        elif kind in {"http", "https", "urn"}:
            kind, value = ("URN" if kind == "urn" else "URL"), target
        end = {"identifier": {"type": kind, "value": value}} if colon else {"target": target}
        answer: dict[str, Any] = self._connection.json(
            "POST",
            f"{_object(object_id)}/relations",
            body={"type": relation, **end},
            headers={"if-match": f'"{revision}"'},
        )
        return answer

    def relations(self, object_id: str) -> list[Relation]:
        """Return what an object says of others, in the order in which it was recorded."""
        found: list[Relation] = self._connection.json("GET", f"{_object(object_id)}/relations", repeatable=True)[
            "items"
        ]
        return found

    def unrelate(self, object_id: str, relation_id: str, *, revision: int) -> None:
        """Take a relation back, unless the object has moved on from that revision."""
        self._remove(f"{_object(object_id)}/relations/{quote(relation_id, safe='')}", revision)

    def agents(self, object_id: str) -> list[Responsibility]:
        """Return whose work an object is, and on whose behalf somebody acted."""
        found: list[Responsibility] = self._connection.json("GET", f"{_object(object_id)}/agents", repeatable=True)[
            "items"
        ]
        return found

    def record_agent(self, object_id: str, said: Mapping[str, Any], *, revision: int) -> Responsibility:
        """Say whose work an object is, or on whose behalf somebody acted; `said` is as the API takes it."""
        answer: Responsibility = self._connection.json(
            "POST", f"{_object(object_id)}/agents", body=said, headers={"if-match": f'"{revision}"'}
        )
        return answer

    def remove_agent(self, object_id: str, statement_id: str, *, revision: int) -> None:
        """Take back what an object says of an agent, unless the object has moved on from that revision."""
        self._remove(f"{_object(object_id)}/agents/{quote(statement_id, safe='')}", revision)

    def _remove(self, address: str, revision: int) -> None:
        self._connection.send("DELETE", address, headers={"if-match": f'"{revision}"'})

    def record_activity(self, draft: Mapping[str, Any], *, idempotency_key: str | None = None) -> Activity:
        """Record what ran, from what, and what came of it, once: repeated with the same key, it answers the same."""
        answer: Activity = self._connection.json(
            "POST",
            "/api/activities",
            body=draft,
            headers={"idempotency-key": idempotency_key or uuid.uuid4().hex},
            repeatable=True,
        )
        return answer

    def activity(self, activity_id: str) -> Activity:
        """Return an activity, for those who may see something that it generated."""
        answer: Activity = self._connection.json(
            "GET", f"/api/activities/{quote(activity_id, safe='')}", repeatable=True
        )
        return answer

    def import_provenance(self, document: bytes, *, project: str | None = None) -> ProvenanceImport:
        """Record what a PROV-JSON document says; named entities are looked for in the project, if one is given."""
        answer: ProvenanceImport = self._connection.json(
            "POST",
            "/api/provenance",
            body=document,
            headers={"content-type": "application/provenance+json"},
            parameters=_parameters("project", [] if project is None else [project]),
            repeatable=True,
        )
        return answer

    def kinds(self) -> list[KindSummary]:
        """Return what an object can be."""
        return cast("list[KindSummary]", self._connection.json("GET", "/api/kinds", repeatable=True)["items"])

    def kind(self, name: str) -> Kind:
        """Return a kind with its JSON Schema and an example."""
        answer: Kind = self._connection.json("GET", f"/api/kinds/{quote(name, safe='')}", repeatable=True)
        return answer

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of the API."""
        answer: dict[str, Any] = self._connection.json("GET", "/schema/openapi.json", repeatable=True)
        return answer

    def wait_until_available(
        self, object_id: str, timeout_seconds: float = 60.0, *, sent_again: Collection[str] = ()
    ) -> Object:
        """Return the object once the bytes of all its files are there.

        Raises BytesDiffer when the store holds other bytes than were declared, NotNoticed when the time is over. Of
        paths in `sent_again`, what differs may be the bytes before: they are waited for.
        """
        ends = time.monotonic() + timeout_seconds
        pause = POLL_SECONDS_FIRST
        while True:
            object_ = self.get(object_id)
            awaited = [file["path"] for file in object_["files"] if file["state"] != "available"]
            if not awaited:
                return object_
            over = time.monotonic() + pause > ends
            differing = [file["path"] for file in object_["files"] if file["state"] == "mismatched"]
            if differing and (over or not set(differing) <= set(sent_again)):
                raise BytesDiffer(f"The store holds other bytes than were declared for {few(differing)}.")
            if over:
                raise NotNoticed(
                    f"After {timeout_seconds:g} s the catalog has not taken note of the bytes of {few(awaited)}."
                )
            time.sleep(pause)
            pause = min(POLL_SECONDS_MAX, pause * 1.5)


def file_of(object_: Object, path: str) -> File:
    """Return the object's file of that path; raises NoSuchFile with what there is."""
    for file in object_["files"]:
        if file["path"] == path:
            return file
    raise NoSuchFile(f"The object has no file {path!r}; it has {few([file['path'] for file in object_['files']])}.")


def _object(object_id: str) -> str:
    return f"/api/objects/{quote(object_id, safe='')}"


def _parameters(name: str, values: Sequence[object]) -> Parameters:
    return [(name, str(value)) for value in values]


def few(paths: Sequence[str]) -> str:
    """Name the first paths, and how many more there are."""
    shown = ", ".join(repr(path) for path in paths[:3])
    return f"{shown} and {len(paths) - 3} more" if len(paths) > 3 else shown or "no file"  # ruff: ignore[PLR2004]
