"""Denials to decide on, with invented facts. Every test names only what matters to it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from shared.contracts.claim import DeniedAdjustment, Party, Reference, Remark, ServiceLine
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import FactKind
from shared.contracts.fact_recorded import FactRecorded

NOBODY = UUID(int=0)
EVENT = UUID(int=7)


def line(
    number: int = 1,
    *,
    charge: str = "500.00",
    remarks: Sequence[str] = (),
    number_on_file: str | None = None,
    **changes: Any,
) -> ServiceLine:
    return ServiceLine(
        **{
            "number": number,
            "charge_amount": Decimal(charge),
            "paid_amount": Decimal(0),
            "remarks": tuple(Remark(code=code, source="LQ") for code in remarks),
            "authorization_numbers": ()
            if number_on_file is None
            else (Reference(qualifier="G1", value=number_on_file),),
        }
        | changes
    )


def refused(
    code: str, amount: str = "500.00", *, line_number: int | None = 1, group: str = "CO", **changes: Any
) -> DeniedAdjustment:
    return DeniedAdjustment(
        group=group, reason=code, amount=Decimal(amount), line_number=line_number, **changes
    )


def denial(
    *denied: DeniedAdjustment,
    lines: Sequence[ServiceLine] | None = None,
    payer: str | None = "NO SUCH PLAN",
    payer_ids: Sequence[Reference] = (),
    remarks: Sequence[str] = (),
    **changes: Any,
) -> ClaimDenied:
    """A claim of $500.00 served on 2 March 2026, remitted on 20 March, refused whole."""
    service = changes.get("service_from", date(2026, 3, 2))
    lines = (line(service_from=service),) if lines is None else lines
    return ClaimDenied(
        **{
            "organization_id": NOBODY,
            "event_id": EVENT,
            "revision": 1,
            "claim_key": NOBODY,
            "remittance_id": NOBODY,
            "received_at": datetime(2026, 3, 21, 12, tzinfo=UTC),
            "received_on": date(2026, 3, 21),
            "position": 1,
            "payer": Party(name=payer, ids=tuple(payer_ids)),
            "payee": Party(),
            "payer_date": date(2026, 3, 20),
            "payer_date_source": "dtm405",
            "claim_number": "INVENTED",
            "claim_status": "1",
            "charge_amount": sum((one.charge_amount for one in lines), Decimal(0)),
            "paid_amount": Decimal(0),
            "service_from": service,
            "service_to": service,
            "service_date_source": "line",
            "remarks": tuple(Remark(code=code, source="MOA") for code in remarks),
            "lines": tuple(lines),
            "denied": denied or (refused("197"),),
        }
        | changes
    )


def facts(about: UUID = EVENT, **told: str) -> list[FactRecorded]:
    """What people recorded, one after another."""
    return [
        fact(kind, value, minute=minute, about=about) for minute, (kind, value) in enumerate(told.items())
    ]  # type: ignore[arg-type]


def fact(kind: FactKind, value: str, *, minute: int = 0, about: UUID = EVENT) -> FactRecorded:
    return FactRecorded(
        organization_id=NOBODY,
        fact_id=uuid5(about, f"{kind} {minute}"),
        claim_key=NOBODY,
        case_id=NOBODY,
        event_ids=(about,),
        kind=kind,
        value=value,
        recorded_at=datetime(2026, 3, 22, tzinfo=UTC) + timedelta(minutes=minute),
        recorded_by=NOBODY,
    )
