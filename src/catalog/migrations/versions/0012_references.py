"""References: which objects the metadata of others names, filled from what is registered."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

# Where each kind names objects: one, or a list of them.
_ONE = """
    SELECT object.id, (record #>> path)::uuid, bond, '/' || array_to_string(path, '/')
    FROM object JOIN (VALUES
        ('labels', ARRAY['metadata', 'dataset'], 'Annotates'),
        ('weights', ARRAY['metadata', 'model'], 'IsPartOf'),
        ('docker-image', ARRAY['metadata', 'dockerfile'], 'IsDerivedFrom'),
        ('calibration', ARRAY['metadata', 'measurements'], 'IsDerivedFrom'),
        ('sensor-data', ARRAY['metadata', 'calibration'], 'IsDerivedFrom')
    ) AS place (kind, path, bond) USING (kind)
    WHERE record #>> path IS NOT NULL
"""
_SEVERAL = """
    SELECT object.id, one.id::uuid, bond, '/' || array_to_string(path, '/') || '/' || one.place - 1
    FROM object JOIN (VALUES
        ('weights', ARRAY['metadata', 'trained_on'], 'IsDerivedFrom'),
        ('binary', ARRAY['metadata', 'built_from'], 'IsDerivedFrom'),
        ('trigger-app', ARRAY['metadata', 'starts'], 'Requires')
    ) AS place (kind, path, bond) USING (kind)
    CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(record #> path, '[]')) WITH ORDINALITY AS one (id, place)
"""
_MEMBERS = """
    SELECT object.id, (member.it ->> 'id')::uuid, 'HasPart', '/metadata/members/' || member.place - 1 || '/id'
    FROM object CROSS JOIN LATERAL
        jsonb_array_elements(record #> '{metadata,members}') WITH ORDINALITY AS member (it, place)
    WHERE kind = 'ecr-bundle' AND member.it ->> 'type' = 'object'
"""


def upgrade() -> None:
    """Add the table, and fill it."""
    op.create_table(
        "reference",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("bond", sa.Text(), nullable=False),
        sa.Column("pointer", sa.Text(), nullable=False),
        sa.Column("former", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["object.id"], name=op.f("fk_reference_subject_id_object")),
        sa.ForeignKeyConstraint(["target_id"], ["object.id"], name=op.f("fk_reference_target_id_object")),
        sa.PrimaryKeyConstraint("subject_id", "target_id", "bond", name=op.f("pk_reference")),
    )
    op.create_index("ix_reference_target_id", "reference", ["target_id", "bond", "subject_id"])
    for named in (_ONE, _SEVERAL, _MEMBERS):
        op.execute(f"INSERT INTO reference (subject_id, target_id, bond, pointer) {named} ON CONFLICT DO NOTHING")
