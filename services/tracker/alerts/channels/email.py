"""
E-mail over an organization's SMTP server: plain text and HTML, one thread for each group.

STARTTLS (RFC 3207) or TLS, except to this machine itself. The Message-ID is the notification's, so that a
mailbox keeps one of two; List-Id (RFC 2919) lets people filter, Auto-Submitted (RFC 3834) keeps robots quiet.
"""

import hashlib
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

import aiosmtplib
import msgspec
from limits import RateLimitItemPerMinute

from services.tracker.alerts.channels.kind import Kind
from services.tracker.alerts.domain.notification import Destination, Notification
from services.tracker.alerts.domain.outcomes import Delivered, DestinationError, Outcome, Rejected, TryLater
from services.tracker.alerts.domain.wording import cut, headline, one_line
from services.tracker.alerts.network import Network, is_host
from services.tracker.alerts.templates.email import html, plain
from shared.errors import InvalidInputError

_RECIPIENTS_MAX = 50
_SUBJECT_CHARACTERS_MAX = 200
_PORT_MAX = 65_535
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class EmailSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`security` none is for a server on this machine only. The secret is the password of `user_name`."""

    host: str
    sender: str
    recipients: list[str]
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user_name: str | None = None


def check(settings: EmailSettings, _network: Network) -> tuple[str, int]:
    """Give the host and port. Raises InvalidInputError for what is no address, and for mail in the clear."""
    for address in (settings.sender, *settings.recipients):
        _address(address)
    if not is_host(settings.host.lower()) or not 0 < settings.port <= _PORT_MAX:
        raise InvalidInputError("The server is no host and port.", remedy="Such as smtp.example.org and 587.")
    if not 1 <= len(settings.recipients) <= _RECIPIENTS_MAX:
        raise InvalidInputError(
            f"1 to {_RECIPIENTS_MAX} recipients are needed.", remedy="Use a mailing list."
        )
    if settings.security == "none" and settings.host not in _LOOPBACK:
        raise InvalidInputError(
            "Mail goes to another machine over TLS only.", remedy="Set `security` to starttls or tls."
        )
    return settings.host, settings.port


def check_secret(secret: str) -> None:
    """Raise InvalidInputError for an empty password."""
    if not secret.strip():
        raise InvalidInputError(
            "The password is empty.", remedy="Leave it out for a server that asks for none."
        )


def _address(text: str) -> Address:
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        address = Address()
    if not address.domain or not address.username or not text.isascii() or one_line(text) != text:
        raise InvalidInputError(
            "An address is not one of e-mail.", remedy="Write it as name@example.org, without a display name."
        )
    return address


async def deliver(notification: Notification, destination: Destination, network: Network) -> Outcome:
    """Hand the message to the server. What it refuses for now (4xx) is tried again."""
    settings = destination.settings
    if not isinstance(settings, EmailSettings):
        return Rejected(reason="without_settings")
    check(settings, network)
    opened = await network.connect(settings.host, settings.port)
    server = aiosmtplib.SMTP(
        hostname=settings.host,
        sock=opened,
        timeout=network.timeout_seconds,
        use_tls=settings.security == "tls",
        start_tls=settings.security == "starttls",
        tls_context=network.verify,
        local_hostname="reprieve",
        username=settings.user_name,
        password=destination.secret.current if destination.secret and settings.user_name else None,
    )
    try:
        async with server:
            await server.send_message(compose(notification, settings))
    except aiosmtplib.SMTPRecipientsRefused as error:
        return _refusal(max(one.code for one in error.recipients))
    except aiosmtplib.SMTPAuthenticationError as error:
        return TryLater(reason="password_refused", status=error.code)
    except aiosmtplib.SMTPResponseException as error:
        return _refusal(error.code)
    except (aiosmtplib.SMTPTimeoutError, TimeoutError):
        raise DestinationError("timed_out") from None
    except (aiosmtplib.SMTPException, OSError):
        raise DestinationError("broke_off") from None
    finally:
        server.close()  # and the socket with it, which is its own by now
    return Delivered(status=250)


def _refusal(code: int) -> Outcome:
    if 500 <= code < 600:
        return Rejected(reason=f"status_{code}", status=code)
    return TryLater(reason=f"status_{code}", status=code)


def compose(notification: Notification, settings: EmailSettings) -> EmailMessage:
    """Write the message: the same bytes over all tries of a notification."""
    domain = _address(settings.sender).domain
    group = hashlib.sha256(notification.dedup_key.encode()).hexdigest()[:32]
    mail = EmailMessage()
    title = headline(notification.content, notification.kind, notification.severity)
    mail["Subject"] = cut(title, _SUBJECT_CHARACTERS_MAX)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.recipients)
    mail["Date"] = format_datetime(notification.created_at)
    mail["Message-ID"] = f"<{notification.notification_id}@{domain}>"
    mail["References"] = f"<{group}@{domain}>"
    mail["List-Id"] = f"Reprieve alerts <alerts.{notification.channel_id}.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(plain(notification))
    mail.add_alternative(html(notification), subtype="html")
    return mail


def render(notification: Notification) -> bytes:
    """Write a message as the contract test wants to see it, with the bodies decoded."""
    mail = compose(
        notification,
        EmailSettings(host="mail.example", sender="a@mail.example", recipients=["b@mail.example"]),
    )
    bodies = [part.get_content() for part in mail.iter_parts()]
    return "\n".join([*(f"{name}: {value}" for name, value in mail.items()), *bodies]).encode()


KIND = Kind(
    EmailSettings, check, check_secret, deliver, render, RateLimitItemPerMinute(30), needs_secret=False
)
