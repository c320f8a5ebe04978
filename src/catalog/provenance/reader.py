"""Asking the tables of provenance under one audience."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.access.audience import Audience

# That an activity generated something that may be seen: then it is told.
_ACTIVITY_SEEN = """
    EXISTS (SELECT FROM involvement AS other JOIN object AS subject ON subject.id = other.object_id
    WHERE other.activity_id = {activity} AND other.way = 'generated' AND {subject_seen})
"""
# Writes a parameter as `text` reads it; Postgres' own dialect adds a cast, which `text` takes for another parameter.
_DIALECT = DefaultDialect(paramstyle="named", supports_native_boolean=True)


@dataclass(slots=True)
class Reader:
    """Asks under one audience."""

    session: AsyncSession
    audience: Audience

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """Return the rows of a statement, with the audience's condition wherever it names who sees something."""
        subject_seen = self._seen("subject.readers")
        filled = statement.format(
            subject_seen=subject_seen,
            here_seen=self._seen("here.readers"),
            said_by_seen=_ACTIVITY_SEEN.format(activity="used.activity_id", subject_seen=subject_seen),
            activity_seen=_ACTIVITY_SEEN.format(activity="activity.id", subject_seen=subject_seen),
        )
        parameters = [
            sa.bindparam(name, value, type_=ARRAY(sa.Uuid) if name in {"ids", "among"} else None)
            for name, value in values.items()
        ]
        parameters += [
            sa.bindparam(name, tokens, type_=ARRAY(sa.Text))
            for name, tokens in self.audience.parameters.items()
            if f":{name}" in filled
        ]
        return list(await self.session.execute(sa.text(filled).bindparams(*parameters)))

    def _seen(self, readers: str) -> str:
        return str(self.audience.sql_condition(sa.literal_column(readers)).compile(dialect=_DIALECT))
