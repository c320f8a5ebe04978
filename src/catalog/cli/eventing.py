"""`catalog backend notify`: how a store is told to tell the catalog of its keys, printed, or done over S3."""

from enum import StrEnum
from typing import Annotated

import typer

from catalog.cli import output
from catalog.cli.access import Json
from catalog.cli.backends import BackendId, Organization
from catalog.cli.output import Invocation


class Dialect(StrEnum):
    """How a store speaks."""

    MINIO = "minio"
    MINIO_AMQP = "minio-amqp"
    MINIO_NATS = "minio-nats"
    RUSTFS = "rustfs"
    CEPH = "ceph"
    SEAWEEDFS = "seaweedfs"
    SNS = "sns"
    EVENTBRIDGE = "eventbridge"


# TOKEN stands for what `catalog backend event-token` made: it is known to whoever made it alone.
_WEBHOOK = """\
# The server's environment, all of it on one restart; TOKEN is the store's.
{name}_NOTIFY_WEBHOOK_ENABLE_CATALOG=on
{name}_NOTIFY_WEBHOOK_ENDPOINT_CATALOG={url}/api/notifications/s3
{name}_NOTIFY_WEBHOOK_AUTH_TOKEN_CATALOG="Bearer TOKEN"
# Events wait here while the catalog is away; without it they are lost.
{name}_NOTIFY_WEBHOOK_QUEUE_DIR_CATALOG=/var/lib/{lower}/events
# Then the bucket, by the catalog:
#   catalog backend notify {organization} {backend} --target arn:{lower}:sqs::CATALOG:webhook
# or by the server's own client:
#   mc event add ALIAS/{bucket} arn:{lower}:sqs::CATALOG:webhook --event put,delete --prefix "{prefix}"
"""
# What a broker needs besides: whoever runs the catalog names it, and USER:PASSWORD@HOST is theirs to say.
_BUCKET_OF_MINIO = """\
# Events wait here while the broker is away; without it they are lost.
MINIO_NOTIFY_{broker}_QUEUE_DIR_CATALOG=/var/lib/minio/events
# Then the bucket, by the catalog:
#   catalog backend notify {organization} {backend} --target arn:minio:sqs::CATALOG:{target}
# or by the server's own client:
#   mc event add ALIAS/{bucket} arn:minio:sqs::CATALOG:{target} --event put,delete --prefix "{prefix}"
"""
_STEPS = {
    Dialect.MINIO: _WEBHOOK,
    Dialect.MINIO_AMQP: """\
# Whoever runs the catalog makes a durable queue, binds it to the exchange, and tells the indexer:
#   CATALOG_EVENTS_AMQP_URL=amqp://USER:PASSWORD@HOST:5672 CATALOG_EVENTS_AMQP_QUEUE=catalog.events
# The server's environment, all of it on one restart; it makes the exchange, unless there is one of this kind.
MINIO_NOTIFY_AMQP_ENABLE_CATALOG=on
MINIO_NOTIFY_AMQP_URL_CATALOG=amqp://USER:PASSWORD@HOST:5672
MINIO_NOTIFY_AMQP_EXCHANGE_CATALOG=buckets
MINIO_NOTIFY_AMQP_EXCHANGE_TYPE_CATALOG=topic
MINIO_NOTIFY_AMQP_ROUTING_KEY_CATALOG=catalog
MINIO_NOTIFY_AMQP_DURABLE_CATALOG=on
MINIO_NOTIFY_AMQP_DELIVERY_MODE_CATALOG=2
MINIO_NOTIFY_AMQP_PUBLISHING_CONFIRMS_CATALOG=on
"""
    + _BUCKET_OF_MINIO,
    Dialect.MINIO_NATS: """\
# Whoever runs the catalog makes a stream of JetStream with this subject, and tells the indexer:
#   CATALOG_EVENTS_URL=nats://USER:PASSWORD@HOST:4222 CATALOG_EVENTS_SUBJECT=buckets.catalog
# The server's environment, all of it on one restart.
MINIO_NOTIFY_NATS_ENABLE_CATALOG=on
MINIO_NOTIFY_NATS_ADDRESS_CATALOG=HOST:4222
MINIO_NOTIFY_NATS_USERNAME_CATALOG=USER
MINIO_NOTIFY_NATS_PASSWORD_CATALOG=PASSWORD
MINIO_NOTIFY_NATS_SUBJECT_CATALOG=buckets.catalog
MINIO_NOTIFY_NATS_JETSTREAM_CATALOG=on
"""
    + _BUCKET_OF_MINIO,
    Dialect.RUSTFS: _WEBHOOK,
    Dialect.CEPH: """\
# A topic of the gateway, made with the keys of the bucket's owner; it sends no header, so that a proxy has to add
#   Authorization: Bearer TOKEN
aws --endpoint-url RGW sns create-topic --name catalog --attributes \\
  push-endpoint={url}/api/notifications/s3,persistent=true,verify-ssl=true,time_to_live=86400
# Then the bucket:
#   catalog backend notify {organization} {backend} --target arn:aws:sns:default::catalog
""",
    Dialect.SEAWEEDFS: """\
# notification.toml of the filer, beside filer.toml; TOKEN is the store's. What cannot be delivered is lost.
[notification.webhook]
enabled = true
endpoint = "{url}/api/notifications/seaweedfs"
bearer_token = "TOKEN"
path_prefixes = ["/buckets/{bucket}"]
""",
    Dialect.SNS: """\
# Whoever runs the catalog names the topic, and restarts it:
#   CATALOG_SNS_TOPICS=TOPIC_ARN{speaks}
aws sns subscribe --topic-arn TOPIC_ARN --protocol https --notification-endpoint {url}/api/notifications/sns
aws sns set-topic-attributes --topic-arn TOPIC_ARN --attribute-name SignatureVersion --attribute-value 2
# Then the bucket:
#   catalog backend notify {organization} {backend} --target TOPIC_ARN
""",
    Dialect.EVENTBRIDGE: """\
# A connection that sends the store's TOKEN, a destination, and a rule that leads there.
aws events create-connection --name catalog --authorization-type API_KEY --auth-parameters \\
  'ApiKeyAuthParameters={{ApiKeyName=Authorization,ApiKeyValue="Bearer TOKEN"}}'
aws events create-api-destination --name catalog --connection-arn CONNECTION_ARN --http-method POST \\
  --invocation-endpoint {url}/api/notifications/eventbridge
aws events put-rule --name catalog --event-pattern \\
  '{{"source": ["aws.s3"], "detail": {{"bucket": {{"name": ["{bucket}"]}}}}}}'
aws events put-targets --rule catalog --targets Id=catalog,Arn=DESTINATION_ARN,RoleArn=ROLE_ARN
# Then the bucket:
#   catalog backend notify {organization} {backend} --target eventbridge
""",
}
# These authenticate at the broker, or sign, and not with the store's token.
_WITHOUT_TOKEN = frozenset({Dialect.MINIO_AMQP, Dialect.MINIO_NATS, Dialect.SNS})


def steps_of(dialect: Dialect, *, url: str, organization: str, backend: str, bucket: str, prefix: str) -> str:
    """Return what is done at a store of this dialect so that it tells the catalog at `url` of a bucket."""
    broker = dialect.value.partition("-")[2]
    return _STEPS[dialect].format(
        name=dialect.value.upper(),
        lower=dialect.value,
        url=url,
        organization=organization,
        backend=backend,
        bucket=bucket,
        prefix=prefix,
        speaks=f"={backend}",
        broker=broker.upper(),
        target=broker,
    )


def notify(
    context: typer.Context,
    organization: Organization,
    backend_id: BackendId,
    *,
    dialect: Annotated[Dialect, typer.Option(help="How the store speaks.")] = Dialect.MINIO,
    target: Annotated[
        str | None,
        typer.Option(metavar="ARN", help="Have the bucket tell this target, which the store knows. Else print steps."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Although the bucket tells somebody else, who is told no more.")
    ] = False,
    json: Json = False,
) -> None:
    """Print how a store is told to tell the catalog of its keys, which changes nothing; or set its bucket's target."""
    invocation: Invocation = context.obj
    with invocation.catalog() as catalog:
        backend = catalog.backends.read(organization, backend_id)
        if target is not None:
            catalog.backends.tell(organization, backend_id, target, replace=replace)
        url = catalog.url
    told = {"backend": backend_id, "bucket": backend["bucket"], "prefix": backend["prefix"], "target": target}
    if target is not None:
        output.say(f"{backend['bucket']} tells {target} of its keys")
        if json:
            output.as_json(told)
        return
    prefix = f"{backend['prefix']}/" if backend["prefix"] else ""
    place = {"organization": organization, "backend": backend_id, "bucket": backend["bucket"], "prefix": prefix}
    steps = steps_of(dialect, url=url, **place)
    if json:
        output.as_json(told | {"dialect": dialect.value, "steps": steps})
        return
    output.data(steps.rstrip())
    if dialect not in _WITHOUT_TOKEN:
        output.say(f"TOKEN: `catalog backend event-token {organization} {backend_id} --into FILE` makes it")
