"""What `reprieve up --demo` shows: samples sent through the real door, what was found, what to try next."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import httpx2
import msgspec

from services import demo
from services.embedded.folder import DataFolder
from services.embedded.up_file import UpFile
from shared.errors import UnavailableError

_SETTLED_SECONDS = 120
_ASK_AGAIN_SECONDS = 0.3


async def open_feed(content: UpFile) -> None:
    """Make sure that the feed of this machine exists."""
    async with _client(content, content.ingest_url, "submitter") as ingest:
        await _ask(ingest, "POST", "/v1/feeds", json={"name": content.feed})


async def show_what_was_found(content: UpFile, folder: DataFolder, *, say: Callable[[str], None]) -> UpFile:
    """Push the samples at the first run, wait until the ledger has them, print the page."""
    pushed_on = content.demo_pushed_on or demo.today()
    samples = [folder.path / "demo" / name for name, _ in demo.remittances(pushed_on)]
    if content.demo_pushed_on is None:
        samples[0].parent.mkdir(exist_ok=True)
        for path, (_, body) in zip(samples, demo.remittances(pushed_on), strict=True):
            path.write_bytes(body)
        await _push(content, samples, say=say)
    async with _client(content, content.tracker_url, "biller") as tracker:
        summary = await _ask(tracker, "GET", "/v1/summary")
    for line in _page(content, folder, summary, samples[0]):
        say(line)
    return msgspec.structs.replace(content, demo_pushed_on=pushed_on)


async def _push(content: UpFile, samples: list[Path], *, say: Callable[[str], None]) -> None:
    async with _client(content, content.ingest_url, "submitter") as ingest:
        receipts = []
        for path in samples:
            say(f"Pushing {path.name} …")
            place = {"feed": content.feed, "file_name": path.name}
            body = path.read_bytes()
            receipt = await _ask(ingest, "POST", "/v1/remittances", params=place, content=body)
            receipts.append(receipt["receipt_id"])

        async def processed() -> bool:
            found = [await _ask(ingest, "GET", f"/v1/remittances/{receipt_id}") for receipt_id in receipts]
            return all(receipt["status"] in ("processed", "refused") for receipt in found)

        await _until(processed, "the samples are processed")
    async with _client(content, content.ingest_url, "operator") as ingest:

        async def settled() -> bool:
            answer = await ingest.get("/v1/reconciliation/events")
            states = [msgspec.json.decode(line)["state"] for line in answer.content.splitlines() if line]
            return answer.is_success and all(state in ("settled", "parked") for state in states)

        await _until(settled, "the ledger has the samples")


async def _until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = monotonic() + _SETTLED_SECONDS
    while not await true():
        if monotonic() > deadline:
            raise UnavailableError(
                f"After {_SETTLED_SECONDS} s it is not so that {what}.", remedy="The logs say why."
            )
        await asyncio.sleep(_ASK_AGAIN_SECONDS)


def _page(content: UpFile, folder: DataFolder, summary: Any, sample: Path) -> list[str]:
    """Give the lines that a person reads first."""

    def curl(role: str, rest: str) -> str:
        return f"  curl -s -H 'Authorization: Bearer {content.keys[role]}' {rest}"

    return [
        "",
        _found(summary),
        "",
        f"  ingest   {content.ingest_url}   takes files",
        f"  triage   {content.triage_url}   explains decisions",
        f"  tracker  {content.tracker_url}   lists cases, takes facts",
        "",
        f"A key for each role ({folder.up_file} has them too):",
        *(f"  {role:<11}{key}" for role, key in content.keys.items()),
        "",
        "Try:",
        curl("biller", f"'{content.tracker_url}/v1/cases?sort=deadline&limit=2'"),
        curl("biller", f"'{content.tracker_url}/v1/summary'"),
        curl(
            "submitter",
            "-H 'Content-Type: application/edi-x12'"
            f" --data-binary @'{sample}' '{content.ingest_url}/v1/remittances?feed={content.feed}'",
        ),
        "",
        f"Logs are in {folder.logs}. Ctrl-C stops everything; the data stays.",
    ]


def _found(summary: Any) -> str:
    """Say on one line what there is to do."""
    told = f"{summary['denials']} denials, {summary['auth_related']} about authorization"
    told += f", ${Decimal(summary['open_clock_amount']):,.2f} in denied charges with a clock still open"
    days = summary["next_deadline_days_left"]
    if days is None:
        return told + "."
    when = "today" if days == 0 else "in 1 day" if days == 1 else f"in {days} days"
    return f"{told}, next deadline {when}."


def _client(content: UpFile, url: str, role: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {content.keys[role]}"}, timeout=30
    )


async def _ask(client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> Any:
    answer = await client.request(method, path, **more)
    if not answer.is_success:
        raise UnavailableError(f"{path} answered {answer.status_code}.", remedy="The logs say why.")
    return answer.json()
