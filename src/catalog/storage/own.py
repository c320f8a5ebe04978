"""The catalog's own bucket, which it sets up itself; buckets of organizations are set up by whoever owns them.

The minio SDK, which is synchronous, serves these rare calls on a thread.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import anyio
import httpx2
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED
from minio.error import MinioException, S3Error
from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig
from minio.versioningconfig import VersioningConfig

from catalog.errors import Conflict, NotFound, Unavailable
from catalog.storage.s3 import ANSWER_TIMEOUT, CONNECT_TIMEOUT, Store
from catalog.storage.signing import Addressing

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")

# What a store answers to a rule it does not understand: the rest of 4xx is about credentials.
_REFUSALS = frozenset({400, 404, 405, 409, 501})

Answer = TypeVar("Answer")


class NotificationsRefused(Conflict):
    """The store cannot be told to notify us."""


class OwnStore(Store):
    """The catalog's own bucket."""

    def __init__(self, **told: Any) -> None:
        super().__init__(**told)
        parts = urlsplit(self.endpoint)
        self._admin = Minio(
            parts.netloc,
            access_key=told["access_key"],
            secret_key=told["secret_key"],
            secure=parts.scheme == "https",
            region=told["region"],
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(CONNECT_TIMEOUT.total_seconds(), read=ANSWER_TIMEOUT.total_seconds()),
                retries=urllib3.Retry(total=1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
            ),
        )
        if told.get("addressing") is Addressing.VIRTUAL:
            self._admin.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]  # The SDK types it not.

    async def ensure_bucket(self, *, versioned: bool = True) -> None:
        """Create the bucket, with versions, unless it is there; may run anywhere, any number of times at once."""

        def ensure() -> None:
            if not self._admin.bucket_exists(self.bucket):
                try:
                    self._admin.make_bucket(self.bucket)
                except S3Error as refused:
                    # Another process was faster. If the bucket belongs to somebody else, the next call is refused.
                    if refused.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                        raise
            if versioned and self._admin.get_bucket_versioning(self.bucket).status != ENABLED:
                self._admin.set_bucket_versioning(self.bucket, VersioningConfig(ENABLED))

        await self._administer(ensure)

    async def set_notification(self, arn: str) -> None:
        """Have the bucket tell the target `arn` of every object made or removed under our prefix.

        Replaces the bucket's notifications. Raises NotificationsRefused where the store knows no such target, or
        cannot be told over S3 at all: SeaweedFS reads its target from notification.toml.
        """
        under = PrefixFilterRule(f"{self.prefix}/") if self.prefix else None
        target = QueueConfig(list(EVENTS), queue=arn, prefix_filter_rule=under)
        wanted = NotificationConfig(queue_config_list=[target])

        def put() -> None:
            try:
                self._admin.set_bucket_notification(self.bucket, wanted)
            except S3Error as refused:
                if refused.code == "NoSuchBucket" or refused.response.status not in _REFUSALS:
                    raise
                raise NotificationsRefused(
                    f"The store at {self.endpoint} does not take {arn} as a target of notifications: {refused.message}"
                ) from None

        await self._administer(put)

    async def _administer(self, act: Callable[[], Answer]) -> Answer:
        """Run a call of the SDK on a thread and give its failures our own names."""
        try:
            return await anyio.to_thread.run_sync(act)
        except S3Error as refused:
            if refused.code == "NoSuchBucket":
                raise NotFound(f"The store has no bucket {self.bucket}; run `catalog migrate` to create it.") from None
            if refused.response.status in {httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN}:
                raise self.refused(refused.code) from None
            raise Unavailable(f"The store at {self.endpoint} answered {refused.code}: {refused.message}") from None
        except (MinioException, ParseError) as nonsense:
            raise Unavailable(
                f"What listens at {self.endpoint} does not answer as an S3 server does: {type(nonsense).__name__}."
            ) from None
        except urllib3.exceptions.HTTPError as failure:
            raise Unavailable(f"The store at {self.endpoint} cannot be reached: {type(failure).__name__}.") from None
