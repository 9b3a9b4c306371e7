"""From the words of a row to the event that ingest would send."""

import re
from decimal import Decimal
from uuid import UUID

from msgspec.structs import asdict, replace

from shared.contracts.claim import (
    Adjustment,
    BalanceFinding,
    ClaimObserved,
    DeniedAdjustment,
    Reference,
    Remark,
    ServiceLine,
)
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.claim_reversed import ClaimReversed
from tests.triage.domain.denials import denial
from tests.triage.rows.form import Earlier, Given, GivenLine

_REFUSAL = re.compile(r"([A-Z]{2})-(\w*)(?: (-?[\d.]+))?(?: x(\d+))?")
_OF_A_LINE = set(GivenLine.__struct_fields__)


def denied(given: Given) -> ClaimDenied:
    """Make the denial of a row."""
    written = given.lines if given.lines is not None else (_only_line(given),)
    lines = [_line(number, one, given) for number, one in enumerate(written, start=1)]
    refused = [_refused(code, None) for code in given.claim_codes]
    refused += [_refused(code, n) for n, one in enumerate(written, start=1) for code in one.codes]
    assert refused, "a denial refuses something"
    return denial(
        *refused,
        lines=lines,
        payer=given.payer or None,
        payer_ids=[_reference(text) for text in given.payer_ids],
        remarks=given.claim_remarks,
        charge_amount=sum((one.charge_amount for one in lines), Decimal(0)) or Decimal(given.charge),
        paid_amount=sum((one.paid_amount for one in lines), Decimal(0)),
        patient_responsibility_amount=None if given.patient_owes is None else Decimal(given.patient_owes),
        adjustments=tuple(_adjustment(code) for code in given.claim_codes),
        authorization_numbers=()
        if given.claim_authorization is None
        else (_reference(given.claim_authorization),),
        filing_indicator=given.filing,
        claim_status=given.status,
        facility_type=given.place,
        frequency=given.frequency,
        drg=given.drg,
        version=given.version,
        payment_method=given.payment,
        is_test=given.test_file,
        truncated=given.truncated,
        balance_findings=(_FINDING,) if given.out_of_balance else (),
        **_dates(given),
    )


def others(given: Given) -> list[ClaimObserved]:
    """Make what other remittances say of the claim of a row, each under its own id."""
    return [_other(number, one, given) for number, one in enumerate(given.others, start=100)]


def _other(number: int, one: Earlier, given: Given) -> ClaimObserved:
    told = replace(
        given,
        codes=one.codes or ("CO-45 0.00",),
        remarks=one.remarks,
        paid=one.paid,
        remittance=one.remittance,
        service=one.service or given.service,
        test_file=given.test_file if one.test_file is None else one.test_file,
    )
    event = replace(denied(told), event_id=UUID(int=number))
    if one.codes and not one.takes_back:
        return event
    form = ClaimReversed if one.takes_back else ClaimAdjudicated
    return form(**{name: value for name, value in asdict(event).items() if name != "denied"})


_FINDING = BalanceFinding(
    level="claim",
    reported_amount=Decimal("10.00"),
    computed_amount=Decimal("9.00"),
    difference=Decimal("1.00"),
)


def _dates(given: Given) -> dict[str, object]:
    of_lines = [one.service for one in given.lines or () if one.service]
    last_of_lines = [one.service_to or one.service for one in given.lines or () if one.service]
    service = min(of_lines) if of_lines else None if given.service_unknown else given.service
    source = "line" if service else "claim" if given.statement_from else "none"
    if service and given.service_to and not of_lines:
        source = "line_range"
    return {
        "service_from": service or given.statement_from,
        "service_to": max(last_of_lines) if of_lines else given.service_to or service or given.statement_to,
        "service_date_source": source,
        "statement_from": given.statement_from,
        "statement_to": given.statement_to,
        "payer_date": given.remittance,
        "payer_date_source": given.remittance_from,
        "received_on": given.remittance,
        "claim_received_on": given.claim_received,
    }


def _only_line(given: Given) -> GivenLine:
    said = {name: value for name, value in asdict(given).items() if name in _OF_A_LINE}
    if given.service_unknown:
        said["service"] = None
    return replace(GivenLine(), **said)


def _line(number: int, one: GivenLine, given: Given) -> ServiceLine:
    remarks = [Remark(code=code, source="LQ") for code in one.remarks]
    remarks += [Remark(code=code, source="LQ", code_list="RX") for code in one.pharmacy_remarks]
    usual = None if given.service_unknown else one.service or given.service
    return ServiceLine(
        number=number,
        charge_amount=Decimal(one.charge),
        paid_amount=Decimal(one.paid),
        qualifier="HC" if one.procedure else None,
        code=one.procedure,
        modifiers=one.modifiers,
        original_qualifier="HC" if one.billed_procedure else None,
        original_code=one.billed_procedure,
        revenue_code=one.revenue,
        service_from=usual,
        service_to=one.service_to or usual,
        adjustments=tuple(_adjustment(code) for code in (*one.codes, *one.ordinary)),
        remarks=tuple(remarks),
        authorization_numbers=()
        if one.authorization is None
        else (Reference(qualifier="G1", value=one.authorization),),
    )


def _parts(text: str) -> dict[str, object]:
    found = _REFUSAL.fullmatch(text)
    assert found, text
    group, reason, amount, count = found.groups()
    quantity = None if count is None else Decimal(count)
    return {"group": group, "reason": reason, "amount": Decimal(amount or "500.00"), "quantity": quantity}


def _adjustment(text: str) -> Adjustment:
    return Adjustment(**_parts(text))  # type: ignore[arg-type]


def _refused(text: str, line: int | None) -> DeniedAdjustment:
    return DeniedAdjustment(line_number=line, **_parts(text))  # type: ignore[arg-type]


def _reference(text: str) -> Reference:
    qualifier, _, value = text.partition(" ")
    return Reference(qualifier=qualifier, value=value)
