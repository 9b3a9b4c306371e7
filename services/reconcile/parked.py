"""What lies in dead-letter topics, as the producers know it, and the way back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.http.client import SERVICES, ServiceName, Stack, raise_for_problem

ROLE = "operator"
PAGE_ROWS = 1000
IDS_AT_ONCE = 50


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """A parked message. `reason` is the class of the error that stopped it."""

    organization_id: UUID
    message_id: UUID
    revision: int
    type: str
    reason: str
    parked_at: datetime
    service: str = ""


class _Page(msgspec.Struct):
    data: list[Parked]
    has_more: bool


class _MadeDue(msgspec.Struct):
    made_due: int


@dataclass(frozen=True, slots=True)
class Found:
    """The parked messages; `incomplete` names the services that have more of them than one page."""

    messages: list[Parked]
    incomplete: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many messages each service sends again, and which ids none of them has parked."""

    counts: dict[ServiceName, int]
    unknown: frozenset[UUID] = frozenset()


def find(stack: Stack) -> Found:
    """Ask all three services what is parked with them; the oldest first."""
    messages: list[Parked] = []
    incomplete = []
    for service in SERVICES:
        with stack.client(service, ROLE) as client:
            page = _parked_at(client)
        messages += [msgspec.structs.replace(one, service=service) for one in page.data]
        if page.has_more:
            incomplete.append(service)
    return Found(sorted(messages, key=lambda one: one.parked_at), tuple(incomplete))


def replay_all(stack: Stack) -> Replayed:
    """Have everything sent again."""
    return Replayed({service: _replay(stack, service, {"all": True}) for service in SERVICES})


def replay(stack: Stack, ids: set[UUID]) -> Replayed:
    """Have the messages with these ids sent again, in whatever revision and wherever they are parked."""
    counts: dict[ServiceName, int] = {}
    unknown = set(ids)
    for service in SERVICES:
        for some in _in_batches(sorted(ids)):
            with stack.client(service, ROLE) as client:
                found = _parked_at(client, message_id=[str(one) for one in some]).data
            if found:
                replayed = _replay(stack, service, {"items": [_item(one) for one in found]})
                counts[service] = counts.get(service, 0) + replayed
                unknown -= {one.message_id for one in found}
    return Replayed(counts, frozenset(unknown))


def _in_batches(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Split ids so that they fit into a URL, and what is parked of them into one page."""
    return (ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE))


def _parked_at(client: httpx2.Client, **query: list[str]) -> _Page:
    answer = raise_for_problem(client.get("/v1/parked", params={"limit": PAGE_ROWS, **query}))
    return msgspec.json.decode(answer.content, type=_Page)


def _item(one: Parked) -> dict[str, Any]:
    return {
        "organization_id": one.organization_id,
        "message_id": one.message_id,
        "revision": one.revision,
    }


def _replay(stack: Stack, service: ServiceName, wanted: dict[str, Any]) -> int:
    with stack.client(service, ROLE) as client:
        answer = client.post(
            "/v1/parked/replay",
            content=msgspec.json.encode(wanted),
            headers={"Content-Type": "application/json"},
        )
    return msgspec.json.decode(raise_for_problem(answer).content, type=_MadeDue).made_due


def render_table(found: Found) -> RenderableType:
    """Show parked messages and what to do about them."""
    if not found.messages:
        return Text("Nothing is parked.")
    table = Table()
    for heading in ("parked at", "by the outbox of", "type", "id", "reason"):
        table.add_column(heading, overflow="fold")
    for one in found.messages:
        table.add_row(
            f"{one.parked_at:%Y-%m-%d %H:%M:%S %Z}",
            one.service,
            one.type,
            f"{one.message_id}:{one.revision}",
            one.reason,
        )
    parts: list[RenderableType] = [table]
    parts += [Text(f"{service} has more than {PAGE_ROWS:,}.") for service in found.incomplete]
    parts.append(Text("Mend what stopped them, then `reprieve dlq replay --id ID` for one, or --all."))
    return Group(*parts)


def render_json(found: Found) -> str:
    """Give one JSON object a line."""
    return msgspec.json.Encoder().encode_lines(found.messages).decode().rstrip("\n")
