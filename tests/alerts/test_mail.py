"""Mail: to those who agreed, not too often, with a way out of it, and of all once a day to those who want it so."""

import re
from collections.abc import Generator
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest

from catalog.alerts import mail, topics
from catalog.alerts.addresses import ASKED_A_DAY_MAX
from catalog.alerts.telling import RETRIES
from catalog.alerts.webhooks import NotTold
from tests.alerts.conftest import Desk, Person, Postbox

SEPARATORS = ("\u2028", "\u2029")


@pytest.fixture
def box(postbox: Postbox) -> Generator[Postbox]:
    """The mail server, with nothing in it."""
    postbox.mails.clear()
    yield postbox
    postbox.answer = "250 OK"


def text_of(message: EmailMessage) -> str:
    """What a mail says."""
    return str(message.get_content()).replace("\r\n", "\n")


def link_of(message: EmailMessage, part: str) -> str:
    """The link of a mail that has this part, without the host."""
    (found,) = set(re.findall(rf"https?://[^/\s]+(/{part}\S+)", text_of(message)))
    return str(found)


async def agreed(desk: Desk, box: Postbox) -> None:
    """Have whoever reads the address that was asked last agree."""
    await desk.work()
    nobody = await desk.holding(None)
    _, asked = box.mails.pop()
    answer = await nobody.post(link_of(asked, "mail-addresses"), data={"wanted": "yes"})
    assert answer.status_code == 200, answer.text


def fresh() -> str:
    """An address that no other test knows."""
    return f"ana-{uuid4().hex[:8]}@example.org"


async def test_nothing_is_mailed_before_whoever_reads_the_address_agreed(desk: Desk, lab: Person, box: Postbox) -> None:
    ana, address = await desk.person(), fresh()
    made = await ana.save("toad", name="Toads & frogs", by="mail", address=address)
    await lab.register("A toad")
    await desk.work()
    ((to, asked),) = box.mails
    assert (to, asked["Auto-Submitted"], "toad" in text_of(asked).lower()) == ([address], "auto-generated", False)
    assert ana.name in text_of(asked)
    page = await (await desk.holding(None)).get(link_of(asked, "mail-addresses"))
    assert (page.status_code, len(box.mails)) == (200, 1)
    await agreed(desk, box)
    await desk.work()

    ((to, mail),) = box.mails
    assert (to, mail["From"], mail["Subject"]) == ([address], "catalog@example.org", "Toads & frogs: A toad")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "A toad\n  training-dataset in alerts/soil\n" in text_of(mail)
    assert (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()["told_at"] is not None


async def test_one_click_ends_the_mails_of_a_search_and_its_feed_goes_on(desk: Desk, lab: Person, box: Postbox) -> None:
    ana = await desk.person()
    made = await ana.save("newt", by="mail", address=fresh())
    await agreed(desk, box)
    await lab.register("Newt one")
    await desk.work()
    ((_, mail),) = box.mails
    link = link_of(mail, "saved-searches")
    assert f"{mail['List-Unsubscribe']}".strip("<>").endswith(link)
    nobody = await desk.holding(None)
    assert (await nobody.get(link)).status_code == 200
    assert (
        await nobody.post(link.replace("catu_", "catu_x"), data={"List-Unsubscribe": "One-Click"})
    ).status_code == 404
    assert (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()["stopped_at"] is None
    assert (await nobody.post(link, data={"List-Unsubscribe": "One-Click"})).status_code == 200
    await lab.register("Newt two")
    await desk.run("UPDATE saved_search SET told_at = told_at - CAST('1 day' AS interval)")
    await desk.work()

    assert len(box.mails) == 1
    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert (shown["stopped_at"] is None, shown["fault"]) == (False, "Whoever reads the messages has stopped them.")
    assert await ana.feed(made) == ["Newt two", "Newt one"]


async def test_mails_keep_their_distance_and_what_came_between_comes_together(
    desk: Desk, lab: Person, box: Postbox
) -> None:
    ana = await desk.person()
    await ana.save("salamander", name="Salamanders", by="mail", address=fresh())
    await agreed(desk, box)
    for title in ("Salamander one", "Salamander two", "Salamander three"):
        await lab.register(title)
        await desk.work()
    assert [mail["Subject"] for _, mail in box.mails] == ["Salamanders: Salamander one"]
    await desk.run("UPDATE saved_search SET told_at = told_at - CAST('11 minutes' AS interval)")
    await desk.run("UPDATE queue SET ready_at = now()")
    await desk.work()

    assert [mail["Subject"] for _, mail in box.mails][1:] == ["Salamanders: 2 new"]
    assert "Salamander two" in text_of(box.mails[1][1])
    assert "Salamander three" in text_of(box.mails[1][1])


async def test_a_digest_comes_once_a_day_with_all_that_may_still_be_seen(desk: Desk, lab: Person, box: Postbox) -> None:
    ana = await desk.person()
    made = await ana.save("axolotl", name="Axolotls", by="mail", when="daily", address=fresh())
    await agreed(desk, box)
    hidden = await lab.register("Secret axolotl")
    for title in ("Axolotl one", "Axolotl two"):
        await lab.register(title)
    await desk.work()
    assert box.mails == []
    assert len(await ana.feed(made)) == 3
    ((hour,),) = await desk.engines.database.rows(
        "SELECT to_char(ready_at + CAST('30 seconds' AS interval), 'HH24:MI') FROM queue"
        " WHERE topic = 'tell' AND ready_at > now()",
        {},
    )
    assert hour == "06:00"
    await lab.change(hidden, visibility="private")
    await desk.run("UPDATE saved_alert SET seen_at = seen_at - CAST('1 day' AS interval)")
    await desk.run("UPDATE queue SET ready_at = now()")
    await desk.work()

    ((_, mail),) = box.mails
    assert (mail["Subject"], "Secret" in text_of(mail)) == ("Axolotls: 2 new", False)
    assert await desk.queued("tell") == []


async def test_an_address_that_was_refused_gets_nothing_and_cannot_be_given_again(desk: Desk, box: Postbox) -> None:
    ana, address = await desk.person(), fresh()
    await ana.save("frog", by="mail", address=address)
    await desk.work()
    ((_, asked),) = box.mails
    nobody = await desk.holding(None)
    link = link_of(asked, "mail-addresses")
    assert (await nobody.post(link.replace("catu_", "catu_x"), data={"wanted": "yes"})).status_code == 404
    assert (await nobody.post(link, data={"wanted": "no"})).status_code == 200
    body = {"name": "Again", "query": {"q": "frog"}, "tell": {"by": "mail", "address": address}}
    refused = await ana.client.post("/api/saved-searches", json=body)
    await desk.work()

    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/tell/address")
    assert len(box.mails) == 1


async def test_a_principal_has_so_many_addresses_asked_a_day_and_each_once(desk: Desk, box: Postbox) -> None:
    ana, known = await desk.person(), fresh()
    statuses = []
    for address in [known, known, *(fresh() for _ in range(ASKED_A_DAY_MAX))]:
        body: dict[str, Any] = {"name": uuid4().hex, "query": {"q": "x"}, "tell": {"by": "mail", "address": address}}
        statuses.append((await ana.client.post("/api/saved-searches", json=body)).status_code)
    await desk.work()

    assert statuses == [201] * (ASKED_A_DAY_MAX + 1) + [413]
    assert len(box.mails) == ASKED_A_DAY_MAX


async def test_a_mail_that_is_not_taken_is_sent_again_as_the_same(desk: Desk, lab: Person, box: Postbox) -> None:
    ana = await desk.person()
    made = await ana.save("caecilian", by="mail", address=fresh())
    await agreed(desk, box)
    box.answer = "451 come back later"
    await lab.register("A caecilian")
    await desk.work()
    fault = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()["fault"]
    box.answer = "250 OK"
    await desk.run("UPDATE saved_search SET retry_at = now()")
    await desk.run("UPDATE queue SET ready_at = now()")
    await desk.work()

    assert (fault, len(box.mails)) == ("The mail server does not take the mail: SMTPDataError.", 1)


async def test_an_address_that_was_refused_is_refused_in_every_spelling(desk: Desk, lab: Person, box: Postbox) -> None:
    ana, local = await desk.person(), f"vic-{uuid4().hex[:8]}"
    also = f"{local.capitalize()}@example.org"
    await ana.save("frog", by="mail", address=f"{local}@EXAMPLE.org")
    await ana.save("frog", by="mail", address=also)
    await desk.work()
    assert [to for to, _ in box.mails] == [[f"{local}@example.org"], [also]]
    nobody = await desk.holding(None)
    links = [link_of(asked, "mail-addresses") for _, asked in box.mails]
    box.mails.clear()
    assert [(await nobody.post(link, data={"wanted": "yes"})).status_code for link in links] == [200, 200]
    assert (await nobody.post(links[0], data={"wanted": "no"})).status_code == 200

    spellings = [f"{local}@example.org", f"{local}@EXAMPLE.ORG", f"{local.upper()}@Example.Org", also]
    spellings += [f"=?utf-8?q?{local}?=@example.org", f"=?us-ascii?b?{local}?=@example.org"]
    faults = []
    for address in spellings:
        body = {"name": uuid4().hex, "query": {"q": "x"}, "tell": {"by": "mail", "address": address}}
        refused = await ana.client.post("/api/saved-searches", json=body)
        faults.append((refused.status_code, refused.json()["errors"][0]["message"]))
    assert (
        faults
        == [(400, "whoever reads this address wants no mail from you")] * 4
        + [(400, "This is no mail address; write one as ana@example.org.")] * 2
    )
    # What was agreed to in another spelling is refused with it.
    await lab.register("A frog")
    await desk.work()
    assert box.mails == []


@pytest.mark.parametrize("to", ["=?utf-8?q?vic?=@example.org", "=?utf-8?q?a=0d=0aBcc=3av=40e.org?=@example.org"])
def test_no_address_is_written_into_a_mail_as_another(to: str) -> None:
    head = mail.Letterhead("catalog@example.org", "Catalog", "https://catalog.example.org")
    with pytest.raises(NotTold, match="cannot be written"):
        mail.confirmation(
            head, to, "ana", confirm="https://catalog.example.org/x", message_id=uuid4(), moment=datetime.now(UTC)
        )


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\x0b", "\x9f"])
async def test_a_name_that_would_end_a_line_of_a_mail_is_refused_and_one_that_is_kept_is_told(
    desk: Desk, lab: Person, box: Postbox, end: str
) -> None:
    ana = await desk.person()
    body = {"name": f"a{end}b", "query": {"q": "newt"}}
    refused = await ana.client.post("/api/saved-searches", json=body)
    assert (refused.status_code, [one["pointer"] for one in refused.json()["errors"]]) == (400, ["/name"])

    made = await ana.save("newt", by="mail", address=fresh())
    await agreed(desk, box)
    # As it could be saved before.
    await desk.run("UPDATE saved_search SET name = :name WHERE id = :id", name=f"a{end}b", id=made["id"])
    # Titles have no control characters.
    await lab.register(f"A newt{end if end in SEPARATORS else ' '}in line")
    await desk.work()
    ((_, told),) = box.mails
    assert told["Subject"].startswith("a b: A newt" if end != "\x9f" else "a")
    assert await desk.queued("tell") == []


async def test_a_message_that_cannot_be_written_is_its_owners_to_know(
    desk: Desk, lab: Person, box: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await desk.person()
    made = await ana.save("salamander", by="mail", address=fresh())
    await agreed(desk, box)
    # A character of which no mail program makes anything, past every check: the half of a pair.
    monkeypatch.setattr("catalog.alerts.mail._line", lambda text: f"{text}\n\ud800")
    await lab.register("A salamander")
    for _ in range(len(RETRIES) + 2):
        await desk.work()
        await desk.run("UPDATE saved_search SET retry_at = now()")
        await desk.run("UPDATE queue SET ready_at = now()")

    shown = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()
    assert (shown["fault"], shown["stopped_at"] is None) == ("The message cannot be written: ValueError.", False)
    assert (await desk.queued("tell"), box.mails) == ([], [])


async def test_an_address_that_the_mail_server_refuses_is_its_owners_to_know(desk: Desk, box: Postbox) -> None:
    ana = await desk.person()
    made = await ana.save("olm", by="mail", address=fresh())
    box.answer = "550 no such mailbox"
    for _ in range(len(RETRIES) + 2):
        await desk.work()
        await desk.run("UPDATE queue SET ready_at = now()")

    fault = (await ana.client.get(f"/api/saved-searches/{made['id']}")).json()["fault"]
    assert fault.startswith("The address could not be asked: ")
    assert await desk.queued(topics.CONFIRM) == []
