"""Messages of AWS's topics: signed by the service's own certificate, or nobody's. Made after the documented format."""

import datetime as dt
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Unauthenticated
from catalog.storage.dialects import sns
from catalog.storage.dialects.noticed import Noticed, UnreadableNotification
from tests.storage.test_notifications import DOCUMENTED, MINE
from tests.storage.topic import CERTIFICATE, DAY, HOST, TOPIC, Service, confirmation, encoded

NOW = dt.datetime.now(dt.UTC)
SERVICE = Service()
PUT = (DOCUMENTED / "aws-put.json").read_text()
ON_THE_BUS = (DOCUMENTED / "eventbridge-created.json").read_text()


def check(message: dict[str, Any], service: Service = SERVICE, at: dt.datetime = NOW) -> None:
    held = sns.certificate_in(service.certificate)
    assert held is not None
    sns.must_be_signed(sns.read(encoded(message)), held, at=at)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("kind", list(sns.Kind))
def test_what_the_service_signed_is_believed(kind: sns.Kind, version: str) -> None:
    check(SERVICE.message(kind, version=version, inside=PUT))


def test_a_message_without_a_subject_is_signed_without_one() -> None:
    check(SERVICE.message(inside=PUT, Subject=None))
    signed = SERVICE.message(inside=PUT)
    del signed["Subject"]
    with pytest.raises(Unauthenticated, match="signature"):
        check(signed)


@pytest.mark.parametrize("name", ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"])
def test_what_was_altered_is_not(name: str) -> None:
    altered = {"Type": "UnsubscribeConfirmation"}.get(name, "altered")
    with pytest.raises(Unauthenticated, match="signature"):
        check(SERVICE.message(inside=PUT) | {name: altered})


def test_another_certificate_and_one_that_is_over_are_not_believed() -> None:
    with pytest.raises(Unauthenticated, match="signature"):
        check(SERVICE.message(inside=PUT), Service())
    with pytest.raises(Unauthenticated, match="not valid now"):
        check(SERVICE.message(inside=PUT), at=NOW + 3 * DAY)
    with pytest.raises(Unauthenticated, match="signature"):
        # Of the other version, so with the other hash.
        check(SERVICE.message(inside=PUT) | {"SignatureVersion": "1"})
    assert [sns.certificate_in(pem) for pem in (b"", b"<html>", SERVICE.certificate[:200])] == [None] * 3


@pytest.mark.parametrize(
    "address",
    [
        f"http://{HOST}{CERTIFICATE}",
        f"https://{HOST}.example.com{CERTIFICATE}",
        f"https://example.com/{HOST}{CERTIFICATE}",
        f"https://user@{HOST}{CERTIFICATE}",
        f"https://{HOST}:8443{CERTIFICATE}",
        f"https://{HOST}@example.com{CERTIFICATE}",
        f"https://{HOST.replace('.', '.a.', 1)}{CERTIFICATE}",
        f"https://{HOST.replace('sns', 'bucket.s3')}{CERTIFICATE}",
        f"https://{HOST}{CERTIFICATE}?x=1",
        f"https://{HOST}{CERTIFICATE}/../a",
        f"https://{HOST}/a/../{CERTIFICATE}",
        f"https://{HOST}/certificate.pem",
        f"https://{HOST}\\@example.com{CERTIFICATE}",
        f"https://[{HOST}{CERTIFICATE}",
        f"https://{HOST}:x{CERTIFICATE}",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_not_even_fetched(address: str) -> None:
    with pytest.raises(UnreadableNotification, match="certificate is not at an address of the service"):
        sns.read(encoded(SERVICE.message(SigningCertURL=address)))


@pytest.mark.parametrize(
    "address",
    [
        f"https://{HOST}/?Action=DeleteTopic&TopicArn={TOPIC}",
        f"https://{HOST}/?Action=ConfirmSubscription&Action=DeleteTopic&TopicArn={TOPIC}",
        confirmation("arn:aws:sns:eu-west-1:111122223333:others"),
        confirmation().replace(HOST, "example.com"),
        confirmation().replace("https", "http"),
        None,
    ],
)
def test_a_subscription_is_confirmed_at_the_service_and_for_its_own_topic_alone(address: str | None) -> None:
    with pytest.raises(UnreadableNotification, match="not confirmed at an address"):
        sns.read(encoded(SERVICE.message("SubscriptionConfirmation", SubscribeURL=address)))


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (PUT, [Noticed("rec-plain", MINE, "ObjectCreated:Put", "0055AED6DCD90281E5")]),
        (ON_THE_BUS, [Noticed("rec-plain", MINE, "Object Created", "00617F08299329D189")]),
        ((DOCUMENTED / "aws-test.json").read_text(), []),
    ],
)
def test_what_is_inside_is_read_in_its_own_words(inside: str, expected: list[Noticed]) -> None:
    assert sns.parse(sns.read(encoded(SERVICE.message(inside=inside)))) == expected


def test_what_says_who_has_subscribed_notices_nothing() -> None:
    for kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        assert sns.parse(sns.read(encoded(SERVICE.message(kind, inside=PUT)))) == []


def test_a_message_of_people_is_unreadable() -> None:
    with pytest.raises(UnreadableNotification):
        sns.parse(sns.read(encoded(SERVICE.message(inside="Hello"))))


@given(st.dictionaries(st.sampled_from(sorted(SERVICE.message())), st.text() | st.none() | st.integers()))
def test_whatever_comes_is_an_envelope_or_unreadable(replaced: dict[str, Any]) -> None:
    sent = json.dumps(SERVICE.message(inside=PUT) | replaced).encode()
    with suppress(UnreadableNotification):
        sns.parse(sns.read(sent))
