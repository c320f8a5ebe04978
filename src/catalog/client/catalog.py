"""The catalog as an object in a program: `Catalog` for programs that wait, `AsyncCatalog` for those that await."""

from types import TracebackType
from typing import Self

from catalog.client.access import Access
from catalog.client.backends import Backends
from catalog.client.calls import C
from catalog.client.connection import Awaiting, Blocking
from catalog.client.credentials import StoreCredentials
from catalog.client.curation import Curation
from catalog.client.dois import Dois
from catalog.client.events import Events
from catalog.client.exports import Exports
from catalog.client.files import Files
from catalog.client.inventory import Inventory
from catalog.client.jobs import Exchanging, Jobs
from catalog.client.lineage import Tracing
from catalog.client.objects import Objects
from catalog.client.queue import Queue
from catalog.client.quotas import Quotas
from catalog.client.relocations import Relocations
from catalog.client.retention import Retentions
from catalog.client.saved import SavedSearches
from catalog.client.searching import Searching
from catalog.client.snapshots import Snapshots
from catalog.client.subscriptions import Subscriptions
from catalog.client.tokens import Tokens
from catalog.client.vocabularies import Vocabularies
from catalog.client.wire import ANSWER_SECONDS_MAX, CONNECT_SECONDS_MAX, PATIENCE_SECONDS


class Everything(Searching[C], Exports[C], Objects[C], Files[C], Exchanging[C], Tracing[C], Curation[C]):
    """What both clients offer: methods of their own about objects, and a room for each other thing."""

    @property
    def url(self) -> str:
        """The catalog's address."""
        return self._wire.address

    @property
    def jobs(self) -> Jobs[C]:
        """Computations outside the catalog; `push` and `pull` are beside this."""
        return Jobs(self._wire)

    @property
    def vocabularies(self) -> Vocabularies[C]:
        """Controlled terms: schemes, concepts and proposals."""
        return Vocabularies(self._wire)

    @property
    def dois(self) -> Dois[C]:
        """DOIs, and records of others that become objects."""
        return Dois(self._wire)

    @property
    def snapshots(self) -> Snapshots[C]:
        """Searches frozen to be cited."""
        return Snapshots(self._wire)

    @property
    def saved(self) -> SavedSearches[C]:
        """Searches saved, to be told of what is new."""
        return SavedSearches(self._wire)

    @property
    def subscriptions(self) -> Subscriptions[C]:
        """Changes of objects told to services, event by event."""
        return Subscriptions(self._wire)

    @property
    def access(self) -> Access[C]:
        """Organizations, projects, groups, roles and grants."""
        return Access(self._wire)

    @property
    def tokens(self) -> Tokens[C]:
        """Tokens, service accounts, and who changed who may do what."""
        return Tokens(self._wire)

    @property
    def queue(self) -> Queue[C]:
        """What the catalog set aside, and what stores told it that it could not read."""
        return Queue(self._wire)

    @property
    def quotas(self) -> Quotas[C]:
        """How much organizations and projects may hold."""
        return Quotas(self._wire)

    @property
    def retention(self) -> Retentions[C]:
        """How long things are kept, what is held, and what is due."""
        return Retentions(self._wire)

    @property
    def backends(self) -> Backends[C]:
        """Stores that organizations bring."""
        return Backends(self._wire)

    @property
    def inventory(self) -> Inventory[C]:
        """What stores really hold."""
        return Inventory(self._wire)

    @property
    def events(self) -> Events[C]:
        """What has arrived, announced."""
        return Events(self._wire)

    @property
    def relocations(self) -> Relocations[C]:
        """Files on their way from one backend to another."""
        return Relocations(self._wire)

    @property
    def credentials(self) -> StoreCredentials[C]:
        """Keys of the store for one folder of one project."""
        return StoreCredentials(self._wire)


class Catalog(Everything[Blocking]):
    """A catalog at one address, as one principal; anonymous without a token. Close it, or use it in a `with` block.

    Safe to use from several threads. Refusals raise Problem, silence raises Unreachable after `patience_seconds`,
    a method called after `close` raises Closed. One answer may take `answer_seconds`, one connection
    `connect_seconds`.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS_MAX,
        connect_seconds: float = CONNECT_SECONDS_MAX,
    ) -> None:
        timing = {
            "patience_seconds": patience_seconds,
            "answer_seconds": answer_seconds,
            "connect_seconds": connect_seconds,
        }
        super().__init__(Blocking(url, token, **timing))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({self.url!r})"

    def close(self) -> None:
        """Close the connections; what is called afterwards raises Closed."""
        self._wire.close()


class AsyncCatalog(Everything[Awaiting]):
    """A catalog as `Catalog` is one, with the same methods: to be awaited, or gone through by `async for`.

    Runs on asyncio. Cancelled transfers stop at their next piece and are gone on with when asked again.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS_MAX,
        connect_seconds: float = CONNECT_SECONDS_MAX,
    ) -> None:
        timing = {
            "patience_seconds": patience_seconds,
            "answer_seconds": answer_seconds,
            "connect_seconds": connect_seconds,
        }
        super().__init__(Awaiting(url, token, **timing))
        self._wire.bring_blocking(lambda: Catalog(url, token, **timing))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncCatalog({self.url!r})"

    async def aclose(self) -> None:
        """Close the connections; what is called afterwards raises Closed."""
        await self._wire.close()
