"""Whom a bucket tells of its keys, as S3 has it: read, and changed without forgetting whom it tells already.

Format: Amazon S3 API, PutBucketNotificationConfiguration; MinIO, Ceph and RustFS take the same.
"""

from xml.etree.ElementTree import Element, SubElement, tostring

from catalog.errors import Conflict
from catalog.storage import answers
from catalog.storage.s3 import SETTING_BYTES_MAX, Store

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
# AWS's own bus is no target with a name: a bucket tells it, or does not.
EVENTBRIDGE = "eventbridge"
# What names a target in each kind of configuration.
_NAMES = ("Topic", "Queue", "CloudFunction")


class TellsOthers(Conflict):
    """The bucket tells somebody else of its keys already."""


class TargetRefused(Conflict):
    """The store does not take this target."""


def configuration_of(target: str, prefix: str) -> bytes:
    """Return what has a bucket tell this target of every key under a prefix."""
    root = Element("NotificationConfiguration", xmlns=NAMESPACE)
    if target == EVENTBRIDGE:
        SubElement(root, "EventBridgeConfiguration")
        return tostring(root)
    is_topic = target.split(":")[2:3] == ["sns"]
    one = SubElement(root, "TopicConfiguration" if is_topic else "QueueConfiguration")
    SubElement(one, "Id").text = "catalog"
    SubElement(one, "Topic" if is_topic else "Queue").text = target
    for event in EVENTS:
        SubElement(one, "Event").text = event
    if prefix:
        rule = SubElement(SubElement(SubElement(one, "Filter"), "S3Key"), "FilterRule")
        SubElement(rule, "Name").text, SubElement(rule, "Value").text = "prefix", prefix
    return tostring(root)


def told_by(configuration: bytes) -> set[str] | None:
    """Return the targets of a configuration; None where it cannot be read."""
    root = answers.root_of(configuration, bytes_max=SETTING_BYTES_MAX)
    if root is None:
        return None
    named = {answers.text_of(one, name) for one in root for name in _NAMES} - {""}
    on_the_bus = [EVENTBRIDGE for _ in answers.children(root, "EventBridgeConfiguration")]
    return named | set(on_the_bus)


async def tell(store: Store, target: str, *, prefix: str, replace: bool) -> None:
    """Have the bucket tell this target of its keys under a prefix, and nobody else.

    Raises TellsOthers where it tells somebody else already, unless they shall be replaced, and TargetRefused.
    """
    there = await store.setting("notification")
    told = set() if there is None else told_by(there)
    others = {"somebody whom we cannot read"} if told is None else told - {target}
    if others and not replace:
        raise TellsOthers(
            f"The bucket tells {', '.join(sorted(others))} already, and all would be replaced. Say so, or add "
            f"{target} beside them with the store's own tools."
        )
    if not await store.change_setting("notification", configuration_of(target, prefix)):
        raise TargetRefused(
            f"The store at {store.endpoint} does not take {target} as a target of notifications: make that target "
            "known to the store first. Some, such as SeaweedFS, are not told of targets over S3 at all."
        )
