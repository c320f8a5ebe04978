"""`catalog vocab`: look at vocabularies, bring them to what a file says, propose terms and decide about them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.cli import output
from catalog.cli.manual import Commands
from catalog.cli.output import Invocation

if TYPE_CHECKING:
    from catalog.client.shapes import Concept, Proposal, SchemeDifference

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A SKOS file: .ttl, .nt, .rdf or .jsonld.")
]
Name = Annotated[str, typer.Argument(metavar="SCHEME", help="The vocabulary's name.")]
ProposalId = Annotated[str, typer.Argument(metavar="ID", help="The proposal's id.")]
OfFile = Annotated[str | None, typer.Option("--name", help="The vocabulary's name; else the file's, without its end.")]

STATES = ("open", "accepted", "merged", "declined")

vocab = Commands(help="Look at vocabularies, change them, and propose terms.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.add_typer(vocab, name="vocab", rich_help_panel="Finding")


@vocab.command("list")
def list_schemes(context: typer.Context, *, json: Json = False) -> None:
    """List the vocabularies."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.vocabularies.schemes()
    if json:
        output.as_json(found)
        return
    columns = ("name", "title", "version", "revision", "concepts", "deprecated")
    output.table(
        columns,
        [
            [
                *(one["name"], one["title"], one["version"] or ""),
                *(one["revision"], one["concepts"], one["deprecated"]),
            ]
            for one in found
        ],
    )


@vocab.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A vocabulary's name, or the URI of a concept.")],
    *,
    find: Annotated[str | None, typer.Option(help="Only concepts with this text in a label or notation.")] = None,
    turtle: Annotated[bool, typer.Option("--turtle", help="Write all of the vocabulary as Turtle.")] = False,
    json: Json = False,
) -> None:
    """Show a vocabulary with its concepts, or one concept."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        if ":" in name:
            _show_concept(catalog.vocabularies.concept(name), json=json)
            return
        if turtle:
            output.data(catalog.vocabularies.turtle(name).decode().rstrip("\n"))
            return
        scheme = catalog.vocabularies.scheme(name)
        concepts = list(catalog.vocabularies.concepts(name, find))
    if json:
        output.as_json({**scheme, "items": concepts})
        return
    output.table(
        ("label", "notation", "also called", "uri"),
        [[_struck(one), ", ".join(one["notations"]), ", ".join(_synonyms(one)), one["uri"]] for one in concepts],
    )
    output.say(f"{scheme['title']}: {len(concepts)} of {scheme['concepts']} concepts")


def _struck(concept: "Concept") -> str:
    return f"{concept['label']} (deprecated)" if concept["deprecated"] else concept["label"]


def _synonyms(concept: "Concept") -> list[str]:
    names = [*concept["preferred"].values(), *(text for texts in concept["alternative"].values() for text in texts)]
    return [text for text in dict.fromkeys(names) if text != concept["label"]]


def _show_concept(concept: "Concept", *, json: bool) -> None:
    if json:
        output.as_json(concept)
        return
    output.data(output.clean(_struck(concept)))
    for line in output.lines_of({name: value for name, value in concept.items() if name != "label"}, "  "):
        output.data(line)


@vocab.command("import")
def load(context: typer.Context, file: File, *, name: OfFile = None, json: Json = False) -> None:
    """Bring a vocabulary to what a SKOS file says. Concepts that it no longer has become deprecated."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _show_difference(catalog.vocabularies.load(name or file.stem, file), json=json)


@vocab.command()
def diff(context: typer.Context, file: File, *, name: OfFile = None, json: Json = False) -> None:
    """Tell what importing a SKOS file would change, and change nothing."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _show_difference(catalog.vocabularies.load(name or file.stem, file, dry_run=True), json=json)


def _show_difference(told: "SchemeDifference", *, json: bool) -> None:
    if json:
        output.as_json(told)
        return
    output.table(("fate", "concept"), [[fate, uri] for fate, uris in told["uris"].items() for uri in uris])
    for one in told["warnings"]:
        output.say(f"  {output.clean(one['uri'])} {output.clean(one['message'])}")
    counts = (
        f"{told['added']} added, {told['changed']} changed, {told['retired']} retired, {told['unchanged']} unchanged"
    )
    then = "nothing was changed" if told["dry_run"] else f"now at revision {told['revision']}"
    output.say(f"{told['scheme']}: {counts}; {then}")


@vocab.command()
def retire(
    context: typer.Context,
    uri: Annotated[str, typer.Argument(metavar="URI", help="The concept's URI.")],
    *,
    replaced_by: Annotated[str | None, typer.Option(metavar="URI", help="The concept to use instead.")] = None,
    json: Json = False,
) -> None:
    """Deprecate a concept: objects keep it, and no other can take it."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        concept = catalog.vocabularies.retire(uri, replaced_by)
    if json:
        output.as_json(concept)
        return
    instead = f"; use {concept['replaced_by']} instead" if concept["replaced_by"] else ""
    output.say(f"{output.clean(concept['label'])} is deprecated{output.clean(instead)}")


@vocab.command()
def propose(
    context: typer.Context,
    scheme: Name,
    label: Annotated[str, typer.Argument(help="What the term is called.")],
    *,
    reason: Annotated[str, typer.Option(help="Why it is needed.")],
    language: Annotated[str, typer.Option(help="The label's language.")] = "en",
    definition: Annotated[str, typer.Option(help="What it means.")] = "",
    broader: Annotated[str | None, typer.Option(metavar="URI", help="A concept that is broader.")] = None,
    json: Json = False,
) -> None:
    """Propose a term that a vocabulary lacks."""
    said = {"label": label, "language": language, "definition": definition, "broader": broader, "reason": reason}
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _show_decided(catalog.vocabularies.propose(scheme, said), json=json)


@vocab.command()
def proposals(
    context: typer.Context,
    scheme: Name,
    *,
    state: Annotated[
        str | None,
        typer.Option(help=f"Only those that are {', '.join(STATES)}.", autocompletion=output.choices(STATES)),
    ] = None,
    json: Json = False,
) -> None:
    """List proposed terms: all of them for a curator, else your own."""
    output.must_be_one_of(STATES, [state] if state else [], "--state")
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        found = catalog.vocabularies.proposals(scheme, state)
    if json:
        output.as_json(found)
        return
    columns = ("id", "state", "label", "language", "reason")
    output.table(columns, [[one["id"], one["state"], one["label"], one["language"], one["reason"]] for one in found])


@vocab.command()
def accept(context: typer.Context, scheme: Name, proposal: ProposalId, *, json: Json = False) -> None:
    """Make a concept of a proposed term."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _show_decided(catalog.vocabularies.decide(scheme, proposal, "accept"), json=json)


@vocab.command()
def merge(
    context: typer.Context,
    scheme: Name,
    proposal: ProposalId,
    *,
    into: Annotated[str, typer.Option(metavar="URI", help="The concept that it is another name of.")],
    json: Json = False,
) -> None:
    """Make a proposed term a synonym of a concept."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _show_decided(catalog.vocabularies.decide(scheme, proposal, "merge", {"into": into}), json=json)


@vocab.command()
def decline(
    context: typer.Context,
    scheme: Name,
    proposal: ProposalId,
    *,
    reason: Annotated[str, typer.Option(help="Why it is not taken.")],
    json: Json = False,
) -> None:
    """Decline a proposed term."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        _show_decided(catalog.vocabularies.decide(scheme, proposal, "decline", {"reason": reason}), json=json)


def _show_decided(proposal: "Proposal", *, json: bool) -> None:
    if json:
        output.as_json(proposal)
        return
    output.data(output.clean(proposal["id"]))
    came = f": {proposal['concept']}" if proposal["concept"] else ""
    output.say(f"{output.clean(proposal['label'])} is {proposal['state']}{output.clean(came)}")
