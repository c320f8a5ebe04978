"""The table of vectors, which is there where the server has pgvector, and whose absence stops nothing.

Made after every upgrade and not by a numbered step: who installs the extension later runs `catalog migrate` once more.
"""

import sqlalchemy as sa

# Of all-MiniLM-L6-v2.
DIMENSIONS = 384
# pgvector's own defaults, which find the same as an exact search here (docs/adr/0037): more costs memory and time in
# every write. M is how many neighbours a row keeps in each layer, EF_CONSTRUCTION how many it may choose from.
M, EF_CONSTRUCTION = 16, 64

EXTENSION = "vector"
_TABLE = f"""
CREATE TABLE IF NOT EXISTS object_vector (
    object_id uuid CONSTRAINT pk_object_vector PRIMARY KEY
        CONSTRAINT fk_object_vector_object_id_object REFERENCES object (id) ON DELETE CASCADE,
    model text NOT NULL,
    text_sha256 bytea NOT NULL,
    revision bigint NOT NULL,
    open boolean NOT NULL,
    vector halfvec({DIMENSIONS}) NOT NULL
)
"""
# Of what everybody may see alone: what is hidden stands in no graph, and so bends no way through it.
_INDEX = f"""
CREATE INDEX IF NOT EXISTS ix_object_vector_open ON object_vector
USING hnsw (vector halfvec_cosine_ops) WITH (m = {M}, ef_construction = {EF_CONSTRUCTION}) WHERE open
"""


def ensure(connection: sa.Connection) -> None:
    """Make extension, table and index where they can be had; a server without them, or a refusal, changes nothing."""
    available = sa.text("SELECT 1 FROM pg_available_extensions WHERE name = :name")
    if connection.execute(available, {"name": EXTENSION}).first() is None:
        return
    try:
        with connection.begin_nested():
            for statement in (f"CREATE EXTENSION IF NOT EXISTS {EXTENSION}", _TABLE, _INDEX):
                connection.execute(sa.text(statement))
    except sa.exc.DBAPIError:
        # Who may not make extensions asks somebody who may; until then hybrid search says that it has none.
        return
