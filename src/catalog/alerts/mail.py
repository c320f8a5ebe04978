"""Mail: what is written to somebody, and how it leaves. Nothing goes to an address whose reader has not agreed."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

import anyio

from catalog.alerts import matches, noticed
from catalog.alerts.saved import Saved
from catalog.alerts.webhooks import NotTold
from catalog.storage.backends import Health

SEND_SECONDS_MAX = 20.0
OBJECTS_LISTED_MAX = 50
Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who writes: the sender's address, the catalog's name, and where it is."""

    sender: str
    publisher: str
    address: str

    @property
    def host(self) -> str:
        """The host that ids of messages end in."""
        return urlsplit(self.address).hostname or "localhost"


def alert(
    head: Letterhead,
    to: str,
    search: Saved,
    told: Sequence[matches.Told],
    *,
    unsubscribe: str,
    message_id: UUID,
    moment: datetime,
) -> EmailMessage:
    """Return the mail that tells of objects; `unsubscribe` ends such mails by one click (RFC 8058)."""
    count = f"{len(told)} new" if len(told) > 1 else _line(told[0].title)[:120]
    message = _message(head, to, f"{_line(search.name)}: {count}", message_id, moment)
    message["List-Unsubscribe"] = f"<{unsubscribe}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    lines = [
        f"What fits your saved search \N{LEFT DOUBLE QUOTATION MARK}{search.name}\N{RIGHT DOUBLE QUOTATION MARK}:",
        "",
    ]
    for one in told[:OBJECTS_LISTED_MAX]:
        lines += [_line(one.title), f"  {one.kind} in {one.project}", f"  {head.address}/objects/{one.id}", ""]
    if len(told) > OBJECTS_LISTED_MAX:
        lines += [f"And {len(told) - OBJECTS_LISTED_MAX} more, which are in its feed or found by a search.", ""]
    lines += ["No more of these mails:", unsubscribe]
    message.set_content("\n".join(lines) + "\n")
    return message


def confirmation(
    head: Letterhead, to: str, principal: str, *, confirm: str, message_id: UUID, moment: datetime
) -> EmailMessage:
    """Return the mail that asks whoever reads an address whether they want mail there.

    It has no words of whoever asked but the name of their account.
    """
    message = _message(head, to, f"{head.publisher}: is this your address?", message_id, moment)
    message.set_content(
        f"The account {principal} of {head.publisher} ({head.address}) wants mail at this address\n"
        "when something new fits its saved searches, and when a store fails that it looks after.\n\n"
        f"If that is you, or if you never want such mail, say so here:\n{confirm}\n\n"
        "Otherwise do nothing: no mail will come.\n"
    )
    return message


def notice(head: Letterhead, to: str, told: noticed.NoticeView, *, end: str, moment: datetime) -> EmailMessage:
    """Return the mail that tells an admin how a store is; at the address `end` whoever reads it may refuse all mail."""
    whose = f"of {told.organization}" if told.organization else f"of {head.publisher} itself"
    failing = told.state is Health.FAILING
    word = "fails" if failing else "works again"
    message = _message(head, to, f"{_line(told.name)[:100]}: this store {word}", told.id, moment)
    lines = [f"The store {_line(told.name)} {whose} {word}, since {told.since:%Y-%m-%d %H:%M} UTC.", ""]
    if failing:
        lines += ["What failed:", *(f"  {one.action}: {_line(one.reason or '')}" for one in told.faults), ""]
        lines += ["Links and tickets are given as before. You are told once when it works again."]
    if told.organization:
        lines += ["", "Try it now, or see what was found before:"]
        lines += [f"  catalog backend {one} {told.organization} {told.backend}" for one in ("check", "history")]
        lines += [f"  {head.address}/organizations/{told.organization}"]
    else:
        lines += ["", "See what was found before:", f"  catalog backend history {told.backend}"]
    lines += ["", "You get this as an admin who agreed to mail at this address. To refuse all mail there:", end]
    message.set_content("\n".join(lines) + "\n")
    return message


def _message(head: Letterhead, to: str, subject: str, message_id: UUID, moment: datetime) -> EmailMessage:
    message = EmailMessage()
    message["From"] = head.sender
    # The library decodes what it takes for an encoded word: mail would go where nobody agreed to it.
    try:
        message["To"] = to
        written = [one.addr_spec for one in message["To"].addresses]
    except ValueError:
        written = []
    if written != [to]:
        raise NotTold("The address cannot be written into a mail as it stands; give another one.")
    message["Subject"] = subject
    message["Date"] = format_datetime(moment)
    # Repeated, a message has the same id.
    message["Message-ID"] = f"<{message_id}@{head.host}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def _line(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True, slots=True)
class Mailer:
    """The server that takes our mail."""

    host: str
    port: int
    security: Security
    # Authorities that may vouch for the server beside the system's, in PEM.
    authorities: Path | None
    user: str | None
    password: str | None
    head: Letterhead

    async def send(self, message: EmailMessage) -> None:
        """Hand a message to the server; raises NotTold when it does not take it."""
        try:
            await anyio.to_thread.run_sync(self._send, message)
        except smtplib.SMTPRecipientsRefused:
            raise NotTold("The mail server refuses the address.") from None
        except ssl.SSLCertVerificationError as fault:
            why = fault.verify_message.rstrip(".")
            raise NotTold(f"The mail server is not known for what it says it is: {why}.") from None
        except smtplib.SMTPNotSupportedError as fault:
            raise NotTold(f"The mail server does not offer what it must: {str(fault).rstrip('.')}.") from None
        except (smtplib.SMTPException, OSError) as fault:
            raise NotTold(f"The mail server does not take the mail: {type(fault).__name__}.") from None

    def _send(self, message: EmailMessage) -> None:
        secure = ssl.create_default_context()
        if self.authorities is not None:
            secure.load_verify_locations(self.authorities)
        name = self.head.host
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, name, timeout=SEND_SECONDS_MAX, context=secure
            )
        else:
            server = smtplib.SMTP(self.host, self.port, name, timeout=SEND_SECONDS_MAX)
        with server:
            if self.security == "starttls":
                server.starttls(context=secure)
            if self.user is not None:
                server.login(self.user, self.password or "")
            server.send_message(message)
