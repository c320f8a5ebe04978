"""Quotas, and what every project holds, which triggers count.

A trigger sees every change, whichever way it was made. It adds a row and changes none, so that nobody waits for
anybody.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

# What one row adds to what its project holds, for `one`: a row as it is, or as it was.
_OBJECT = "(one.withdrawn_at IS NULL)::int"
# A withdrawn object awaits nothing; bytes that lie there are still there.
_FILE = "CASE WHEN object.withdrawn_at IS NULL OR one.state = 'available' THEN one.size ELSE 0 END"
# The bytes of a complete upload are those of its file. An open one comes for a file that counts already, unless that
# one has its bytes and is to be replaced. Of any other counts what it has left in the store.
_UPLOAD = """
    CASE one.state WHEN 'complete' THEN 0
        WHEN 'open' THEN CASE WHEN one.beside THEN one.size ELSE 0 END
        ELSE coalesce(one.lying_size, 0) END
    """
_OPEN = "(one.state = 'open')::int"
# By table: how a row's project is found, and the objects, bytes and open uploads that the row adds.
_COUNTED = {
    "object": ("", "one.project", _OBJECT, "0", "0"),
    "file": ("JOIN object ON object.id = one.object_id", "object.project", "0", _FILE, "0"),
    "upload": ("JOIN object ON object.id = one.object_id", "object.project", "0", _UPLOAD, _OPEN),
}
# What awaits its bytes counts for as long as its object is there.
_AWAITED = "JOIN file ON file.object_id = one.id AND file.state <> 'available'"

_ADD = """
    INSERT INTO usage (organization, project, objects, bytes, uploads)
    SELECT split_part(project, '/', 1), project, sum(objects), sum(bytes), sum(uploads) FROM ({rows}) AS counted
    GROUP BY project HAVING sum(objects) <> 0 OR sum(bytes) <> 0 OR sum(uploads) <> 0
    """


def _rows(table: str, source: str, sign: str) -> str:
    joined, project, objects, size, uploads = _COUNTED[table]
    return f"""
        SELECT {project} AS project, {sign}({objects}) AS objects, {sign}({size}) AS bytes, {sign}({uploads}) AS uploads
        FROM {source} AS one {joined}
        """  # ruff: ignore[S608] - all of it stands in this file.


def _awaited(source: str, sign: str) -> str:
    return f"""
        SELECT one.project, 0, {sign}(file.size), 0 FROM {source} AS one {_AWAITED} WHERE one.withdrawn_at IS NULL
        """  # ruff: ignore[S608] - as above.


def _changed(table: str) -> Iterator[str]:
    """Yield what is counted when rows of a table have changed."""
    if table == "object":
        # Few changes of an object withdraw it: its files are looked at for those alone.
        moved = """(SELECT {one}.* FROM after JOIN before USING (id) WHERE after.withdrawn_at IS DISTINCT FROM
            before.withdrawn_at OR after.project <> before.project)"""
        for source, sign in (("after", ""), ("before", "-")):
            yield _rows(table, moved.format(one=source), sign)
            yield _awaited(moved.format(one=source), sign)
    else:
        yield _rows(table, "after", "")
        yield _rows(table, "before", "-")


def _count(table: str) -> None:
    """Have every change of a table counted, statement by statement."""
    events = {
        "insert": ("NEW TABLE AS after", [_rows(table, "after", "")]),
        "delete": ("OLD TABLE AS before", [_rows(table, "before", "-")]),
        "update": ("OLD TABLE AS before NEW TABLE AS after", list(_changed(table))),
    }
    for event, (tables, rows) in events.items():
        name = f"count_{table}_{event}"
        added = _ADD.format(rows=" UNION ALL ".join(rows))
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {added}; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event.upper()} ON {table} REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )


def upgrade() -> None:
    """Add the tables and triggers, and count what there is."""
    op.create_table(
        "quota",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("objects", sa.BigInteger(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("uploads", sa.BigInteger(), nullable=True),
        sa.Column("set_by", sa.Uuid(), nullable=False),
        sa.Column("set_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["set_by"], ["principal.id"], name=op.f("fk_quota_set_by_principal")),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_quota")),
    )
    op.create_table(
        "usage",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("uploads", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage")),
    )
    op.create_index("ix_usage_organization_project", "usage", ["organization", "project"])
    # In the order in which changes take them. Until this is committed nobody else writes: what is counted is all.
    op.execute("LOCK TABLE object, file, upload IN ACCESS EXCLUSIVE MODE")
    op.add_column("upload", sa.Column("beside", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("upload", sa.Column("lying_size", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE upload SET lying_size = coalesce(found_size, size)"
        " WHERE seen_at IS NOT NULL AND state IN ('complete', 'mismatched', 'superseded')"
    )
    for table in _COUNTED:
        _count(table)
    every = " UNION ALL ".join(_rows(table, table, "") for table in _COUNTED)
    op.execute(_ADD.format(rows=every))
