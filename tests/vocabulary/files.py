"""SKOS files for the tests, small and whole."""

from rdflib.namespace import DCTERMS

PREFIXES = """
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix dcterms: <{dcterms}> .
@prefix c: <{base}:> .
"""


def turtle(base: str, *concepts: str, title: str = "Soil") -> str:
    """Return a scheme of these concepts, each as `c:name` and what is said of it; all are in the scheme."""
    scheme = f'<{base}> a skos:ConceptScheme ; dcterms:title "{title}"@en ; owl:versionInfo "1" .\n'
    said = "".join(f"{concept} .\n" for concept in concepts)
    members = "".join(
        f"{concept.split(maxsplit=1)[0]} a skos:Concept ; skos:inScheme <{base}> .\n" for concept in concepts
    )
    return PREFIXES.format(base=base, dcterms=DCTERMS) + scheme + said + members


def soil(base: str) -> str:
    """Return a scheme with everything that a concept can have."""
    return turtle(
        base,
        'c:soil skos:prefLabel "Soil"@en, "Boden"@de ; skos:narrower c:moisture',
        'c:moisture skos:notation "SM" ; skos:prefLabel "Soil moisture"@en, "Bodenfeuchte"@de ;'
        ' skos:altLabel "water content"@en, "humidité du sol"@fr ; skos:hiddenLabel "moistrue"@en ;'
        ' skos:definition "How much water the soil holds."@en ; skos:related c:rain ;'
        " skos:exactMatch <https://example.org/moisture>",
        'c:rain skos:prefLabel "Precipitation"@en ; skos:altLabel "rain"@en',
        'c:wet skos:prefLabel "Wetness"@en ; owl:deprecated true ; dcterms:isReplacedBy c:moisture',
    )
