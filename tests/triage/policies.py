"""Policies to publish in tests, and how they are sent."""

from typing import Any

TEXT = """
id = "{id}"
version = "{version}"
name = "Invented Health Plan"
status = "{status}"
zone = "America/Chicago"
{more}

[match]
names = ["Invented Health Plan"]

[[sources]]
url = "https://invented.example/rules"
seen_on = 2026-02-01

[[clocks]]
kind = "retro_authorization"
label = "Retroactive request"
amount = {days}
unit = "calendar_days"
anchors = ["dos_first"]

[[examples]]
name = "counted from the service"
as_of = 2026-02-02
denial = {{ payer_date = 2026-02-02, service_from = 2026-02-01 }}
clocks = [{{ kind = "retro_authorization", permitted = true, deadline = "{deadline}T23:59:59-06:00" }}]
"""


def policy_text(
    *,
    days: int = 20,
    version: str = "1",
    id: str = "invented",  # noqa: A002  the policy's
    status: str = "unconfirmed",
    more: str = "",
    deadline: str | None = None,
) -> str:
    """A policy of the payer that the denials of messages.py name: so many days (up to 27) from the service."""
    ends = deadline or f"2026-02-{1 + days:02d}"
    return TEXT.format(days=days, version=version, id=id, status=status, more=more, deadline=ends)


def draft(text: str, *, based_on: int = 0, reason: str = "the payer's page changed") -> dict[str, Any]:
    return {"content": text, "based_on": based_on, "reason": reason}
