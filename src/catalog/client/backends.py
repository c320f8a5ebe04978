"""Stores that organizations bring, and which of them an organization or a project uses."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from catalog.client.calls import MERGE_PATCH, C, Call, Room, get, items, member, nothing, quoted, request, said

UseName = Literal["document", "data"]
# Every action that its uses need is tried at the store, which may take its time.
TRYING_SECONDS_MAX = 180.0


class Check(TypedDict):
    """One action that was tried, and why it failed."""

    action: str
    ok: bool
    reason: str | None


class Capabilities(TypedDict):
    """What a store can do, found by trying; None where it is not known."""

    versioning: Literal["on", "suspended", "off"] | None
    checksums: bool | None
    conditional_writes: bool | None
    temporary_credentials: bool | None
    notifications: Literal["configured", "none", "unsupported"] | None


class EventToken(TypedDict):
    """The token with which a store tells of its keys: how its value begins."""

    hint: str
    made_at: str
    former_until: str | None


class NewEventToken(EventToken):
    """Such a token with its value, which is told this once."""

    token: str


class Backend(TypedDict):
    """A store of an organization; of its keys, whether it has any."""

    id: str
    organization: str
    name: str
    endpoint: str
    region: str
    addressing: Literal["path", "virtual"]
    bucket: str
    prefix: str
    root: str
    uses: list[UseName]
    account: dict[str, str | None]
    capacity_bytes: int | None
    watermark_percent: int | None
    reserved_gb: int | None
    has_keys: bool
    health: Literal["healthy", "failing"]
    checks: list[Check]
    checked_at: str
    capabilities: Capabilities
    event_token: EventToken | None
    created_at: str
    changed_at: str
    warnings: list[str]


class Trial(TypedDict):
    """A store that would be connected, and what was tried of it."""

    endpoint: str
    checks: list[Check]
    warnings: list[str]


class Fault(TypedDict):
    """An action that failed, and why."""

    action: str
    reason: str


class Probe(TypedDict):
    """What was found once."""

    at: str
    ok: bool
    milliseconds: int
    faults: list[Fault]


class Health(TypedDict):
    """How a store is, with what was found when it was tried, newest first."""

    backend: str
    state: Literal["healthy", "failing"]
    since: str | None
    suspected_since: str | None
    checked_at: str | None
    faults: list[Fault]
    capabilities: Capabilities
    history: list[Probe]


class Capacity(TypedDict):
    """How full a store is, in bytes: uploads are taken while `stored` and `awaited` do not exceed `limit`."""

    capacity: int | None
    watermark_percent: int
    reserved: int
    limit: int | None
    stored: int
    awaited: int
    seen_days: int | None
    growth_per_day: int | None
    full_on: str | None


class BackendCapacity(TypedDict):
    """A store of an organization, and how full it is."""

    id: str
    name: str
    capacity: Capacity


class AnyBackend(TypedDict):
    """A store, whose it is, how it is and how full; the catalog's own is `default` and nobody's."""

    id: str
    name: str
    organization: str | None
    state: Literal["healthy", "failing"]
    since: str | None
    suspected_since: str | None
    checked_at: str | None
    capacity: Capacity


class Notices(TypedDict):
    """Who is told when a store of an organization fails or works again."""

    organization: str
    webhook: str | None
    set_at: str | None
    fault: str | None
    stopped_at: str | None
    mailed: list[str]


class Storage(TypedDict):
    """A backend that is used, and who chose it."""

    id: str
    name: str
    chosen_by: Literal["project", "organization", "nobody"]


class Storages(TypedDict):
    """What is used: one backend for documents, one or more for data."""

    document: Storage
    data: list[Storage]
    warnings: list[str]


class Backends(Room[C]):
    """Stores of organizations: connected, changed, tried, chosen; disconnected."""

    @request
    def listed(self, organization: str) -> Call[list[Backend]]:
        """Return the backends of an organization; beside them there is the catalog's own, `default`."""
        return items(_backends(organization))

    @request
    def read(self, organization: str, backend_id: str) -> Call[Backend]:
        """Return a backend as it is known."""
        return get(_backend(organization, backend_id))

    @request
    def create(self, organization: str, wanted: Mapping[str, Any]) -> Call[Backend]:
        """Connect a store, once every action that its uses need went well; raises Problem with those that did not."""
        return Call("POST", _backends(organization), body=dict(wanted), answer_seconds=TRYING_SECONDS_MAX)

    @request
    def try_out(self, organization: str, wanted: Mapping[str, Any]) -> Call[Trial]:
        """Try all that connecting a store would, and keep nothing; raises Problem where `create` would."""
        return Call(
            "POST",
            _backends(organization),
            said(dry_run=True),
            body=dict(wanted),
            repeatable=True,
            answer_seconds=TRYING_SECONDS_MAX,
        )

    @request
    def change(self, organization: str, backend_id: str, changes: Mapping[str, Any]) -> Call[Backend]:
        """Change a backend's name, account, how much it may take, or its keys, which are tried first."""
        return Call(
            "PATCH",
            _backend(organization, backend_id),
            body=dict(changes),
            headers={"content-type": MERGE_PATCH},
            answer_seconds=TRYING_SECONDS_MAX,
        )

    @request
    def remove(self, organization: str, backend_id: str, *, detach: bool = False) -> Call[None]:
        """Disconnect a store; `detach`: although files lie there, which nobody can fetch then."""
        return Call("DELETE", _backend(organization, backend_id), said(detach=detach or None), read=nothing)

    @request
    def check(self, organization: str, backend_id: str) -> Call[Backend]:
        """Try a backend again, and return what was found."""
        address = f"{_backend(organization, backend_id)}/check"
        return Call("POST", address, answer_seconds=TRYING_SECONDS_MAX)

    @request
    def renew_event_token(
        self, organization: str, backend_id: str, *, overlap_seconds: int | None = None
    ) -> Call[NewEventToken]:
        """Make the token with which a store tells of its keys; the one it had works for the overlap, or a day."""
        body = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
        return Call("POST", f"{_backend(organization, backend_id)}/event-token", body=body)

    @request
    def tell(self, organization: str, backend_id: str, target: str, *, replace: bool = False) -> Call[None]:
        """Have the bucket of a store tell a target of its keys; `replace`: although it tells somebody else."""
        body = {"target": target, "replace": replace}
        return Call("PUT", f"{_backend(organization, backend_id)}/notification", body=body, read=nothing)

    @request
    def revoke_event_token(self, organization: str, backend_id: str) -> Call[None]:
        """End the token with which a store tells of its keys, at once."""
        return Call("DELETE", f"{_backend(organization, backend_id)}/event-token", read=nothing)

    @request
    def health(self, organization: str, backend_id: str, *, limit: int | None = None) -> Call[Health]:
        """Return how a backend is, and what was found when it was tried."""
        return get(f"{_backend(organization, backend_id)}/health", said(limit=limit))

    @request
    def own_health(self, *, limit: int | None = None) -> Call[Health]:
        """Return how the catalog's own store is, to those who look after the whole catalog."""
        return get("/api/operations/store/health", said(limit=limit))

    @request
    def check_own(self) -> Call[Health]:
        """Try the catalog's own store, as an admin of the whole catalog."""
        return Call("POST", "/api/operations/store/check", answer_seconds=TRYING_SECONDS_MAX)

    @request
    def everywhere(self) -> Call[list[AnyBackend]]:
        """Return every store, to those who look after the whole catalog."""
        return items("/api/operations/backends")

    @request
    def capacity(self, organization: str) -> Call[list[BackendCapacity]]:
        """Return how full the stores of an organization are, and when they will be, to its curators and admins."""
        return items(f"/api/organizations/{quoted(organization)}/capacity")

    @request
    def notices(self, organization: str) -> Call[Notices]:
        """Return who is told when a store of an organization fails or works again."""
        return get(_notices(organization))

    @request
    def choose_notices(self, organization: str, *, webhook: str | None) -> Call[Notices]:
        """Have notices posted to an address from now on, or nowhere."""
        return Call("PUT", _notices(organization), body={"webhook": webhook}, repeatable=True)

    @request
    def renew_notice_secret(self, organization: str) -> Call[str]:
        """Make another secret by which a receiver knows notices as the catalog's."""
        return Call("POST", f"{_notices(organization)}/secret", read=member("secret"))

    @request
    def want_mail(self, address: str) -> Call[None]:
        """Have whoever reads an address asked whether mail for you may go there."""
        return Call("POST", "/api/mail-addresses", body={"address": address}, read=nothing)

    @request
    def policy(self, organization: str, backend_id: str) -> Call[dict[str, Any]]:
        """Return the least that a backend's keys must be allowed."""
        return get(f"{_backend(organization, backend_id)}/policy")

    @request
    def planned_policy(
        self, organization: str, bucket: str, prefix: str, uses: Sequence[UseName]
    ) -> Call[dict[str, Any]]:
        """Return the least that keys must be allowed, before a store is connected."""
        asked = said(bucket=bucket, prefix=prefix or None, use=list(uses))
        return get(f"/api/organizations/{quoted(organization)}/policy", asked)

    @request
    def storages(self, scope: str) -> Call[Storages]:
        """Return which backends an organization or a project uses."""
        return get(_storages(scope))

    @request
    def choose(self, scope: str, *, document: str | None, data: Sequence[str] | None) -> Call[Storages]:
        """Choose which backends an organization or a project uses, by ids or as `default`; None follows the next."""
        body = {"document": document, "data": None if data is None else list(data)}
        return Call("PUT", _storages(scope), body=body, repeatable=True)


def _backends(organization: str) -> str:
    return f"/api/organizations/{quoted(organization)}/backends"


def _backend(organization: str, backend_id: str) -> str:
    return f"{_backends(organization)}/{quoted(backend_id)}"


def _notices(organization: str) -> str:
    return f"/api/organizations/{quoted(organization)}/notices"


def _storages(scope: str) -> str:
    parts = "/".join(quoted(part) for part in scope.split("/", 1))
    return f"/api/{'projects' if '/' in scope else 'organizations'}/{parts}/storages"
