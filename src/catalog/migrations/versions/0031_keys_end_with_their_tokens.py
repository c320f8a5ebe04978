"""By which token a key to a feed, or a secret of webhooks, was made: it ends with it."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Go one step forward."""
    for name in ("feed_made_with", "secret_made_with"):
        op.add_column("saved_search", sa.Column(name, sa.Uuid(), nullable=True))
        op.create_foreign_key(op.f(f"fk_saved_search_{name}_token"), "saved_search", "token", [name], ["id"])
    # What was made before was made, as far as anybody knows, by whoever saved the search.
    op.execute("UPDATE saved_search SET feed_made_with = made_with WHERE feed_digest IS NOT NULL")
