"""The least that a backend's keys must be allowed for each use, as a policy that its owner can attach.

Pure. Format: IAM User Guide, "Policy grammar"; MinIO and Ceph read the same. What is asked for is exactly what
`probing` tries.
"""

from collections.abc import Collection, Mapping
from typing import Any

from catalog.storage.backends import Place, Use


def policy_of(place: Place, uses: Collection[Use]) -> Mapping[str, Any]:
    """Return the policy for these uses of a place.

    Data: getting and listing below the prefix. Documents: getting, listing, putting and removing, below the catalog's
    own folder there and nowhere else.
    """
    statements: list[Mapping[str, Any]] = []
    if Use.DATA in uses:
        statements += [
            _of_keys(place, place.within, ["s3:GetObject", "s3:GetObjectVersion"]),
            _listing(place, place.within),
        ]
    if Use.DOCUMENT in uses:
        folder = f"{place.uploads_prefix}/"
        actions = [
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:PutObject",
            "s3:DeleteObject",
            # Of files that were moved elsewhere exactly the version is removed that was copied.
            "s3:DeleteObjectVersion",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        ]
        statements += [_of_keys(place, folder, actions), _listing(place, folder)]
    # Nothing depends on them: by these the catalog sees whether the bucket keeps versions, and whom it tells.
    told = ["s3:GetBucketVersioning", "s3:GetBucketNotification"]
    statements.append({"Effect": "Allow", "Action": told, "Resource": [f"arn:aws:s3:::{place.bucket}"]})
    return {"Version": "2012-10-17", "Statement": statements}


def _of_keys(place: Place, folder: str, actions: list[str]) -> Mapping[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [f"arn:aws:s3:::{place.bucket}/{folder}*"]}


def _listing(place: Place, folder: str) -> Mapping[str, Any]:
    under = {"Condition": {"StringLike": {"s3:prefix": [f"{folder}*"]}}} if folder else {}
    return {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{place.bucket}"], **under}
