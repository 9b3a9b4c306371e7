"""Messages as triage receives them, with invented claims."""

from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from shared.contracts.base import Event, encode
from shared.contracts.claim import Adjustment, ClaimObserved, DeniedAdjustment, Party, Reference, ServiceLine
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from shared.contracts.fact_recorded import FactRecorded
from shared.kafka.envelope import read_headers, write_headers
from shared.kafka.received import Received

RECEIVED_ON = date(2026, 3, 2)


def _observed(**changes: Any) -> dict[str, Any]:
    return {
        "organization_id": UUID(int=1),
        "event_id": uuid4(),
        "revision": 1,
        "claim_key": uuid4(),
        "remittance_id": uuid4(),
        "received_at": datetime(2026, 3, 2, 15, tzinfo=UTC),
        "received_on": RECEIVED_ON,
        "position": 1,
        "payer": Party(name="INVENTED HEALTH PLAN", ids=(Reference(qualifier="XV", value="00000"),)),
        "payee": Party(name="INVENTED CLINIC"),
        "payer_date": date(2026, 3, 1),
        "payer_date_source": "dtm405",
        "claim_number": "INVENTED1",
        "claim_status": "4",
        "charge_amount": Decimal("250.00"),
        "paid_amount": Decimal(0),
        "service_from": date(2026, 2, 1),
        "service_to": date(2026, 2, 1),
        "service_date_source": "line",
    } | changes


def denial(**changes: Any) -> ClaimDenied:
    """A claim of $250.00, all of it denied for want of an authorization."""
    line = ServiceLine(
        number=1,
        charge_amount=Decimal("250.00"),
        paid_amount=Decimal(0),
        code="70551",
        qualifier="HC",
        service_from=date(2026, 2, 1),
        adjustments=(Adjustment(group="CO", reason="197", amount=Decimal("250.00")),),
    )
    denied = DeniedAdjustment(line_number=1, group="CO", reason="197", amount=Decimal("250.00"))
    return ClaimDenied(**_observed(lines=(line,), denied=(denied,), **changes))


def adjudication(**changes: Any) -> ClaimAdjudicated:
    return ClaimAdjudicated(**_observed(claim_status="1", paid_amount=Decimal("180.00"), **changes))


def reversal(**changes: Any) -> ClaimReversed:
    return ClaimReversed(**_observed(claim_status="22", **changes))


def fact(about: ClaimObserved, *more: ClaimObserved, **changes: Any) -> FactRecorded:
    """A fact of the case of these claims."""
    return FactRecorded(
        **{
            "organization_id": about.organization_id,
            "fact_id": uuid4(),
            "claim_key": about.claim_key,
            "case_id": uuid4(),
            "event_ids": (about.event_id, *(one.event_id for one in more)),
            "kind": "urgency",
            "value": "emergency",
            "recorded_at": datetime(2026, 3, 10, 15, tzinfo=UTC),
            "recorded_by": uuid4(),
        }
        | changes
    )


def received(event: Event, *, trace_parent: str | None = None) -> Received:
    """The event as a consumer hands it on."""
    headers = write_headers(
        service="tracker" if isinstance(event, FactRecorded) else "ingest",
        message_id=event.message_id,
        revision=event.message_revision,
        type_=type(event).__name__,
        organization_id=event.organization_id,
        created_at=datetime(2026, 3, 2, 15, tzinfo=UTC),
        trace_parent=trace_parent,
    )
    record = SimpleNamespace(value=encode(event), headers=headers, key=str(event.message_key).encode())
    return Received(event, read_headers(headers), record)
