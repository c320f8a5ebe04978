"""The rows behind objects: the object, its files, their uploads, versions, the audit trail, remembered requests."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog.database import timestamp_column


class FileState(StrEnum):
    """Where a file stands. The indexer alone moves it, after it has looked at the store."""

    EXPECTED = "expected"
    AVAILABLE = "available"
    MISMATCHED = "mismatched"
    MISSING = "missing"


class UploadState(StrEnum):
    """Where an upload stands."""

    OPEN = "open"
    COMPLETE = "complete"
    MISMATCHED = "mismatched"
    ABANDONED = "abandoned"
    SUPERSEDED = "superseded"


class FrozenState(StrEnum):
    """Where a file of a published version stands: as published, or something happened to its bytes since."""

    AVAILABLE = "available"
    # Other bytes lie under its key, or none; the published ones are still had by their store version.
    OVERWRITTEN = "overwritten"
    # Nothing in the store is what was published.
    LOST = "lost"


class CatalogObject(SQLModel, table=True):
    """The catalog's entry; `record` is the validated description, the other columns are derived from it."""

    __tablename__ = "object"
    __table_args__ = (
        sa.Index("ix_object_readers", "readers", postgresql_using="gin"),
        sa.Index("ix_object_kind_id", "kind", "id"),
        sa.Index("ix_object_project_id", "project", "id"),
        sa.Index("ix_object_owner_id_id", "owner_id", "id"),
        sa.Index(
            "uq_object_project_kind_name",
            "project",
            "kind",
            "name",
            unique=True,
            # A withdrawn object gives its name back.
            postgresql_where=sa.text("name IS NOT NULL AND withdrawn_at IS NULL"),
        ),
        sa.CheckConstraint("revision > 0", name="revision_positive"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    kind: str = Field(sa_type=sa.Text)
    schema_version: int = Field(sa_type=sa.SmallInteger)
    project: str = Field(sa_type=sa.Text)
    name: str | None = Field(default=None, sa_type=sa.Text)
    owner_id: UUID = Field(foreign_key="principal.id")
    readers: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    writers: list[str] = Field(sa_column=sa.Column(ARRAY(sa.Text), nullable=False))
    revision: int = Field(sa_type=sa.BigInteger)
    record: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    updated_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    withdrawn_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    withdrawal_reason: str | None = Field(default=None, sa_type=sa.Text)
    version: int | None = Field(default=None, description="The newest published version that was not withdrawn.")
    # How often its concepts were called otherwise, or what it names was withdrawn: its document is another then, the
    # object is not.
    relabelled: int = Field(default=0, sa_column=sa.Column(sa.BigInteger, nullable=False, server_default="0"))


class ObjectTerm(SQLModel, table=True):
    """A concept that describes an object: derived from its record, in the transaction that changes it."""

    __tablename__ = "object_term"

    object_id: UUID = Field(foreign_key="object.id", primary_key=True)
    # Concepts are never removed, so no key has to be checked for each of many rows.
    concept: str = Field(sa_type=sa.Text, primary_key=True, index=True)


class NamedObject(SQLModel, table=True):
    """That an object's metadata names another one: derived from its record, for whoever asks from the other end.

    `former` ones are said no more. They stay: how often the labels of a data set have changed never goes back.
    """

    __tablename__ = "reference"
    __table_args__ = (sa.Index("ix_reference_target_id", "target_id", "bond", "subject_id"),)

    subject_id: UUID = Field(foreign_key="object.id", primary_key=True)
    target_id: UUID = Field(foreign_key="object.id", primary_key=True)
    bond: str = Field(sa_type=sa.Text, primary_key=True)
    pointer: str = Field(sa_type=sa.Text)
    former: bool = Field(default=False, sa_column=sa.Column(sa.Boolean, nullable=False, server_default=sa.false()))


class File(SQLModel, table=True):
    """Bytes that belong to an object, and where they are; the location stays empty until bytes were seen there."""

    __table_args__ = (
        sa.UniqueConstraint("object_id", "path"),
        sa.Index("ix_file_location", "backend", "bucket", "key"),
        sa.CheckConstraint("size >= 0", name="size_not_negative"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    object_id: UUID = Field(foreign_key="object.id")
    path: str = Field(sa_type=sa.Text)
    size: int = Field(sa_type=sa.BigInteger)
    sha256: str = Field(sa_type=sa.Text)
    media_type: str = Field(sa_type=sa.Text)
    state: str = Field(sa_type=sa.Text)
    backend: str | None = Field(default=None, sa_type=sa.Text)
    bucket: str | None = Field(default=None, sa_type=sa.Text)
    key: str | None = Field(default=None, sa_type=sa.Text)
    store_version: str | None = Field(default=None, sa_type=sa.Text)
    etag: str | None = Field(default=None, sa_type=sa.Text)
    found_size: int | None = Field(default=None, sa_type=sa.BigInteger)
    found_sha256: str | None = Field(default=None, sa_type=sa.Text)


class Upload(SQLModel, table=True):
    """One ticket: its own key, never used again."""

    __table_args__ = (
        sa.UniqueConstraint("backend", "bucket", "key"),
        sa.Index("ix_upload_object_id_path", "object_id", "path"),
        # Those that are over and may have left bytes.
        sa.Index(
            "ix_upload_over",
            "expires_at",
            postgresql_where=sa.text(
                "state = 'abandoned' OR state = 'superseded' AND (lying_size IS NOT NULL OR multipart_id IS NOT NULL)"
            ),
        ),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    object_id: UUID = Field(foreign_key="object.id")
    path: str = Field(sa_type=sa.Text)
    size: int = Field(sa_type=sa.BigInteger)
    sha256: str = Field(sa_type=sa.Text)
    media_type: str = Field(sa_type=sa.Text)
    backend: str = Field(sa_type=sa.Text)
    bucket: str = Field(sa_type=sa.Text)
    key: str = Field(sa_type=sa.Text)
    state: str = Field(sa_type=sa.Text)
    principal_id: UUID = Field(foreign_key="principal.id")
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    expires_at: datetime = Field(sa_column=timestamp_column())
    seen_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    found_size: int | None = Field(default=None, sa_type=sa.BigInteger)
    found_sha256: str | None = Field(default=None, sa_type=sa.Text)
    multipart_id: str | None = Field(default=None, sa_type=sa.Text, description="The store's id while it has parts.")
    # The client says that all parts are there; the indexer joins them.
    sent_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    # Its file has other bytes, which it may replace: until then both count.
    beside: bool = Field(default=False, sa_column=sa.Column(sa.Boolean, nullable=False, server_default=sa.false()))
    lying_size: int | None = Field(default=None, sa_type=sa.BigInteger, description="What lay there at the last look.")
    # None where only the size is known.
    lying_etag: str | None = Field(default=None, sa_type=sa.Text)


class Version(SQLModel, table=True):
    """A published state of an object, never changed again; a withdrawn one says why."""

    __table_args__ = (
        sa.UniqueConstraint("object_id", "number"),
        sa.UniqueConstraint("object_id", "label"),
        sa.CheckConstraint("number > 0", name="number_positive"),
        sa.CheckConstraint("(withdrawn_at IS NULL) = (reason IS NULL)", name="withdrawn_with_reason"),
    )

    id: UUID = Field(default_factory=uuid7, primary_key=True)
    object_id: UUID = Field(foreign_key="object.id")
    number: int
    label: str | None = Field(default=None, sa_type=sa.Text)
    note: str | None = Field(default=None, sa_type=sa.Text)
    revision: int = Field(sa_type=sa.BigInteger)
    schema_version: int = Field(sa_type=sa.SmallInteger)
    record: dict[str, Any] = Field(sa_column=sa.Column(JSONB, nullable=False))
    published_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    published_by: UUID = Field(foreign_key="principal.id")
    withdrawn_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    reason: str | None = Field(default=None, sa_type=sa.Text)


class VersionFile(SQLModel, table=True):
    """Bytes as they were published: where exactly, down to the store's version of them."""

    __tablename__ = "version_file"
    __table_args__ = (sa.Index("ix_version_file_location", "backend", "bucket", "key"),)

    version_id: UUID = Field(foreign_key="version.id", primary_key=True)
    path: str = Field(sa_type=sa.Text, primary_key=True)
    size: int = Field(sa_type=sa.BigInteger)
    sha256: str = Field(sa_type=sa.Text)
    media_type: str = Field(sa_type=sa.Text)
    state: str = Field(sa_type=sa.Text)
    backend: str = Field(sa_type=sa.Text)
    bucket: str = Field(sa_type=sa.Text)
    key: str = Field(sa_type=sa.Text)
    store_version: str | None = Field(default=None, sa_type=sa.Text)
    etag: str | None = Field(default=None, sa_type=sa.Text)
    found_size: int | None = Field(default=None, sa_type=sa.BigInteger)
    found_sha256: str | None = Field(default=None, sa_type=sa.Text)


class AuditEntry(SQLModel, table=True):
    """Who changed what, when, from which revision to which. Append-only; it outlives what it speaks of."""

    __tablename__ = "audit"
    __table_args__ = (sa.Index("ix_audit_object_id_id", "object_id", "id"),)

    id: int | None = Field(default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(), primary_key=True))
    at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    object_id: UUID
    principal_id: UUID | None = Field(default=None, description="None: the catalog itself, after looking at a store.")
    action: str = Field(sa_type=sa.Text)
    from_revision: int | None = Field(default=None, sa_type=sa.BigInteger)
    to_revision: int = Field(sa_type=sa.BigInteger)
    changes: dict[str, Any] | None = Field(default=None, sa_column=sa.Column(JSONB(none_as_null=True), nullable=True))


class RememberedRequest(SQLModel, table=True):
    """What an Idempotency-Key was first used for."""

    __tablename__ = "remembered_request"
    __table_args__ = (sa.Index("ix_remembered_request_created_at", "created_at"),)

    principal_id: UUID = Field(primary_key=True)
    key: str = Field(sa_type=sa.Text, primary_key=True)
    digest: bytes = Field(sa_type=sa.LargeBinary)
    object_id: UUID
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
