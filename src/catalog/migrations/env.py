"""Run by Alembic; `catalog.migrations.upgrade` hands over the connection and its transaction."""

from alembic import context
from sqlmodel import SQLModel

# These imports declare the tables that the metadata below holds.
import catalog.access.grants
import catalog.access.identities
import catalog.access.members
import catalog.access.principals
import catalog.access.sessions
import catalog.curation.tables
import catalog.doi.tables
import catalog.objects.discovered
import catalog.objects.tables
import catalog.outside.tables
import catalog.provenance.tables
import catalog.quality.tables
import catalog.queue
import catalog.search.unfound
import catalog.snapshots.tables
import catalog.storage.unreadable
import catalog.vocabulary.proposals
import catalog.vocabulary.tables  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
