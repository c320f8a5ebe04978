"""The database schema, step by step, forward only.

`upgrade` is repeatable and safe to run from several processes at once.
"""

from pathlib import Path

import alembic.command
import alembic.config
import sqlalchemy as sa

from catalog.database import sqlalchemy_url
from catalog.migrations import vectors

# Any number of our own; it keeps two upgrades of one database apart.
LOCK = 7_201_145_603


def upgrade(url: str) -> None:
    """Bring the database to the newest schema; returns at once when it is there already."""
    engine = sa.create_engine(sqlalchemy_url(url), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        alembic.command.upgrade(_configuration(connection), "head")
        vectors.ensure(connection)


def _configuration(connection: sa.Connection) -> alembic.config.Config:
    configuration = alembic.config.Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent))
    configuration.attributes["connection"] = connection
    return configuration
