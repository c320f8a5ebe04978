"""The one compiler: principal -> audience -> SQL condition and search filter.

Every object carries `readers`, the audience tokens that may see it, derived here and nowhere else, and
written to its row and its document alike. A caller belongs to a set of tokens; both conditions ask
whether the two sets meet. So search and item access cannot disagree.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

PUBLIC = "public"


def user_token(principal_id: UUID) -> str:
    """Return the token that stands for one principal."""
    return f"user:{principal_id}"


def readers_of(*, visibility: str, owner_id: UUID) -> list[str]:
    """Return the tokens that may see an object: its owner always, everybody when it is public."""
    return [PUBLIC, user_token(owner_id)] if visibility == "public" else [user_token(owner_id)]


@dataclass(frozen=True, slots=True)
class Audience:
    """The tokens a caller belongs to, or `everything` for those who look after the whole catalog."""

    tokens: frozenset[str]
    everything: bool = False

    @property
    def sorted_tokens(self) -> list[str]:
        """The tokens in one order, so that equal audiences make equal statements and filters."""
        return sorted(self.tokens)

    def sql_condition(self, readers: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """Return the condition under which a row with this `readers` column may be seen."""
        if self.everything:
            return sa.true()
        return readers.op("&&")(sa.bindparam("audience", self.sorted_tokens, type_=ARRAY(sa.Text)))

    def search_filter(self) -> dict[str, Any]:
        """Return the filter under which a document with a `readers` field may be seen."""
        if self.everything:
            return {"match_all": {}}
        return {"terms": {"readers": self.sorted_tokens}}


ANONYMOUS = Audience(frozenset({PUBLIC}))
