"""`/api/jobs`: jobs by their keys, what they were given and gave back, and that they have ended."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog.access.principals import Caller
from catalog.access.scopes import Scope
from catalog.api import contract, files, links, objects, requests, shapes, written
from catalog.api.contract import Answer, Body, Operation, operation
from catalog.api.requests import AnyRequest
from catalog.database import now
from catalog.engines import Engines
from catalog.errors import NotFound
from catalog.jobs import reading, running
from catalog.jobs.reading import Area, JobView
from catalog.jobs.tables import JobOutcome, JobState
from catalog.objects import reading as objects_read
from catalog.objects.metadata import CREATORS_MAX, PROJECT_PATTERN, Contact, Creator, Line, ObjectName, Project, Prose
from catalog.objects.metadata import Title as ObjectTitle
from catalog.objects.reading import FileView
from catalog.objects.tables import FileState
from catalog.objects.verbs import NameTaken
from catalog.storage.signing import Link

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
FILES_DEFAULT = 100
FILES_LIMIT_MAX = files.PAGE_FILES_MAX
NO_STORE = {"Cache-Control": "no-store"}


class JobDraft(BaseModel):
    """A job to begin; all but project and key may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    project: Project
    key: Annotated[ObjectName, Field(description="By which it is pushed to and pulled from; unique in its project.")]
    title: Annotated[ObjectTitle | None, Field(description="Left out: its key.")] = None
    description: Prose = ""
    creators: Annotated[
        list[Creator] | None, Field(min_length=1, max_length=CREATORS_MAX, description="Left out: whoever sends this.")
    ] = None
    contact: Annotated[Contact | None, Field(description="Left out: whoever sends this, without an address.")] = None
    visibility: Literal["public", "organization", "project", "private"] = "private"
    program: Annotated[Line | None, Field(description="What runs.")] = None
    site: Annotated[Line | None, Field(description="Where it runs.")] = None


class JobEnd(BaseModel):
    """How a job ended."""

    model_config = ConfigDict(extra="forbid", strict=True)

    outcome: Annotated[JobOutcome, Field(strict=False)]


_ProjectAsked = Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)] | None


class JobQuery(BaseModel):
    """Which of the jobs of this key is meant."""

    model_config = ConfigDict(extra="forbid")

    project: _ProjectAsked = Field(
        default=None, description="Needed where you may see jobs of this key in several projects."
    )


class JobsQuery(BaseModel):
    """What a listing of jobs may be narrowed to."""

    model_config = ConfigDict(extra="forbid")

    project: _ProjectAsked = Field(default=None, description="Only jobs of this project, written org/project.")
    state: JobState | None = Field(default=None, description="Only jobs that stand there.")
    mine: bool = Field(default=False, description="Only jobs that belong to the caller.")
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="How many jobs a page has at most.")
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=2_000)


class JobFilesQuery(JobQuery):
    """Which files of a job."""

    area: Area | None = Field(default=None, description="What the job is given, or what it gives back; else both.")
    limit: int = Field(
        default=FILES_DEFAULT, ge=1, le=FILES_LIMIT_MAX, description="How many files a page has at most."
    )
    cursor: str | None = Field(default=None, description="Where the page before ended.", max_length=4_000)


class ShownArea(msgspec.Struct, frozen=True):
    """How many files there are, how many of them have arrived, and how many bytes all have together."""

    files: int
    available: int
    bytes: int


class ShownJob(msgspec.Struct, frozen=True):
    """A job. `id` is its object's; `ended_at` the moment from which its data are kept as its project's rules say."""

    id: UUID
    key: str
    project: str
    title: str
    owner: str
    state: Literal["open", "ended"]
    outcome: Literal["succeeded", "failed"] | None
    created_at: datetime
    ended_at: datetime | None
    revision: int
    input: ShownArea
    output: ShownArea


class JobPage(msgspec.Struct, frozen=True):
    """Some jobs, and where the next ones begin."""

    items: list[ShownJob]
    cursor: str | None


class JobFile(msgspec.Struct, frozen=True):
    """A file of a job, with a link when its bytes are there and the token may read."""

    path: str
    size: int
    sha256: str
    media_type: str
    state: Literal["expected", "available", "mismatched", "missing"]
    link: Link | None


class JobFiles(msgspec.Struct, frozen=True):
    """Some files of a job, by path, and where the next ones begin."""

    items: list[JobFile]
    cursor: str | None


ETAG = {"ETag": "The revision of the job's object, in quotes."}


@operation(
    "POST",
    "/api/jobs",
    Operation(
        id="begin_job",
        summary="Begin a job, or meet the one of this key",
        description=(
            "The key makes nothing twice: where the project has a job of it that you may change, that is answered as "
            "it stands, and the rest of the body changes nothing. A job is an object of the kind `job`, named by its "
            "key."
        ),
        tag="jobs",
        token=True,
        body=Body(JobDraft, example={"project": "demo/radiology", "key": "brain-0815"}),
        answers={
            200: Answer("It was there already.", ShownJob, headers=ETAG),
            201: Answer("Begun.", ShownJob, headers={"Location": "The job's address.", **ETAG, **written.TOLD}),
        },
        problems=(403, 409, 413, 415, 422, 507),
    ),
)
async def begin_job(request: AnyRequest) -> Response[bytes]:
    """Begin a job."""
    caller = await requests.caller(request)
    caller.must_register()
    draft = await requests.sent(request, JobDraft)
    engines = requests.engines(request)
    there = await _there(engines, draft, caller)
    if there is not None:
        return _told(there)
    try:
        async with engines.database.transaction() as session:
            job = await running.begin(session, _described(draft, caller), caller=caller, placement=engines.placement)
    except NameTaken:
        # Somebody was faster, or it belongs to others.
        there = await _there(engines, draft, caller)
        if there is None:
            raise
        return _told(there)
    headers = {"Location": f"/api/jobs/{job.key}?project={job.project}"}
    headers |= written.token_of(request, caller, job.id, job.revision)
    return _told(job, status=201, headers=headers)


async def _there(engines: Engines, draft: JobDraft, caller: Caller) -> JobView | None:
    """Return the job of this key that the caller may change, if there is one."""
    async with engines.database.transaction() as session:
        return await reading.changeable(session, draft.key, draft.project, caller=caller)


def _described(draft: JobDraft, caller: Caller) -> dict[str, Any]:
    said = {"program": draft.program, "site": draft.site}
    return running.described(
        draft.project,
        draft.key,
        caller=caller,
        title=draft.title,
        description=draft.description,
        creators=[one.model_dump(mode="json", exclude_none=True) for one in draft.creators or []],
        contact=None if draft.contact is None else draft.contact.model_dump(mode="json"),
        visibility=draft.visibility,
        metadata={name: value for name, value in said.items() if value is not None},
    )


@operation(
    "GET",
    "/api/jobs",
    Operation(
        id="list_jobs",
        summary="List jobs, newest first",
        description="With a token that is not good for reading: its own.",
        tag="jobs",
        # Without `read`: its own.
        scope=None,
        query=JobsQuery,
        answers={200: Answer("A page of jobs.", JobPage, headers={"Link": "The next page."})},
    ),
)
async def list_jobs(request: AnyRequest) -> Response[bytes]:
    """List jobs."""
    asked = requests.query(request, JobsQuery)
    caller = await requests.caller(request)
    paging = requests.paging(request, asked, UUID, "jobs", caller.id, asked.project, asked.state, asked.mine)
    async with requests.engines(request).database.transaction() as session:
        found = await reading.page(
            session,
            project=asked.project,
            state=asked.state,
            mine=asked.mine,
            after=paging.after,
            limit=paging.one_more,
            caller=caller,
        )
    items, cursor = paging.cut(found, lambda one: one.id)
    return shapes.json_response(
        JobPage([shown(job) for job in items], cursor),
        headers={**requests.next_link(request, cursor), "Vary": "Authorization"},
    )


@operation(
    "GET",
    "/api/jobs/{key:str}",
    Operation(
        id="read_job",
        summary="See where a job stands",
        description="With a token that is not good for reading: one of its own.",
        tag="jobs",
        scope=None,
        query=JobQuery,
        answers={200: Answer("The job.", ShownJob, headers=ETAG)},
        problems=(404,),
    ),
)
async def read_job(request: AnyRequest) -> Response[bytes]:
    """Read one job."""
    asked = requests.query(request, JobQuery)
    caller = await requests.caller(request)
    async with requests.engines(request).database.transaction() as session:
        job = await reading.find(session, _key(request), asked.project, caller=caller)
    return _told(job)


@operation(
    "GET",
    "/api/jobs/{key:str}/files",
    Operation(
        id="list_job_files",
        summary="List a job's files by path, with links to those that are there",
        description="With a token that is not good for reading: of one of its own, without links.",
        tag="jobs",
        scope=None,
        query=JobFilesQuery,
        answers={200: Answer("A page of files.", JobFiles, headers={"Link": "The next page."})},
        problems=(404,),
    ),
)
async def list_job_files(request: AnyRequest) -> Response[bytes]:
    """List the files of one job."""
    asked = requests.query(request, JobFilesQuery)
    caller = await requests.caller(request)
    key = _key(request)
    paging = requests.paging(request, asked, str, "job files", caller.id, key, asked.project, asked.area)
    async with requests.engines(request).database.transaction() as session:
        job = await reading.find(session, key, asked.project, caller=caller)
        folder = "" if asked.area is None else asked.area.folder
        found = await objects_read.file_page(session, job.id, folder=folder, after=paging.after, limit=paging.one_more)
    items, cursor = paging.cut(found, lambda one: one.path)
    there = [file for file in items if file.state == FileState.AVAILABLE and caller.has(Scope.READ)]
    sign = await links.downloads(request, caller, now(), {file.backend for file in there})
    signed = {file.path: link for file, link in zip(there, sign(job.id, there, None), strict=True)}
    return shapes.json_response(
        JobFiles([_linked(file, signed.get(file.path)) for file in items], cursor),
        headers={**requests.next_link(request, cursor), "Vary": "Authorization", **NO_STORE},
    )


@operation(
    "POST",
    "/api/jobs/{key:str}/end",
    Operation(
        id="end_job",
        summary="Say that a job has ended, and how",
        description=(
            "From then on its files stay as they are, and the time for which they are kept begins. It cannot have "
            "succeeded while files are missing. Said again it changes nothing, and is answered whatever If-Match says."
        ),
        tag="jobs",
        token=True,
        headers=(contract.IF_MATCH,),
        query=JobQuery,
        body=Body(JobEnd, example={"outcome": "succeeded"}),
        answers={200: Answer("It has ended.", ShownJob, headers={**ETAG, **written.TOLD})},
        problems=(403, 404, 409, 410, 412, 413, 415, 428),
    ),
)
async def end_job(request: AnyRequest) -> Response[bytes]:
    """End one job."""
    asked = requests.query(request, JobQuery)
    caller = await requests.caller(request)
    caller.must_be_known()
    wanted = await requests.sent(request, JobEnd)
    revisions = requests.revisions(request)
    async with requests.engines(request).database.transaction() as session:
        found = await reading.find(session, _key(request), asked.project, caller=caller)
        job = await running.end(session, found, wanted.outcome, caller=caller, revisions=revisions)
    return _told(job, headers=written.token_of(request, caller, job.id, job.revision))


def _key(request: AnyRequest) -> str:
    key = str(request.path_params["key"])
    if not key:
        raise NotFound
    return key


def shown(job: JobView) -> ShownJob:
    """Return the job as the wire shows it."""
    return ShownJob(
        id=job.id,
        key=job.key,
        project=job.project,
        title=job.title,
        owner=job.owner,
        state=job.state.value,
        outcome=None if job.outcome is None else job.outcome.value,
        created_at=job.created_at,
        ended_at=job.ended_at,
        revision=job.revision,
        input=ShownArea(job.input.files, job.input.available, job.input.bytes),
        output=ShownArea(job.output.files, job.output.available, job.output.bytes),
    )


def _told(job: JobView, *, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    told = {"ETag": objects.etag(job.revision), "Vary": "Authorization", "Cache-Control": "no-cache"}
    return shapes.json_response(shown(job), status=status, headers=told | (headers or {}))


def _linked(file: FileView, link: Link | None) -> JobFile:
    return JobFile(file.path, file.size, file.sha256, file.media_type, FileState(file.state).value, link)


ROUTES: list[HTTPRouteHandler] = [begin_job, list_jobs, read_job, list_job_files, end_job]
