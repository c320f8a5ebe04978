"""Run by Alembic; `catalog.migrations.upgrade` hands over the connection and its transaction."""

from alembic import context
from sqlmodel import SQLModel

# These imports declare the tables that the metadata below holds.
import catalog.access.audit
import catalog.access.grants
import catalog.access.identities
import catalog.access.issued
import catalog.access.members
import catalog.access.principals
import catalog.access.quotas
import catalog.access.sessions
import catalog.curation.tables
import catalog.doi.tables
import catalog.jobs.tables
import catalog.objects.discovered
import catalog.objects.relocated
import catalog.objects.tables
import catalog.outside.tables
import catalog.provenance.tables
import catalog.quality.tables
import catalog.queue
import catalog.retention.tables
import catalog.search.unfound
import catalog.snapshots.tables
import catalog.storage.backends
import catalog.storage.choices
import catalog.storage.sealing
import catalog.storage.unreadable
import catalog.subscriptions.tables
import catalog.sync.tables
import catalog.vocabulary.proposals
import catalog.vocabulary.tables  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
