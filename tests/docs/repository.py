"""The files that make up the repository, as git knows them."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def tracked() -> tuple[Path, ...]:
    """Every tracked file that is there, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return tuple(
        sorted(path for name in listed.decode().split("\0") if name and (ROOT / (path := Path(name))).is_file())
    )


def text_of(path: Path) -> str | None:
    """The text of a tracked file; None for one that holds something else."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def documents() -> list[Path]:
    """Every Markdown page of ours: what is vendored keeps the links it came with."""
    return [path for path in tracked() if path.suffix == ".md" and "vendor" not in path.parts]
