"""An account at a MinIO of our own: it may do everything with its buckets, and nothing else with the server.

Only stacks that start a MinIO themselves make accounts; an installation's are made by whoever runs the store.
"""

import anyio
import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from catalog.errors import Unavailable
from catalog.storage.s3 import ANSWER_TIMEOUT, CONNECT_TIMEOUT

_POLICY = "catalog"
# A server calls itself ready a moment before it can make accounts.
_ATTEMPTS = urllib3.Retry(total=8, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504])


async def ensure(host: str, *, root: str, root_password: str, access_key: str, secret_key: str, bucket: str) -> None:
    """Make the account whose keys these are, or give it this secret and bucket; `*` stands for all buckets.

    `host` is `name:port`, reached without TLS: it is on this machine. Raises Unavailable.
    """
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:*"],
                "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            }
        ],
    }
    timeout = urllib3.Timeout(CONNECT_TIMEOUT.total_seconds(), read=ANSWER_TIMEOUT.total_seconds())
    pool = urllib3.PoolManager(timeout=timeout, retries=_ATTEMPTS)
    admin = MinioAdmin(endpoint=host, credentials=StaticProvider(root, root_password), secure=False, http_client=pool)

    def make() -> None:
        admin.user_add(access_key=access_key, secret_key=secret_key)
        admin.policy_add(policy_name=_POLICY, policy=policy)
        admin.policy_set(policy_name=_POLICY, user=access_key)

    try:
        await anyio.to_thread.run_sync(make)
    except (MinioAdminException, urllib3.exceptions.HTTPError) as fault:
        # Its text may hold what was sent.
        raise Unavailable(f"MinIO at {host} makes no account for the catalog: {type(fault).__name__}.") from None
