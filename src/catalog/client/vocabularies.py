"""The vocabularies of a catalog: schemes, concepts, and terms that are proposed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from catalog.client.connection import Connection, Parameters
from catalog.client.shapes import Concept, Proposal, Scheme, SchemeDifference
from catalog.errors import Invalid

# A file of 100,000 concepts takes a minute or two.
IMPORT_SECONDS_MAX = 300.0
PAGE_LIMIT = 100
# The media type by how a file's name ends.
MEDIA_TYPES = {
    ".ttl": "text/turtle",
    ".nt": "application/n-triples",
    ".rdf": "application/rdf+xml",
    ".xml": "application/rdf+xml",
    ".jsonld": "application/ld+json",
}


class Vocabularies:
    """What can be asked and done about vocabularies, as the principal of a catalog's client."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def schemes(self) -> list[Scheme]:
        """Return every vocabulary."""
        found: list[Scheme] = self._connection.json("GET", "/api/vocabularies", repeatable=True)["items"]
        return found

    def scheme(self, name: str) -> Scheme:
        """Return one vocabulary's facts."""
        found: Scheme = self._connection.json("GET", _address(name), repeatable=True)
        return found

    def turtle(self, name: str) -> bytes:
        """Return all of a vocabulary as Turtle."""
        parameters = [("format", "turtle")]
        return self._connection.send("GET", _address(name), parameters=parameters, repeatable=True).content

    def concepts(self, name: str, text: str | None = None) -> Iterator[Concept]:
        """Yield the concepts of a vocabulary by label, those with the text in a label where one is given."""
        asked: Parameters = [("limit", str(PAGE_LIMIT)), *([("q", text)] if text else [])]
        return self._connection.pages(f"{_address(name)}/concepts", asked)

    def concept(self, uri: str) -> Concept:
        """Return the concept of a URI."""
        found: Concept = self._connection.json("GET", "/api/concepts", parameters=[("uri", uri)], repeatable=True)
        return found

    def load(self, name: str, file: Path, *, dry_run: bool = False) -> SchemeDifference:
        """Bring a vocabulary to what a SKOS file says, or tell what that would change."""
        media_type = MEDIA_TYPES.get(file.suffix.lower())
        if media_type is None:
            raise Invalid(
                f"{file.name} ends in none of {', '.join(MEDIA_TYPES)}, which say how a vocabulary is written."
            )
        told: SchemeDifference = self._connection.json(
            "PUT",
            _address(name),
            parameters=[("dry_run", "true")] if dry_run else [],
            body=file.read_bytes(),
            headers={"content-type": media_type},
            answer_seconds=IMPORT_SECONDS_MAX,
            # The same file again changes nothing.
            repeatable=True,
        )
        return told

    def retire(self, uri: str, replaced_by: str | None = None) -> Concept:
        """Deprecate a concept."""
        body: dict[str, Any] = {"uri": uri, "replaced_by": replaced_by}
        scheme = self.concept(uri)["scheme"]
        retired: Concept = self._connection.json("POST", f"{_address(scheme)}/retire", body=body, repeatable=True)
        return retired

    def propose(self, name: str, proposal: dict[str, Any]) -> Proposal:
        """Propose a term; one that waits already is returned as it is."""
        made: Proposal = self._connection.json("POST", f"{_address(name)}/proposals", body=proposal, repeatable=True)
        return made

    def proposals(self, name: str, state: str | None = None) -> list[Proposal]:
        """Return the newest proposals: all of them for a curator, else those of one's own."""
        parameters = [("limit", "200"), *([("state", state)] if state else [])]
        found: list[Proposal] = self._connection.json(
            "GET", f"{_address(name)}/proposals", parameters=parameters, repeatable=True
        )["items"]
        return found

    def decide(self, name: str, proposal_id: str, verb: str, body: dict[str, str] | None = None) -> Proposal:
        """Accept, merge or decline a proposal."""
        address = f"{_address(name)}/proposals/{quote(proposal_id, safe='')}/{verb}"
        decided: Proposal = self._connection.json("POST", address, body=body, repeatable=True)
        return decided


def _address(name: str) -> str:
    return f"/api/vocabularies/{quote(name, safe='')}"
