"""Which objects are meant: one model for every way to ask, and how it becomes a question to the index.

Reads the search box's language, filters of CQL2, concepts by what they are called, and software by its versions. Knows
neither who asks nor how the answer is shown.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from catalog.database import Database
from catalog.errors import Fault, Invalid
from catalog.objects import kinds, metadata, running, validation
from catalog.search import cql2, facets, language, query
from catalog.search.conditions import Condition, Every, No, OneOf, Some
from catalog.search.fields import FIELDS, Type
from catalog.vocabulary import looking_up

CHOSEN_VALUES_MAX = 50
# Of all filters together. A page names each of them, with a link that leaves it out.
CHOSEN_TOGETHER_MAX = 200
RANGE_CHARS_MAX = 100
YEAR_MAX = 9999
YEAR = re.compile(r"[0-9]{1,4}")
# The scheme of what licences are called.
LICENCES = "licences"
SPDX = "http://spdx.org/licenses/"
FILTER = "What fields have to be, in CQL2 (OGC 21-065r2), text or JSON. `GET /api/fields` tells the fields."
FILTER_EXAMPLES = ["kind = 'model' AND year >= 2020"]

Chosen = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=300)]], Field(max_length=CHOSEN_VALUES_MAX)
]

Ranges = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=RANGE_CHARS_MAX)]],
    Field(max_length=CHOSEN_VALUES_MAX),
]


def _year(value: Any) -> Any:
    """Return a year as a number, and a range as it is written; raises ValueError with what belongs there."""
    read_value = int(value) if isinstance(value, str) and YEAR.fullmatch(value) else value
    if isinstance(read_value, int) and not isinstance(value, bool) and 0 <= read_value <= YEAR_MAX:
        return read_value
    if isinstance(value, str) and len(value) <= RANGE_CHARS_MAX:
        with suppress(ValueError):
            language.measured(FIELDS["year"], value)
            return value
    raise ValueError("write a year in digits, such as 2024, or several as 2020..2024")


Year = Annotated[
    int | str,
    BeforeValidator(_year),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": YEAR_MAX},
                {"type": "string", "pattern": r"^[0-9]{1,4}(\.\.([0-9]{1,4})?)?$"},
            ]
        }
    ),
]


class Wanted(BaseModel):
    """Which objects are meant. Several values of one filter mean any of them; several filters mean all of them."""

    model_config = ConfigDict(extra="forbid")

    q: str | None = Field(
        default=None,
        description='Words that must all occur; "a phrase", -excluded, prefix*, and fields, as year:>=2020.',
        max_length=language.Q_CHARS_MAX,
    )
    kind: Chosen = Field(default=[], description="Only these kinds.")
    project: Chosen = Field(default=[], description="Only these projects, written org/project.")
    organization: Chosen = Field(default=[], description="Only these organizations.")
    licence: Chosen = Field(default=[], description="Only these licences, as SPDX expressions, in whichever case.")
    year: Annotated[list[Year], Field(max_length=CHOSEN_VALUES_MAX)] = Field(
        default=[], description="Only these years of issue, creation or collection, each alone or as 2020..2024."
    )
    creator: Chosen = Field(default=[], description="Only objects by these creators, names as the facet shows them.")
    keyword: Chosen = Field(default=[], description="Only objects with one of these keywords, as the facet shows them.")
    format: Chosen = Field(default=[], description="Only objects with a file of one of these media types.")
    stage: Chosen = Field(
        default=[], description="Only objects with a file in one of these stages: source, uploaded, harmonized."
    )
    state: Chosen = Field(default=[], description="Only drafts, or only published objects.")
    quality: Chosen = Field(default=[], description="Only records that are excellent, good, fair or poor.")
    has_labels: Annotated[list[Literal["yes", "no"]], Field(max_length=2)] = Field(
        default=[],
        description=(
            "Only data sets with labels: their own, or objects of the kind labels that you may see and that name them; "
            "or only data sets without."
        ),
    )
    subject: Chosen = Field(
        default=[],
        description="Only objects of these scientific fields or of narrower ones: what they are called, in any "
        "language, or their URIs.",
    )
    task: Chosen = Field(
        default=[], description="Only objects for these tasks or narrower ones: what they are called, or their URIs."
    )
    sensor: Chosen = Field(default=[], description="Only what comes from these sensors, or is for them: their ids.")
    runtime: Chosen = Field(
        default=[],
        description="Only what runs on one of these: software, alone or with the versions that you have: pytorch>=2.1.",
    )
    created_at: Ranges = Field(
        default=[],
        description="Only what was registered then: 2026, 2026-11, 2026-11-21, or as 2026-01..2026-06.",
    )
    bytes: Ranges = Field(default=[], description="Only objects whose files have so many bytes together: 1000..999999.")
    bbox: str | None = Field(
        default=None,
        description="Only what meets this region: west,south,east,north in degrees (WGS 84).",
        max_length=RANGE_CHARS_MAX,
    )
    time: str | None = Field(
        default=None,
        description="Only what holds or was taken within this time: 2009-08, or 2007..2009, or 2007/2009.",
        max_length=RANGE_CHARS_MAX,
    )
    valid_at: AwareDatetime | None = Field(
        default=None, description="Only what holds at this moment: a calibration by its validity, else its coverage."
    )
    narrower: bool = Field(
        default=True, description="Whether a concept stands for all that are narrower too; no finds only what names it."
    )
    similar: bool = Field(
        default=True,
        description="Whether half and mistyped words are looked for where nothing has them as written.",
    )


class WantedBody(Wanted):
    """The same with a filter, as a JSON body has it."""

    filter: str | dict[str, Any] | None = Field(default=None, description=FILTER, examples=FILTER_EXAMPLES)


def must_be_few(chosen: Mapping[str, int]) -> None:
    """Raise Invalid where there are more values than a question has: how many each filter has, by its name."""
    faults = [
        Fault(f"/{name}", f"{count:,} values are too many: at most {CHOSEN_VALUES_MAX}.")
        for name, count in chosen.items()
        if count > CHOSEN_VALUES_MAX
    ]
    if (count := sum(chosen.values())) > CHOSEN_TOGETHER_MAX:
        faults.append(
            Fault("", f"{count:,} values of filters are too many: at most {CHOSEN_TOGETHER_MAX} of all together.")
        )
    if faults:
        raise Invalid("The query has faults.", faults=faults)


async def read(
    database: Database, asked: Wanted, narrowed_by: str | dict[str, Any] | None, **shown: Any
) -> query.Question:
    """Return the question to the index, from its first page on; raises Invalid with everything that is wrong.

    `narrowed_by` is the filter in CQL2, `shown` what else the question shall be. Too many values are not looked at.
    """
    chosen = {name: getattr(asked, name) for name in Wanted.model_fields}
    must_be_few({name: len(values) for name, values in chosen.items() if isinstance(values, list)})
    faults = [
        kinds.unknown(f"/kind/{place}", name) for place, name in enumerate(asked.kind) if name not in kinds.known()
    ]
    wanted = []
    for place, text in enumerate(asked.runtime):
        try:
            wanted.append(running.asked(text))
        except ValueError as wrong:
            faults.append(Fault(f"/runtime/{place}", str(wrong)))
    typed, wrong_text = language.read(asked.q or "")
    narrowing, wrong_filters = _conditions(asked, narrowed_by)
    faults += [*wrong_text, *wrong_filters]
    faults += validation.nul_faults(asked.model_dump(mode="json", exclude_defaults=True) | {"filter": narrowed_by})
    if faults:
        raise Invalid("The query has faults.", faults=faults)
    named = _named(asked, typed.conditions, narrowing)
    uris, meant = await _meanings(database, named, [name for name, _ in wanted])
    licences = await _licences(database, asked.licence)

    def meant_by(condition: Condition) -> Condition:
        return _told(condition, uris, narrower=asked.narrower)

    filters = {name: tuple(values) for name in facets.ASKABLE if (values := getattr(asked, name))}
    for name in facets.OF_CONCEPTS:
        if name in filters:
            # Two names of one concept are one choice.
            filters[name] = tuple(dict.fromkeys(uris[str(FIELDS[name].scheme), one] for one in filters[name]))
    if licences:
        filters["licence"] = licences
    return query.Question(
        text=asked.q,
        typed=replace(typed, conditions=tuple(meant_by(one) for one in typed.conditions)),
        condition=query.every([meant_by(one) for one in narrowing]),
        filters=filters,
        runtimes=[query.Runtime(meant[name], *versions) for name, versions in wanted],
        valid_at=asked.valid_at,
        narrower=asked.narrower,
        **shown,
    )


def _conditions(asked: Wanted, narrowed_by: str | dict[str, Any] | None) -> tuple[list[Condition], list[Fault]]:
    """Return what the parameters ask of fields, apart from those that facets count, and what is wrong with them."""
    read_conditions, faults = [], []
    for name, text in (("place", asked.bbox), ("time", asked.time)):
        if text is not None:
            try:
                read_conditions.append(language.asked_of(FIELDS[name], text))
            except ValueError as wrong:
                pointer, example = (
                    ("/bbox", "5.9,45.8,10.5,47.8") if name == "place" else ("/time", "2009-08, or 2007..2009")
                )
                faults.append(Fault(pointer, f"{text!r}: {wrong.args[0]}.", f"For example {example}"))
    if narrowed_by is not None:
        try:
            read_conditions.append(cql2.read(narrowed_by))
        except Invalid as wrong:
            faults += wrong.faults
    return read_conditions, faults


def _named(asked: Wanted, typed: Iterable[Condition], narrowing: Iterable[Condition]) -> dict[tuple[str, str], str]:
    """Return each text that names a concept, with its scheme, and where it stands."""
    chosen = {
        (str(FIELDS[name].scheme), text): f"/{name}/{place}"
        for name in facets.OF_CONCEPTS
        for place, text in enumerate(getattr(asked, name))
    }
    return chosen | {
        (str(leaf.field.scheme), str(value)): pointer
        for pointer, asked_there in (("/filter", narrowing), ("/q", typed))
        for leaf in language.concepts_asked(asked_there)
        for value in leaf.values
    }


async def _meanings(
    database: Database, named: Mapping[tuple[str, str], str], software: Sequence[str]
) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Return the URIs of the concepts that are named, and what software is called in the index.

    Raises Invalid for a text that is no concept, with the nearest.
    """
    wanted = [(running.SOFTWARE, name) for name in software]
    if not named and not wanted:
        return {}, {}
    async with database.transaction() as session:
        meant = await looking_up.meanings(session, [*named, *wanted], unexplained=wanted)
    uris = {one: uri for one in named if (uri := meant[one].uri) is not None}
    # A concept that was retired is still what objects name, and what a facet counts.
    retired = await looking_up.labels_and_broader(
        database, {text for scheme, text in named if (scheme, text) not in uris}
    )
    uris |= {one: one[1] for one in named if one[1] in retired and one not in uris}
    faults = [
        Fault(pointer, meant[one].problem, meant[one].suggestion)
        for one, pointer in sorted(named.items())
        if one not in uris
    ]
    if faults:
        raise Invalid("The query has faults.", faults=faults)
    return uris, {name: meant[running.SOFTWARE, name].uri or name for name in software}


async def _licences(database: Database, asked: Sequence[str]) -> tuple[str, ...]:
    """Return licences as objects have them, whichever case they are written in, or named by what they are called.

    Raises Invalid with the nearest ids.
    """
    known: list[str] = []
    wrong: dict[tuple[str, str], tuple[int, str]] = {}
    for place, text in enumerate(asked):
        try:
            known.append(metadata.licence_of(text))
        except ValueError as fault:
            wrong[LICENCES, text] = (place, str(fault))
    if not wrong:
        return tuple(known)
    async with database.transaction() as session:
        meant = await looking_up.meanings(session, wrong)
    ids = {one: _spdx_id(uri) for one, meaning in meant.items() if (uri := meaning.uri) is not None}
    faults = []
    for one, (place, told) in wrong.items():
        if found := ids.get(one):
            known.append(found)
            continue
        near = [found for concept in meant[one].nearest if (found := _spdx_id(concept.uri))]
        faults.append(Fault(f"/licence/{place}", told, "; ".join(near) or None))
    if faults:
        raise Invalid("The query has faults.", faults=faults)
    return tuple(known)


def _spdx_id(uri: str) -> str:
    """Return the id of a licence; empty for what stands above licences in the scheme."""
    return uri.removeprefix(SPDX) if uri.startswith(SPDX) else ""


def _told(condition: Condition, uris: dict[tuple[str, str], str], *, narrower: bool) -> Condition:
    """Return the condition with the URIs of the concepts that it names by what they are called."""
    match condition:
        case Every(parts):
            return Every(tuple(_told(part, uris, narrower=narrower) for part in parts))
        case Some(parts):
            return Some(tuple(_told(part, uris, narrower=narrower) for part in parts))
        case No(part):
            return No(_told(part, uris, narrower=narrower))
        case OneOf(field, values) if field.type is Type.CONCEPT:
            asked = field if narrower else replace(field, exact=f"{field.exact}_own")
            return OneOf(asked, tuple(uris[str(field.scheme), str(value)] for value in values))
        case other:
            return other
