"""What the demo says: steps with their time on stderr, results on stdout."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.filesize import decimal

from catalog.client.shapes import Hit
from catalog.errors import CatalogError


class Teller:
    """Tells each step with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say it."""
        sys.stderr.write(f"[{time.monotonic() - self._began:6.1f} s] {text}\n")
        sys.stderr.flush()


def show(text: str = "") -> None:
    """Write a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def blaming(log: Path) -> Iterator[None]:
    """Name the log to read with whatever goes wrong in the block."""
    try:
        yield
    except CatalogError as fault:
        fault.detail = f"{fault.detail} Read {log}."
        raise


def tokens_table(tokens: dict[str, str]) -> None:
    """Show who there is, and each one's token."""
    width = max(map(len, tokens))
    for role, token in tokens.items():
        show(f"  {role:{width}}  {token}")


def hits_table(hits: Sequence[Hit], linked: str) -> None:
    """Show each hit with its first file, and the whole signed link of the file with this SHA-256."""
    for number, hit in enumerate(hits, 1):
        facts = [hit["kind"], hit["project"], hit["licence"] or "no licence said", str(hit["year"] or "no year said")]
        show(f"{number:3}  {hit['title']}")
        show(f"     {' | '.join(facts)} | {hit['id']}")
        first = next((file for file in hit["files"] if file["link"]), None)
        if first is None or first["link"] is None:
            show("     no files of its own")
            continue
        more = f", {hit['files_total'] - 1} more" if hit["files_total"] > 1 else ""
        show(f"     {first['path']} ({decimal(first['size'])}){more}")
        for file in hit["files"]:
            if file["link"] and file["sha256"] == linked:
                show(f"     {file['link']['href']}")
