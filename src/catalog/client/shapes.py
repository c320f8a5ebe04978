"""What the catalog's answers hold, as its JSON names it. Mirrors the wire; an answer may have fields beyond these."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NotRequired, TypedDict

FileState = Literal["expected", "available", "mismatched", "missing"]


class FoundBytes(TypedDict):
    """What the store holds instead of what was declared."""

    size: int
    sha256: str | None


class FileDeclaration(TypedDict):
    """Bytes that an object will have."""

    path: str
    size: int
    sha256: str
    media_type: NotRequired[str]


class Declared(TypedDict):
    """By what the bytes of a file are known."""

    path: str
    size: int
    sha256: str


class LinkedFile(Declared):
    """A file with the link that came with it, where one did."""

    link: "Link | None"


class File(TypedDict):
    """A file of an object."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: FileState
    href: str
    found: NotRequired[FoundBytes]


class TicketParts(TypedDict):
    """How a large file is brought in parts: `count` of them, each of `size` bytes, the last perhaps shorter."""

    href: str
    size: int
    count: int


class Ticket(TypedDict):
    """Leave to PUT exactly the declared bytes, once. `url` and `headers` are secrets until `expires_at`.

    `method` and `url` are None for a file that must be brought in parts.
    """

    id: str
    path: str
    method: str | None
    url: str | None
    headers: dict[str, str]
    expires_at: str
    parts: NotRequired[TicketParts | None]


class SentParts(TypedDict):
    """How a file is cut into parts, and which of them the store holds."""

    size: int
    count: int
    sent: list[int]
    bytes_sent: int


class PartTicket(TypedDict):
    """Leave to PUT one part: `size` bytes from `offset` on."""

    number: int
    offset: int
    size: int
    method: str
    url: str
    headers: dict[str, str]
    expires_at: str


class SignedParts(TypedDict):
    """Leave to bring the parts that were asked for."""

    parts: list[PartTicket]


class Upload(TypedDict):
    """Where an upload stands."""

    id: str
    object: str
    path: str
    state: Literal["open", "complete", "mismatched", "abandoned", "superseded"]


class Object(TypedDict):
    """An object with its description; `metadata` holds what only its kind says."""

    id: str
    kind: str
    schema_version: int
    project: str
    name: str | None
    title: str
    description: str
    creators: list[dict[str, Any]]
    contact: dict[str, str]
    contributors: list[dict[str, Any]]
    publisher: dict[str, str] | None
    titles: list[dict[str, str]]
    language: str | None
    funding: list[dict[str, str]]
    identifiers: list[dict[str, str]]
    keywords: list[str]
    subjects: list[str]
    licence: str | None
    visibility: Literal["public", "organization", "project", "private", "embargoed"]
    dates: list[dict[str, str]]
    coverage: dict[str, Any] | None
    external: list[dict[str, Any]]
    custom: dict[str, Any]
    metadata: dict[str, Any]
    terms: dict[str, str]
    files: list[File]
    files_total: int
    revision: int
    state: Literal["draft", "published"]
    version: int | None
    owner: str
    created_at: str
    updated_at: str


class Registered(Object):
    """A registered object, with a ticket for each file still expected."""

    uploads: list[Ticket]


class Version(TypedDict):
    """A published version of an object; `reason` says why it was withdrawn."""

    number: int
    label: str | None
    state: Literal["published", "withdrawn"]
    note: str | None
    revision: int
    published_at: str
    published_by: str
    withdrawn_at: str | None
    reason: str | None
    href: str


class VersionList(TypedDict):
    """All versions, oldest first; whether the object differs from the latest."""

    items: list[Version]
    latest: int | None
    changed: bool


class PublishedFile(TypedDict):
    """A file as it was published, and how its bytes stand now."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: Literal["available", "overwritten", "lost"]
    href: str
    found: NotRequired[FoundBytes]


class PublishedVersion(TypedDict):
    """A version whole: the description as it was published, what its terms are called now, and its files."""

    object: str
    kind: str
    schema_version: int
    version: Version
    description: dict[str, Any]
    terms: dict[str, str]
    files: list[PublishedFile]


class Difference(TypedDict):
    """One field that differs between two states of an object."""

    pointer: str
    change: Literal["added", "removed", "changed"]
    before: Any
    after: Any


class DifferenceList(TypedDict):
    """What differs between two states of an object."""

    before: str
    after: str
    items: list[Difference]


class Change(TypedDict):
    """One change to an object; `by` is null where the catalog itself found it."""

    at: str
    by: str | None
    action: str
    from_revision: int | None
    to_revision: int
    changes: dict[str, Any] | None


class PastRevision(TypedDict):
    """The description of an object as it read at one revision, and since when."""

    object: str
    revision: int
    at: str
    description: dict[str, Any]


class QualityFault(TypedDict):
    """Where a check fails, and how to mend it."""

    pointer: str
    message: str
    suggestion: str | None


class QualityCheck(TypedDict):
    """One thing looked at; `promise` says what holds when it passes."""

    name: str
    group: str
    level: Literal["required", "wanted"]
    fair: str | None
    promise: str
    passed: bool
    faults: list[QualityFault]


class Quality(TypedDict):
    """How good an object's record is, in percent and in a word."""

    object: str
    revision: int
    score: int
    band: Literal["excellent", "good", "fair", "poor"]
    passes: bool
    checks: list[QualityCheck]
    fields: int
    empty: list[str]


class CurationQueue(TypedDict):
    """One kind of thing that needs attention, and how many objects wait for it."""

    name: str
    title: str
    waiting: int
    href: str


class WaitingObject(TypedDict):
    """An object that needs attention; `failed` names the checks that do not hold."""

    id: str
    kind: str
    project: str
    title: str
    owner: str
    revision: int
    updated_at: str
    score: int
    failed: list[str]
    href: str


class DiscoveredFile(TypedDict):
    """Bytes in the bucket that no object claims."""

    id: str
    bucket: str
    key: str
    project: str | None
    stage: Literal["source", "uploaded", "harmonized"] | None
    size: int
    etag: str
    media_type: str
    modified_at: str
    found_at: str


class UnfoundSearch(TypedDict):
    """A text that found nothing, and how often it was asked."""

    text: str
    times: int
    first_at: str
    last_at: str


class PlannedChange(TypedDict):
    """What becomes of one object, or why it cannot."""

    id: str
    title: str
    revision: int
    changes: dict[str, Any]
    faults: list[QualityFault]


class EditPlan(TypedDict):
    """What an edit would do; `digest` stands for exactly this."""

    digest: str
    objects: list[PlannedChange]
    changing: int
    refusing: int
    fitting: int
    next_after: str | None


class Edit(TypedDict):
    """An edit of many objects that was made."""

    id: str
    by: str
    made_at: str
    undone_at: str | None
    patch: dict[str, Any]
    objects: list[PlannedChange]
    href: str


class LeftAlone(TypedDict):
    """An object that an undone edit left as it is, and why."""

    id: str
    reason: str


class Undone(TypedDict):
    """What is as before an edit, and what somebody changed since."""

    undone: list[str]
    left: list[LeftAlone]


class Link(TypedDict):
    """A signed link: a secret until `expires_at`."""

    href: str
    expires_at: str


class HitFile(TypedDict):
    """A file of a hit, with its link when its bytes are there."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: FileState
    link: Link | None


class Hit(TypedDict):
    """An object that a search found."""

    id: str
    kind: str
    project: str
    title: str
    description: str
    keywords: list[str]
    creators: list[str]
    licence: str | None
    year: int | None
    visibility: Literal["public", "organization", "project", "private", "embargoed"]
    revision: int
    updated_at: str
    href: str
    bbox: list[float] | None
    highlights: dict[str, list[str]]
    files: list[HitFile]
    files_total: int


class Bucket(TypedDict):
    """One value of a facet, with how many objects have it."""

    value: str | int
    count: int
    label: NotRequired[str]
    broader: NotRequired[list[str]]
    narrower: NotRequired[int]


class Facet(TypedDict):
    """The commonest values of one field among what was found."""

    buckets: list[Bucket]
    rest: int
    missing: int
    above: NotRequired[list[Bucket]]


class HybridNote(TypedDict):
    """Whether what means the same was looked for too; `added` hits of all pages have it and not the words."""

    used: bool
    added: int
    why: str | None
    note: str | None


class SearchPage(TypedDict):
    """Some hits, counts, and where the next hits begin."""

    total: int
    hits: list[Hit]
    facets: dict[str, Facet]
    cursor: str | None
    # Nothing has the words as they were written: what has similar ones was found.
    similar: bool
    did_you_mean: str | None
    # With `after_write`: whether the index had that write.
    fresh: NotRequired[bool]
    # Where what means the same was asked for, or is by default.
    hybrid: NotRequired[HybridNote]


class Wanted(TypedDict, total=False):
    """Which objects are meant, beside the text of a search; a list means any of its values.

    `filter` is CQL2 as text, or as its JSON. `bbox` is west, south, east and north in degrees, as four numbers or as
    one text with commas. Moments are texts of RFC 3339, or of Python and have a zone.
    """

    filter: str | Mapping[str, Any] | None
    kind: Sequence[str]
    project: Sequence[str]
    organization: Sequence[str]
    licence: Sequence[str]
    year: Sequence[int | str]
    creator: Sequence[str]
    keyword: Sequence[str]
    format: Sequence[str]
    stage: Sequence[Literal["source", "uploaded", "harmonized"]]
    state: Sequence[str]
    quality: Sequence[str]
    has_labels: Sequence[Literal["yes", "no"]]
    subject: Sequence[str]
    task: Sequence[str]
    narrower: bool
    similar: bool
    sensor: Sequence[str]
    runtime: Sequence[str]
    created_at: Sequence[str]
    bytes: Sequence[str]
    bbox: str | Sequence[float] | None
    time: str | date | None
    valid_at: str | datetime | None


class Question(Wanted, total=False):
    """What a search asks beside its text, as `GET /api/search` takes it."""

    facet: Sequence[str]
    tree: Sequence[Literal["subject", "task"]]
    below: Sequence[str]
    sort: Literal["relevance", "newest", "oldest", "title"] | None
    limit: int
    cursor: str | None
    after_write: str | None
    wait_seconds: float
    hybrid: bool | None


class Suggestion(TypedDict):
    """What a text may go on to; `q` is the whole text with it."""

    type: Literal["object", "creator", "keyword", "identifier", "concept", "field", "value"]
    text: str
    q: str
    href: NotRequired[str]


class ExplainedPart(TypedDict):
    """One thing that a question asks, whether it is to be absent, and whether the object has it."""

    asked: str
    excluded: bool
    has: bool


class Explanation(TypedDict):
    """Why an object is found by a question, or why not."""

    object: str
    found: bool
    parts: list[ExplainedPart]
    highlights: dict[str, list[str]]
    weights: dict[str, float]


class AlikeObject(TypedDict):
    """An object that is like another, and what they share."""

    id: str
    kind: str
    project: str
    title: str
    href: str
    shared: list[str]


class AskableField(TypedDict):
    """What can be asked by name."""

    name: str
    type: str
    description: str
    examples: list[str]
    operators: list[str]
    also: list[str]
    values: list[str]
    vocabulary: str | None
    facet: bool


class KindSummary(TypedDict):
    """What an object can be."""

    name: str
    title: str
    description: str


class Kind(KindSummary):
    """A kind with the JSON Schema of a registration and a true example."""

    schema: dict[str, Any]
    example: dict[str, Any]


class LineageNode(TypedDict):
    """An object, activity, agent or identifier outside; a hidden one has an id for this answer and nothing else."""

    id: str
    state: Literal["there", "withdrawn", "hidden", "outside"]
    type: NotRequired[Literal["object", "activity", "agent", "identifier"]]
    kind: NotRequired[str]
    name: NotRequired[str]
    title: NotRequired[str]
    href: NotRequired[str]


# By the wire's names, of which one is a word of the language.
LineageEdge = TypedDict(
    "LineageEdge",
    {
        "type": str,
        "from": str,
        "to": str,
        "relation": NotRequired[str],
        "role": NotRequired[str],
        "pointer": NotRequired[str],
        "said_by": NotRequired[str],
    },
)


class Lineage(TypedDict):
    """What an object came from, or what came of it."""

    object: str
    direction: Literal["up", "down", "both"]
    depth: int
    complete: bool
    truncated: bool
    dependents: dict[str, Any] | None
    nodes: list[LineageNode]
    edges: list[LineageEdge]


class Impact(TypedDict):
    """What depends on an object."""

    object: str
    depth: int
    complete: bool
    truncated: bool
    total: int
    direct: int
    hidden: bool
    kinds: list[dict[str, Any]]
    nearest: list[LineageNode]


class ProvenanceImport(TypedDict):
    """What became of a PROV-JSON document."""

    relations_recorded: int
    relations_unchanged: int
    statements_recorded: int
    statements_unchanged: int
    activities: list[dict[str, Any]]
    changed: list[str]
    left_out: list[dict[str, str]]
    left_out_total: int


class Scheme(TypedDict):
    """A vocabulary, with how many concepts it has."""

    name: str
    uri: str
    title: str
    description: str
    licence: str | None
    source: str | None
    version: str | None
    revision: int
    concepts: int
    deprecated: int


class Concept(TypedDict):
    """A concept; texts are by language, "" where none was said."""

    uri: str
    scheme: str
    label: str
    notations: list[str]
    preferred: dict[str, str]
    alternative: dict[str, list[str]]
    hidden: dict[str, list[str]]
    definitions: dict[str, str]
    broader: list[str]
    narrower: list[str]
    related: list[str]
    exact_matches: list[str]
    deprecated: bool
    replaced_by: str | None


class SchemeDifference(TypedDict):
    """What an import changes: how many concepts, the first of them by URI, and what may be regretted."""

    scheme: str
    revision: int
    dry_run: bool
    added: int
    changed: int
    retired: int
    unchanged: int
    uris: dict[str, list[str]]
    warnings: list[dict[str, str]]


class Proposal(TypedDict):
    """A term that somebody proposes, and what came of it."""

    id: str
    scheme: str
    label: str
    language: str
    definition: str
    broader: str | None
    reason: str
    state: Literal["open", "accepted", "merged", "declined"]
    concept: str | None
    answer: str | None
    proposed_by: str
    proposed_at: str
    decided_at: str | None


class Relation(TypedDict):
    """What an object says of another one (`target`), or of something outside (`identifier`)."""

    id: str
    type: str
    target: dict[str, Any] | None
    identifier: dict[str, str] | None
    recorded_by: str
    recorded_at: str


class Responsibility(TypedDict):
    """Whose work an object is, or that an agent acted on behalf of who is responsible."""

    id: str
    type: str
    agent: dict[str, Any]
    role: str | None
    responsible: dict[str, Any] | None
    recorded_by: str
    recorded_at: str


class Activity(TypedDict):
    """What ran, from what, and what came of it."""

    id: str
    type: str
    label: str
    started: str | None
    ended: str | None
    parameters: dict[str, Any]
    software: dict[str, Any] | None
    code: dict[str, Any] | None
    used: list[dict[str, Any]]
    generated: list[dict[str, Any]]
    agents: list[dict[str, Any]]
    delegations: list[dict[str, Any]]
    informed_by: list[dict[str, Any]]
    recorded_by: str
    recorded_at: str
