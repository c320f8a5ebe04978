"""Notices: that a backend fails, or works again, told once to those who look after it.

One row for each receiver, so that a webhook that does not answer repeats nobody's mail. Runs in the caller's
transaction.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from catalog import queue
from catalog.access import audit
from catalog.access.audience import Role
from catalog.access.callers import Caller
from catalog.alerts import topics
from catalog.alerts.noticed import NoticeView
from catalog.alerts.tables import Channel
from catalog.alerts.telling import FAULT_CHARS_MAX, RETRIES
from catalog.database import timestamp_column
from catalog.storage import backends, health
from catalog.storage.backends import Health, Tried
from catalog.storage.health import Standing, Turn
from catalog.storage.keys import OWN
from catalog.storage.probing import Outcome

# Whoever reads more than so many mails of one organization's stores is one of a crowd: others will tell.
MAILED_MAX = 50
# Longer than one is sent again.
KEPT = timedelta(days=90)


class NoticeWebhook(SQLModel, table=True):
    """Where an organization wants notices posted."""

    __tablename__ = "notice_webhook"

    organization: str = Field(sa_type=sa.Text, foreign_key="organization.name", primary_key=True)
    address: str = Field(sa_type=sa.Text)
    # The secret that signs is derived from this: another one, another secret.
    secret_id: UUID = Field(default_factory=uuid7)
    set_by: UUID = Field(foreign_key="principal.id")
    set_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    # Why the last notice did not arrive, and since when nothing is sent because the receiver wants no more.
    fault: str | None = Field(default=None, sa_type=sa.Text)
    stopped_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class Notice(SQLModel, table=True):
    """What one receiver is told; the row goes when nobody asks for it any more."""

    __tablename__ = "notice"
    __table_args__ = (
        sa.CheckConstraint("(channel = 'mail') = (principal_id IS NOT NULL)", name="receiver"),
        sa.CheckConstraint("channel <> 'webhook' OR organization IS NOT NULL", name="webhook_of_organization"),
    )

    # Repeated, a message has the same id.
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    created_at: datetime = Field(sa_column=timestamp_column(server_default=sa.func.now()))
    backend: str = Field(sa_type=sa.Text)
    # What it was called, and whose it is; the catalog's own store is nobody's.
    name: str = Field(sa_type=sa.Text)
    organization: str | None = Field(default=None, sa_type=sa.Text)
    state: str = Field(sa_type=sa.Text)
    since: datetime = Field(sa_column=timestamp_column())
    faults: list[dict[str, Any]] = Field(sa_column=sa.Column(JSONB, nullable=False))
    channel: str = Field(sa_type=sa.Text)
    principal_id: UUID | None = Field(default=None, foreign_key="principal.id")
    failures: int = Field(default=0, sa_column=sa.Column(sa.Integer, nullable=False, server_default="0"))
    sent_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


_webhooks = SQLModel.metadata.tables[NoticeWebhook.__tablename__]
_notices = SQLModel.metadata.tables[Notice.__tablename__]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where an organization wants notices posted, and how that goes."""

    address: str
    secret_id: UUID
    set_at: datetime
    fault: str | None
    stopped_at: datetime | None


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who gets mail: the address that they agreed to last."""

    principal_id: UUID
    name: str
    address_id: UUID
    address: str


# Admins of an organization, by themselves or by a group of theirs; of the catalog's own store, those of all of it.
_RECEIVERS = sa.text(
    """
    WITH admin AS (
        SELECT substr(member, 6)::uuid AS id FROM membership
        WHERE scope = :organization AND role = :role AND member LIKE 'user:%'
        UNION
        SELECT group_member.principal_id FROM membership
        JOIN group_member ON 'group:' || group_member.group_id = membership.member
        WHERE membership.scope = :organization AND membership.role = :role
        UNION
        SELECT id FROM principal WHERE role = :role AND CAST(:organization AS text) IS NULL
    )
    SELECT DISTINCT ON (principal.name) principal.id AS principal_id, principal.name,
        mail_address.id AS address_id, mail_address.address
    FROM admin JOIN principal ON principal.id = admin.id AND principal.ended_at IS NULL
    JOIN mail_address ON mail_address.principal_id = principal.id
        AND mail_address.confirmed_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM mail_address AS other WHERE other.principal_id = mail_address.principal_id
            AND lower(other.address) = lower(mail_address.address) AND other.refused_at IS NOT NULL
        )
    ORDER BY principal.name, mail_address.confirmed_at DESC
    LIMIT :most
    """
)


async def receivers(session: AsyncSession, organization: str | None) -> list[Receiver]:
    """Return the admins who get mail, by name; None: those of the whole catalog."""
    asked = {"organization": organization, "role": Role.ADMIN.value, "most": MAILED_MAX}
    return [Receiver(*row) for row in await session.execute(_RECEIVERS, asked)]


async def note_health(session: AsyncSession, backend: str, outcome: Outcome, *, milliseconds: int) -> Standing:
    """Keep what trying a backend found, and have it told where that changed how the backend is."""
    standing, turn = await health.note(session, backend, outcome, milliseconds=milliseconds)
    if turn is not None:
        await _put(session, turn)
    return standing


async def _put(session: AsyncSession, turn: Turn) -> None:
    organization, name = None, OWN
    if turn.backend != OWN:
        found = await backends.find_anywhere(session, UUID(turn.backend))
        if found is None or found.detached_at is not None:
            return
        organization, name = found.organization, found.name
    told = {
        "backend": turn.backend,
        "name": name,
        "organization": organization,
        "state": turn.state.value,
        "since": turn.since,
        "faults": [{"action": one.action, "reason": one.reason} for one in turn.faults],
    }
    rows = [
        {"id": uuid7(), "channel": Channel.MAIL.value, "principal_id": one.principal_id, **told}
        for one in await receivers(session, organization)
    ]
    webhook = None if organization is None else await webhook_of(session, organization)
    if webhook is not None and webhook.stopped_at is None:
        rows.append({"id": uuid7(), "channel": Channel.WEBHOOK.value, "principal_id": None, **told})
    if rows:
        await session.execute(_notices.insert(), rows)
        await queue.put(session, topics.NOTICE, [str(row["id"]) for row in rows])


async def find(session: AsyncSession, notice_id: UUID) -> NoticeView | None:
    """Return a notice that has still to be sent."""
    mine = sa.and_(_notices.c.id == notice_id, _notices.c.sent_at.is_(None))
    row = (await session.execute(sa.select(_notices).where(mine))).one_or_none()
    if row is None:
        return None
    return NoticeView(
        row.id,
        row.backend,
        row.name,
        row.organization,
        Health(row.state),
        row.since,
        [Tried(one["action"], one["reason"]) for one in row.faults],
        Channel(row.channel),
        row.principal_id,
        row.failures,
    )


async def sent(session: AsyncSession, notice: NoticeView) -> None:
    """Take note that a notice arrived."""
    await session.execute(_notices.update().where(_notices.c.id == notice.id).values(sent_at=sa.func.now()))
    if notice.channel is Channel.WEBHOOK:
        mine = _webhooks.c.organization == notice.organization
        await session.execute(_webhooks.update().where(mine).values(fault=None))


async def failed(session: AsyncSession, notice: NoticeView, reason: str, *, for_good: bool) -> timedelta | None:
    """Take note that a notice did not arrive; return when to try again, None where that was the last time.

    `for_good`: the receiver wants no more, so nothing is posted there until an admin sets the webhook again.
    """
    after = None if for_good or notice.failures >= len(RETRIES) else RETRIES[notice.failures]
    await session.execute(_notices.update().where(_notices.c.id == notice.id).values(failures=_notices.c.failures + 1))
    if notice.channel is Channel.WEBHOOK:
        stopped = {"stopped_at": sa.func.now()} if for_good else {}
        mine = _webhooks.c.organization == notice.organization
        await session.execute(_webhooks.update().where(mine).values(fault=reason[:FAULT_CHARS_MAX], **stopped))
    return after


async def webhook_of(session: AsyncSession, organization: str) -> Webhook | None:
    """Return where an organization wants notices posted, if anywhere."""
    row = (await session.execute(sa.select(_webhooks).where(_webhooks.c.organization == organization))).one_or_none()
    return None if row is None else Webhook(row.address, row.secret_id, row.set_at, row.fault, row.stopped_at)


async def set_webhook(session: AsyncSession, organization: str, address: str | None, *, caller: Caller) -> None:
    """Have notices posted to an address from now on, or nowhere."""
    set_by = caller.must_be_known()
    before = await webhook_of(session, organization)
    if address is None:
        await session.execute(_webhooks.delete().where(_webhooks.c.organization == organization))
    else:
        values: dict[str, Any] = {"address": address, "set_by": set_by, "set_at": sa.func.now()}
        fresh = insert(_webhooks).values(organization=organization, secret_id=uuid7(), **values)
        again = values | {"fault": None, "stopped_at": None}
        await session.execute(fresh.on_conflict_do_update(index_elements=["organization"], set_=again))
    await audit.note(
        session,
        caller.actor,
        "change notices",
        f"organization:{organization}",
        scope=organization,
        before={"webhook": None if before is None else before.address},
        after={"webhook": address},
    )


async def renew_secret(session: AsyncSession, organization: str) -> UUID | None:
    """Have notices signed with another secret from now on, and return its id; None where none are posted."""
    secret_id = uuid7()
    renewed = _webhooks.update().where(_webhooks.c.organization == organization).values(secret_id=secret_id)
    made = await session.execute(renewed.returning(_webhooks.c.organization))
    return None if made.one_or_none() is None else secret_id


async def forget_old(session: AsyncSession) -> None:
    """Forget what was told long ago."""
    await session.execute(_notices.delete().where(_notices.c.created_at < sa.func.now() - KEPT))
