"""`make trace`: the rows of each founding document that a passing test proves, and those that none proves yet.

`--file` names the proofs of a run (build/trace.json). `--fresh` only answers by its exit code whether that file is
newer than everything it depends on, so that `make trace` runs the tests no more often than needed.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.trace import rows

ROOT = Path(__file__).resolve().parents[2]
PROOFS = Path("build") / "trace.json"

# A change under these can change what the tests prove.
SOURCES = ("src", "indexer", "tests", "docs", "openapi", "vocabularies", "pyproject.toml", "requirements")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; 0 when it could be made, 1 when there are no usable proofs."""
    parser = argparse.ArgumentParser(prog="python -m tests.trace", description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=ROOT / PROOFS, help="the proofs of a test run")
    parser.add_argument("--fresh", action="store_true", help="exit 0 if the proofs are newer than the sources")
    chosen = parser.parse_args(arguments)
    if chosen.fresh:
        return 0 if is_fresh(chosen.file, ROOT) else 1
    try:
        proofs = json.loads(chosen.file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.stderr.write(f"{chosen.file} is missing: run `make test` first\n")
        return 1
    except json.JSONDecodeError as fault:
        sys.stderr.write(f"{chosen.file} is not JSON ({fault}): run `make test` again\n")
        return 1
    sys.stdout.write("\n".join(report(rows.read(ROOT), proofs)) + "\n")
    return 0


def is_fresh(proofs: Path, root: Path) -> bool:
    """Whether the proofs are younger than every file that could change them."""
    if not proofs.exists():
        return False
    written = proofs.stat().st_mtime
    return all(file.stat().st_mtime <= written for file in _files(root))


def report(known: Mapping[str, rows.Row], proofs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the lines to print: each document with its proved and unproved rows, then one line over all."""
    for document, members in rows.by_document(known).items():
        proved = [row for row in members if proofs.get(row.id)]
        yield f"{document}: {len(proved)} of {len(members)} rows proved"
        for row in members:
            tests = len(proofs.get(row.id, ()))
            state = f"proved by {tests}" if tests else "no proof yet"
            yield f"  {row.id:<18}{row.tier}  {state:<14}{row.sentence}"
        yield ""
    total = sum(1 for row in known if proofs.get(row))
    yield f"Together: {total} of {len(known)} rows proved"


def _files(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        place = root / name
        if place.is_file():
            yield place
        else:
            yield from (file for file in place.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


if __name__ == "__main__":
    sys.exit(main())
