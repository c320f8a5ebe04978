"""docs/configuration.md names the settings that there are, with the defaults that they have."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from catalog.settings import PREFIX, ClientSettings, Settings, Workstation, secrets_of
from tests.docs.repository import documents, text_of

PAGE = text_of(Path("docs/configuration.md")) or ""
ROW = re.compile(r"^\| `(?P<name>[A-Z_]+)` \| (?P<default>[^|]*?) ?\| (?P<meaning>[^|]+) \|$", re.MULTILINE)
NAMED = re.compile(rf"\b{PREFIX}[A-Z][A-Z_]*\b")


def table_under(heading: str) -> dict[str, str]:
    """Names and defaults of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return {found["name"]: found["default"] for found in ROW.finditer(section)}


def shown(field: FieldInfo) -> str:
    """A default as the page writes it: empty for none."""
    if field.is_required() or field.default in {None, ""}:
        return ""
    default = field.default
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`" if default else ""
    return f"`{int(default.total_seconds()) if isinstance(default, timedelta) else default}`"


def defaults_of(settings: type[BaseSettings], prefix: str) -> dict[str, str]:
    return {f"{prefix}{name.upper()}": shown(field) for name, field in settings.model_fields.items()}


@pytest.mark.parametrize(
    ("heading", "settings", "prefix", "differs"),
    [
        (
            "The server and the indexer",
            Settings,
            PREFIX,
            {
                "CATALOG_STORE_PUBLIC_URL": "as `CATALOG_STORE_URL`",
                "CATALOG_OUTSIDE_CHECKS": "`false`",
            },
        ),
        ("The client", ClientSettings, PREFIX, {}),
        ("The embedded stack", Workstation, "", {"XDG_CACHE_HOME": "`~/.cache`"}),
    ],
    ids=["server", "client", "workstation"],
)
def test_the_table_is_as_the_settings_are(
    heading: str, settings: type[BaseSettings], prefix: str, differs: dict[str, str]
) -> None:
    assert table_under(heading) == defaults_of(settings, prefix) | differs


@pytest.mark.parametrize("page", documents(), ids=str)
def test_no_page_names_a_setting_that_is_not_there(page: Path) -> None:
    known = defaults_of(Settings, PREFIX).keys() | defaults_of(ClientSettings, PREFIX).keys()
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in secrets_of(Settings)}
    known |= defaults_of(Workstation, "").keys()
    assert set(NAMED.findall(text_of(page) or "")) - known == set()


@pytest.mark.parametrize("name", secrets_of(Settings))
def test_every_secret_file_is_documented(name: str) -> None:
    assert f"`{PREFIX}{name.upper()}_FILE`" in PAGE
