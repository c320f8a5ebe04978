"""What an object came from and what came of it, one step each way, and who is responsible, as its page shows it.

Pure. A hidden object is told to be there and nothing else, as the graph has it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.web import wording

STEPS_SHOWN_MAX = 20
# Both ask to show their identifiers as addresses (ORCID and ROR display guidelines).
REGISTRIES = {"ORCID": "https://orcid.org/", "ROR": "https://ror.org/"}
# What the object is to its source, and what a result is to the object; relations that are missing are told in words.
UP = {
    "Annotates": "Annotates",
    "IsDerivedFrom": "Derived from",
    "IsSourceOf": "Derived from",
    "IsPartOf": "Belongs to",
    "Requires": "Needs",
    "IsNewVersionOf": "New version of",
    "IsPreviousVersionOf": "New version of",
    "IsVersionOf": "Version of",
    "HasVersion": "Version of",
    "IsVariantFormOf": "Variant of",
    "IsOriginalFormOf": "Variant of",
    "IsTranslationOf": "Translation of",
    "HasTranslation": "Translation of",
}
DOWN = {
    "Annotates": "Annotated by",
    "HasPart": "Part of",
    "IsDerivedFrom": "Source of",
    "IsSourceOf": "Source of",
    "IsPartOf": "Has",
    "Requires": "Needed by",
    "IsNewVersionOf": "Earlier version of",
    "IsPreviousVersionOf": "Earlier version of",
    "IsVersionOf": "Has the version",
    "HasVersion": "Has the version",
    "IsVariantFormOf": "Has the variant",
    "IsOriginalFormOf": "Has the variant",
    "IsTranslationOf": "Has the translation",
    "HasTranslation": "Has the translation",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One object or activity beside this one: how they relate, and as much of it as may be told."""

    how: str
    title: str | None
    kind_label: str | None
    address: str | None
    state: str
    # Of what is hidden.
    what: str = "object"


@dataclass(frozen=True, slots=True)
class Responsible:
    """An agent that the object is attributed to, or that had a part in what made it; and for whom it acted."""

    how: str
    name: str
    address: str | None
    role: str | None
    behalf: list[str]


@dataclass(frozen=True, slots=True)
class Traced:
    """The nearest sources and results, and who is responsible; `more` when there are others."""

    sources: list[Step]
    results: list[Step]
    responsible: list[Responsible]
    more: bool

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.sources or self.results or self.responsible)


def traced(graph: Mapping[str, Any]) -> Traced:
    """Return the steps of a graph of depth 1 in both directions, as `GET /api/objects/{id}/provenance` answers it."""
    here = graph["object"]
    nodes = {node["id"]: node for node in graph["nodes"]}
    made_by = {edge["to"] for edge in graph["edges"] if edge["type"] == "wasGeneratedBy" and edge["from"] == here}
    used_by = {edge["from"] for edge in graph["edges"] if edge["type"] == "used" and edge["to"] == here}
    sources: dict[tuple[str, str], Step] = {}
    results: dict[tuple[str, str], Step] = {}
    for edge in graph["edges"]:
        source, target, said = edge["from"], edge["to"], edge.get("relation", "")
        if edge["type"] == "used" and source in made_by:
            _add(sources, nodes[target], f"Used by {nodes[source]['title']}")
        elif edge["type"] == "wasGeneratedBy" and target in used_by and source != here:
            _add(results, nodes[source], f"Made by {nodes[target]['title']}")
        elif edge["type"] == "wasInformedBy" and source in made_by:
            _add(sources, nodes[target], f"{nodes[source]['title']} was informed by")
        # Members stand in a list of their own, in their order.
        elif source == here and said and said != "HasPart":
            _add(sources, nodes[target], UP.get(said, wording.label_of(said)))
        elif target == here and said:
            _add(results, nodes[source], DOWN.get(said, wording.label_of(said)))
    responsible = _responsible(graph["edges"], nodes, here, made_by)
    more = graph["truncated"] or max(len(sources), len(results), len(responsible)) > STEPS_SHOWN_MAX
    return Traced(
        list(sources.values())[:STEPS_SHOWN_MAX],
        list(results.values())[:STEPS_SHOWN_MAX],
        responsible[:STEPS_SHOWN_MAX],
        more,
    )


def _responsible(
    edges: Sequence[Mapping[str, Any]], nodes: Mapping[str, Mapping[str, Any]], here: str, made_by: Collection[str]
) -> list[Responsible]:
    """Return the agents of the object first, then those of the activities that made it; each as it was said."""
    of_object: list[Responsible] = []
    of_activities: list[Responsible] = []
    for edge in edges:
        said_by, agent = edge["from"], nodes[edge["to"]]
        if edge["type"] == "wasAttributedTo" and said_by == here:
            told, how, sayers = of_object, "Attributed to", {here}
        elif edge["type"] == "wasAssociatedWith" and said_by in made_by:
            # What the object says of its agents holds for whatever they did.
            told, how, sayers = of_activities, f"Had a part in {nodes[said_by]['title']}", {here, said_by}
        else:
            continue
        behalf = [
            nodes[one["to"]]["title"]
            for one in edges
            if one["type"] == "actedOnBehalfOf" and one["from"] == agent["id"] and one["said_by"] in sayers
        ]
        told.append(
            Responsible(how, agent["title"], _agent_address(agent), edge.get("role"), list(dict.fromkeys(behalf)))
        )
    return of_object + of_activities


def _agent_address(agent: Mapping[str, Any]) -> str | None:
    registry = REGISTRIES.get(agent.get("identifier_type", ""))
    return None if registry is None else wording.safe_address(f"{registry}{agent['identifier']}")


def _add(steps: dict[tuple[str, str], Step], node: Mapping[str, Any], how: str) -> None:
    steps.setdefault((how, node["id"]), _step(node, how))


def _step(node: Mapping[str, Any], how: str) -> Step:
    state = node["state"]
    if state == "hidden":
        return Step(how, None, None, None, state, node.get("type", "object"))
    if node["type"] == "activity":
        return Step(how, node["title"], "Activity", node["href"], state)
    if state == "outside":
        identifier = node["identifier"]
        written = identifier if node["identifier_type"] == "URL" else f"{node['identifier_type']} {identifier}"
        address = f"https://doi.org/{identifier}" if node["identifier_type"] == "DOI" else identifier
        return Step(how, written, None, wording.safe_address(address), state)
    kind_label = wording.kind_title(node["kind"])
    if state == "withdrawn":
        return Step(how, None, kind_label, None, state)
    return Step(how, node["title"], kind_label, wording.object_address(node["id"]), state)
