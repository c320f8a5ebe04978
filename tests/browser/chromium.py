"""Where Chromium is, and how it is started for tests: a fresh profile, and nothing asked of its maker."""

from functools import cache
from pathlib import Path

from tests import programs

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGE = "chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@cache
def find() -> Path:
    """Return the program; where it is missing and may be installed, it is; raises NotInstalled."""
    return programs.by_apt(PACKAGE, *NAMES)
