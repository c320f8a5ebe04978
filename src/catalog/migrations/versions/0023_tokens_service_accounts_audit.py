"""What tokens are good for, service accounts, and who changed who may do what."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add columns and the table; every token that is there is good for all that it was good for."""
    op.add_column("principal", sa.Column("kind", sa.Text(), server_default="user", nullable=False))
    op.add_column("principal", sa.Column("organization", sa.Text(), nullable=True))
    op.create_foreign_key(
        op.f("fk_principal_organization_organization"), "principal", "organization", ["organization"], ["name"]
    )
    op.create_index(op.f("ix_principal_organization"), "principal", ["organization"])
    op.create_check_constraint(
        op.f("ck_principal_organization_of_service"), "principal", "organization IS NULL OR kind = 'service'"
    )
    op.add_column("token", sa.Column("former_digest", sa.LargeBinary(), nullable=True))
    op.add_column("token", sa.Column("former_until", sa.TIMESTAMP(timezone=True), nullable=True))
    op.add_column(
        "token",
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), server_default="{read,register,curate,admin}", nullable=False),
    )
    op.add_column("token", sa.Column("place", sa.Text(), nullable=True))
    op.add_column("token", sa.Column("made_with", sa.Uuid(), nullable=True))
    op.add_column("token", sa.Column("last_used_at", sa.TIMESTAMP(timezone=True), nullable=True))
    op.create_unique_constraint(op.f("uq_token_former_digest"), "token", ["former_digest"])
    op.create_foreign_key(op.f("fk_token_made_with_token"), "token", "token", ["made_with"], ["id"])
    op.create_index(op.f("ix_token_made_with"), "token", ["made_with"])
    op.create_check_constraint(
        op.f("ck_token_former_whole"), "token", "(former_digest IS NULL) = (former_until IS NULL)"
    )
    op.create_table(
        "access_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("principal_id", sa.Uuid(), nullable=True),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_change")),
    )
    op.create_index("ix_access_change_scope_id", "access_change", ["scope", "id"])
    op.create_index("ix_access_change_subject_id", "access_change", ["subject", "id"])
    op.create_index("ix_access_change_principal_id_id", "access_change", ["principal_id", "id"])
