"""The first administrator's token of a stack."""

from contextlib import suppress
from pathlib import Path

from catalog.access import principals
from catalog.access.audience import Role
from catalog.database import Database
from catalog.errors import CatalogError, Conflict
from catalog.local.home import write_private

TOKEN_NAME = "local-admin"  # ruff: ignore[S105] - the name of whoever holds it.


async def admin_token(file: Path, database_url: str) -> None:
    """See that `file` holds a token of an administrator that works, so that somebody can begin."""
    database = Database(database_url, connections=1)
    try:
        async with database.transaction() as session:
            with suppress(CatalogError, OSError):
                await principals.identify(database, _text(file))
                return
            try:
                _, token = await principals.create_token(session, name=TOKEN_NAME, role=Role.ADMIN, label="catalog up")
            except Conflict:
                # Somebody ended it on purpose: then another admin is there, or `catalog token create` makes one.
                return
        write_private(file, f"{token}\n")
    finally:
        await database.close()


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
