"""Write licences.ttl from the list of SPDX licences that the package `packaging` carries: `make vocabularies`.

The list has ids and which of them are deprecated, no names: names stand here for those that people ask for by name.
"""

from pathlib import Path

from packaging.licenses import _spdx

FILE = Path(__file__).with_name("licences.ttl")
# SPDX, "Short identifiers": the address of a licence is made of its id.
BASE = "http://spdx.org/licenses/"
FAMILIES = {
    "permissive": ("Permissive licences", "Freizügige Lizenzen", "licences permissives", "licencias permisivas"),
    "copyleft": ("Copyleft licences", "Copyleft-Lizenzen", "licences copyleft", "licencias copyleft"),
    "data-and-content": (
        *("Licences of data and content", "Lizenzen für Daten und Inhalte"),
        *("licences de données et de contenus", "licencias de datos y contenidos"),
    ),
    "public-domain": ("Public domain", "Gemeinfreiheit", "domaine public", "dominio público"),
}
# Names as the licences' authors give them, and the family; texts after the second are synonyms.
NAMED = {
    "MIT": ("permissive", "MIT License", "Expat License"),
    "Apache-2.0": ("permissive", "Apache License 2.0", "Apache 2", "Apache License, Version 2.0"),
    "BSD-2-Clause": ("permissive", "BSD 2-Clause License", "Simplified BSD License", "FreeBSD License"),
    "BSD-3-Clause": ("permissive", "BSD 3-Clause License", "New BSD License", "Modified BSD License"),
    "ISC": ("permissive", "ISC License"),
    "Zlib": ("permissive", "zlib License"),
    "BSL-1.0": ("permissive", "Boost Software License 1.0"),
    "PSF-2.0": ("permissive", "Python Software Foundation License 2.0"),
    "GPL-2.0-only": ("copyleft", "GNU General Public License 2.0 only", "GPLv2"),
    "GPL-2.0-or-later": ("copyleft", "GNU General Public License 2.0 or later", "GPLv2+"),
    "GPL-3.0-only": ("copyleft", "GNU General Public License 3.0 only", "GPLv3"),
    "GPL-3.0-or-later": ("copyleft", "GNU General Public License 3.0 or later", "GPLv3+"),
    "LGPL-2.1-only": ("copyleft", "GNU Lesser General Public License 2.1 only", "LGPLv2.1"),
    "LGPL-3.0-only": ("copyleft", "GNU Lesser General Public License 3.0 only", "LGPLv3"),
    "AGPL-3.0-only": ("copyleft", "GNU Affero General Public License 3.0 only", "AGPLv3"),
    "MPL-2.0": ("copyleft", "Mozilla Public License 2.0"),
    "EPL-2.0": ("copyleft", "Eclipse Public License 2.0"),
    "EUPL-1.2": ("copyleft", "European Union Public Licence 1.2"),
    "CC-BY-4.0": ("data-and-content", "Creative Commons Attribution 4.0", "CC BY", "CC BY 4.0"),
    "CC-BY-SA-4.0": ("data-and-content", "Creative Commons Attribution Share Alike 4.0", "CC BY-SA", "CC BY-SA 4.0"),
    "CC-BY-NC-4.0": ("data-and-content", "Creative Commons Attribution Non Commercial 4.0", "CC BY-NC 4.0"),
    "CC-BY-ND-4.0": ("data-and-content", "Creative Commons Attribution No Derivatives 4.0", "CC BY-ND 4.0"),
    "CC-BY-NC-SA-4.0": ("data-and-content", "Creative Commons Attribution Non Commercial Share Alike 4.0",
                        "CC BY-NC-SA 4.0"),
    "CC-BY-3.0": ("data-and-content", "Creative Commons Attribution 3.0", "CC BY 3.0"),
    "ODbL-1.0": ("data-and-content", "Open Data Commons Open Database License 1.0"),
    "ODC-By-1.0": ("data-and-content", "Open Data Commons Attribution License 1.0"),
    "CDLA-Permissive-2.0": ("data-and-content", "Community Data License Agreement Permissive 2.0"),
    "OGL-UK-3.0": ("data-and-content", "Open Government Licence 3.0"),
    "DL-DE-BY-2.0": ("data-and-content", "Datenlizenz Deutschland Namensnennung 2.0"),
    "CC0-1.0": ("public-domain", "Creative Commons Zero 1.0", "CC0"),
    "PDDL-1.0": ("public-domain", "Open Data Commons Public Domain Dedication and License 1.0"),
    "Unlicense": ("public-domain", "The Unlicense"),
}  # fmt: skip


def text() -> str:
    """Return the scheme as Turtle."""
    said = [
        "# SPDX licences. Made by `make vocabularies`; ids from the SPDX licence list, CC0-1.0. See README.md.",
        "",
        "@prefix dcterms: <http://purl.org/dc/terms/> .",
        "@prefix owl: <http://www.w3.org/2002/07/owl#> .",
        "@prefix skos: <http://www.w3.org/2004/02/skos/core#> .",
        "@prefix : <urn:x-catalog:licences:> .",
        "",
        "<urn:x-catalog:licences> a skos:ConceptScheme ;",
        '    dcterms:title "SPDX licences"@en ;',
        '    dcterms:description "Licences by their SPDX ids, as `licence` takes them."@en ;',
        "    dcterms:license <https://creativecommons.org/publicdomain/zero/1.0/> ;",
        "    dcterms:source <http://spdx.org/licenses/> ;",
        f'    owl:versionInfo "{_spdx.VERSION}" .',
    ]
    for family, labels in FAMILIES.items():
        told = ", ".join(f'"{label}"@{language}' for label, language in zip(labels, LANGUAGES, strict=True))
        said += ["", f":{family} a skos:Concept ;", f"{IN_SCHEME} ;", f"    skos:prefLabel {told} ."]
    for licence in sorted(_spdx.LICENSES.values(), key=lambda one: one["id"]):
        said += ["", *_concept(str(licence["id"]), deprecated=bool(licence["deprecated"]))]
    return "\n".join(said) + "\n"


LANGUAGES = ("en", "de", "fr", "es")
IN_SCHEME = "    skos:inScheme <urn:x-catalog:licences>"


def _concept(name: str, *, deprecated: bool) -> list[str]:
    lines = [f"<{BASE}{name}> a skos:Concept", IN_SCHEME]
    family, label, *synonyms = NAMED.get(name, ("", name))
    if family:
        lines.append(f"    skos:broader :{family}")
    lines.append(f'    skos:prefLabel "{label}"@en')
    if synonyms:
        lines.append("    skos:altLabel " + ", ".join(f'"{synonym}"@en' for synonym in synonyms))
    lines.append(f'    skos:notation "{name}"')
    if deprecated:
        lines.append("    owl:deprecated true")
    return [f"{line} ;" for line in lines[:-1]] + [f"{lines[-1]} ."]


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
