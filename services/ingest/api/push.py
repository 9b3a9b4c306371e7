"""The door for files: POST /v1/remittances. What happens to a body on its way in is in intake/."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from services.ingest.api.feeds import submitter_of
from services.ingest.api.views import PushedView
from services.ingest.intake import media
from services.ingest.intake.allowance import Allowance
from services.ingest.intake.deposit import Deposit, Sender, check_size, deposit
from services.ingest.intake.known_feeds import KnownFeeds
from services.ingest.intake.pressure import Pressure
from services.ingest.intake.registrar import Registrar
from services.ingest.intake.signatures import signed
from services.ingest.intake.unpacking import unpacked
from services.ingest.intake.waiting import SECONDS_MAX, Waiting, wanted_seconds
from services.ingest.store import receipts
from shared.clock import now
from shared.http.auth import require
from shared.observability import metrics
from shared.security.principals import Principal
from shared.storage.vault import Vault

_Submitter = Annotated[Principal, require("submitter")]
_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="Your own name for this file: for a week the same receipt, or 422 for other bytes.",
    ),
]
_Prefer = Annotated[
    str | None,
    Header(
        description=f"`wait=N`: answer when the file is read, N seconds later at most (N ≤ {SECONDS_MAX})."
    ),
]

_BODY = {"schema": {"type": "string", "format": "binary"}}
_DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/edi-x12": _BODY, "application/octet-stream": _BODY, "text/plain": _BODY},
    }
}


@dataclass(frozen=True, slots=True)
class Reception:
    """What stands behind the door. One per process."""

    vault: Vault
    registrar: Registrar
    feeds: KnownFeeds
    allowance: Allowance
    pressure: Pressure
    waiting: Waiting
    max_upload_bytes: int


class _Counted:
    """A stream of blocks that is counted as it goes by. Raises TooLargeError beyond `max_bytes`."""

    def __init__(self, blocks: AsyncIterator[bytes], max_bytes: int) -> None:
        self._blocks = blocks
        self._max_bytes = max_bytes
        self.size_bytes = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for block in self._blocks:
            self.size_bytes += len(block)
            check_size(self.size_bytes, self._max_bytes)
            yield block


def push_router(reception: Reception) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["remittances"])

    @router.post(
        "/v1/remittances",
        operation_id="push_remittance",
        status_code=202,
        responses={200: {"model": PushedView, "description": "It was read already, or was here before."}},
        openapi_extra=_DESCRIBED,
    )
    async def push_remittance(
        principal: _Submitter,
        request: Request,
        response: Response,
        feed: Annotated[str, Query(max_length=63, description="The feed that the file comes from.")],
        file_name: Annotated[
            str | None,
            Query(max_length=255, description="What the sender calls the file; shown in its receipt."),
        ] = None,
        key: _Key = None,
        prefer: _Prefer = None,
    ) -> PushedView:
        """Keep the bytes of the body, whatever they are. The answer comes when they are durable."""
        response.headers["Accept-Encoding"] = media.ACCEPTED_ENCODINGS
        submitter_id = submitter_of(principal)
        sender = Sender(submitter_id, principal.principal_id, feed, key)
        taken = await _take(reception, request, sender, file_name=file_name)
        receipt_id = taken.receipt["receipt_id"]
        response.headers["Location"] = f"/v1/remittances/{receipt_id}"
        ids = {"submitter_id": submitter_id, "receipt_id": receipt_id}
        receipt, finished = taken.receipt, False
        if seconds := wanted_seconds(prefer):
            response.headers["Preference-Applied"] = f"wait={seconds}"
            finished = await reception.waiting.until_finished(**ids, seconds=seconds)
            receipt = await receipts.receipt_summary(reception.registrar.engine, **ids)
        if finished or taken.duplicate:
            response.status_code = 200
        return PushedView(**receipt, duplicate=taken.duplicate)

    return router


async def _take(reception: Reception, request: Request, sender: Sender, *, file_name: str | None) -> Deposit:
    """Let the body through every check on its way to the vault."""
    media.check_media_type(request.headers.get("content-type"))
    media.check_transfer_encoding(request.headers.get("content-transfer-encoding"))
    encoding = media.encoding_of(", ".join(request.headers.getlist("content-encoding")))
    caller = str(sender.principal_id)
    await reception.allowance.take(caller)
    await reception.pressure.check()
    # A packed body may stand for nothing at all: what is sent is bounded and charged, too.
    sent = _Counted(request.stream(), reception.max_upload_bytes)
    blocks = aiter(sent)
    if secrets := await reception.feeds.secrets(sender.submitter_id, sender.feed):
        blocks = signed(blocks, request.headers, secrets=secrets, as_of=now())
        # Who replays a signed request gets the receipt of then, or nothing for another body.
        sender = replace(
            sender, key=sender.key or f"webhook-id {sender.feed} {request.headers['webhook-id']}"
        )
    counted = _Counted(unpacked(blocks, encoding), reception.max_upload_bytes)
    with reception.registrar.key_in_use(sender.submitter_id, sender.key):
        try:
            taken = await deposit(
                aiter(counted),
                sender=sender,
                file_name=file_name,
                announced_bytes=_announced_bytes(request),
                max_bytes=reception.max_upload_bytes,
                registrar=reception.registrar,
                vault=reception.vault,
            )
        finally:
            await reception.allowance.charge(caller, max(sent.size_bytes, counted.size_bytes))
    metrics.RECEIPTS.labels("duplicate" if taken.duplicate else "received").inc()
    metrics.RECEIVED_BYTES.inc(taken.receipt["size_bytes"])
    return taken


def _announced_bytes(request: Request) -> int | None:
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() else None
