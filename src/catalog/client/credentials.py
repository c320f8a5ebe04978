"""Keys of the store that reach one folder of one project, for tools that speak S3 themselves."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from catalog.client.calls import C, Call, Room, request

Access = Literal["read", "write"]


class Credentials(TypedDict):
    """Keys that end by themselves: whoever has them is let in, so keep them out of logs and files that stay."""

    access_key: str
    secret_key: str
    session_token: str
    endpoint: str
    region: str
    bucket: str
    prefix: str
    access: list[Access]
    expires_at: str


class StoreCredentials(Room[C]):
    """What hands out such keys."""

    @request
    def issue(
        self,
        project: str,
        prefix: str = "",
        *,
        access: Sequence[Access] = ("read",),
        lifetime_seconds: int | None = None,
    ) -> Call[Credentials]:
        """Return keys for a folder of the project, which ends in a slash; left out, for all of it.

        Raises Problem: 409 where the store makes no such keys.
        """
        wanted: dict[str, object] = {"project": project, "prefix": prefix, "access": list(access)}
        if lifetime_seconds is not None:
            wanted["lifetime_seconds"] = lifetime_seconds
        return Call("POST", "/api/credentials", body=wanted, repeatable=True)
