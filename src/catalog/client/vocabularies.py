"""The vocabularies of a catalog: schemes, concepts, and terms that are proposed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.client.calls import C, Call, Listing, Room, Steps, get, items, quoted, request, said, series
from catalog.client.shapes import Concept, Proposal, Scheme, SchemeDifference
from catalog.errors import Invalid

# A file of 100,000 concepts takes a minute or two.
IMPORT_SECONDS_MAX = 300.0
PAGE_LIMIT = 100
PROPOSALS_LIMIT = 200
# The media type by how a file's name ends.
MEDIA_TYPES = {
    ".ttl": "text/turtle",
    ".nt": "application/n-triples",
    ".rdf": "application/rdf+xml",
    ".xml": "application/rdf+xml",
    ".jsonld": "application/ld+json",
}


class Vocabularies(Room[C]):
    """What can be asked and done about vocabularies."""

    @request
    def schemes(self) -> Call[list[Scheme]]:
        """Return every vocabulary."""
        return items("/api/vocabularies")

    @request
    def scheme(self, name: str) -> Call[Scheme]:
        """Return one vocabulary's facts."""
        return get(_address(name))

    @request
    def turtle(self, name: str) -> Call[bytes]:
        """Return all of a vocabulary as Turtle."""
        asked = said(format="turtle")
        return Call("GET", _address(name), asked, repeatable=True, read=lambda response: response.content)

    @series
    def concepts(self, name: str, text: str | None = None) -> Listing[Concept]:
        """Yield the concepts of a vocabulary by label, those with the text in a label where one is given."""
        return Listing(f"{_address(name)}/concepts", said(limit=PAGE_LIMIT, q=text or None))

    @request
    def concept(self, uri: str) -> Call[Concept]:
        """Return the concept of a URI."""
        return get("/api/concepts", said(uri=uri))

    @request
    def load(self, name: str, file: Path, *, dry_run: bool = False) -> Call[SchemeDifference]:
        """Bring a vocabulary to what a SKOS file says, or tell what that would change."""
        media_type = MEDIA_TYPES.get(file.suffix.lower())
        if media_type is None:
            raise Invalid(
                f"{file.name} ends in none of {', '.join(MEDIA_TYPES)}, which say how a vocabulary is written."
            )
        return Call(
            "PUT",
            _address(name),
            said(dry_run=dry_run or None),
            body=file.read_bytes(),
            headers={"content-type": media_type},
            answer_seconds=IMPORT_SECONDS_MAX,
            # The same file again changes nothing.
            repeatable=True,
        )

    @request
    def retire(self, uri: str, replaced_by: str | None = None) -> Steps[Concept]:
        """Deprecate a concept."""
        body: dict[str, Any] = {"uri": uri, "replaced_by": replaced_by}
        concept = yield get("/api/concepts", said(uri=uri))
        retired: Concept = yield Call("POST", f"{_address(concept['scheme'])}/retire", body=body, repeatable=True)
        return retired

    @request
    def propose(self, name: str, proposal: Mapping[str, Any]) -> Call[Proposal]:
        """Propose a term; one that waits already is returned as it is."""
        return Call("POST", f"{_address(name)}/proposals", body=proposal, repeatable=True)

    @request
    def proposals(self, name: str, state: str | None = None) -> Call[list[Proposal]]:
        """Return the newest proposals: all of them for a curator, else those of one's own."""
        return items(f"{_address(name)}/proposals", said(limit=PROPOSALS_LIMIT, state=state))

    @request
    def decide(self, name: str, proposal_id: str, verb: str, body: Mapping[str, str] | None = None) -> Call[Proposal]:
        """Accept, merge or decline a proposal."""
        address = f"{_address(name)}/proposals/{quoted(proposal_id)}/{verb}"
        return Call("POST", address, body=body, repeatable=True)


def _address(name: str) -> str:
    return f"/api/vocabularies/{quoted(name)}"
