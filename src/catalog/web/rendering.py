"""The template environment, the address of each style sheet, and the headers of every page.

Templates get view models whose values are settled: no template decides what a missing field means.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from catalog.web import login, wording

SITE_NAME = "Science Catalog"
STATIC_FOLDER = Path(__file__).parent / "static"
STATIC_PATH = "/static"

# Our own scripts as files, none within a page; nothing from elsewhere, no framing. `data:` carries the arrows and ticks
# in Pico's style sheet. No page needs a script: what they do is help.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def policy_with(origin: str) -> str:
    """Return the policy of a page that shows pictures or plays sounds which lie at one other origin."""
    return CONTENT_SECURITY_POLICY.replace("img-src 'self' data:", f"img-src 'self' data: {origin}; media-src {origin}")


# Beside what every answer has (`X-Content-Type-Options`).
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # Stores and identifier sites need not learn what somebody searched for.
    "Referrer-Policy": "same-origin",
}


@cache
def asset(name: str) -> str:
    """Return the address of a static file; it changes with the content, so that browsers may keep it for ever."""
    digest = sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()
    return f"{STATIC_PATH}/{name}?v={digest[:12]}"


def _said(value: Any) -> Any:
    # A page that says "None" is a fault of the view model, to be seen in a test and not by a reader.
    if value is None:
        raise TypeError("a template shows a value that is not there")
    return value


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_said,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(asset=asset, site_name=SITE_NAME, account=login.account.get)
    environment.filters.update(
        coded=wording.coded,
        licence=wording.licence_text,
        counted=wording.counted,
        day=wording.day_text,
        instant=wording.instant_text,
        lower_first=wording.lower_first,
        moment=wording.moment_text,
        number=wording.number_text,
    )
    return environment


_ENVIRONMENT = _environment()


def render(template: str, **values: Any) -> str:
    """Return a page; raises UndefinedError where a template asks for what it was not given."""
    return _ENVIRONMENT.get_template(template).render(values)
