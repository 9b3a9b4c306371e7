"""The worked examples of a policy, executed: what the author computed by hand against what comes out."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID, uuid5

from msgspec.structs import replace

from services.triage.domain.decide import decide
from services.triage.domain.policies import Policies
from services.triage.domain.policy import Policy
from services.triage.domain.policy_file import Example, ExpectedClock
from shared.calendars import Calendar
from shared.contracts.claim import (
    Adjustment,
    ClaimObserved,
    DateSource,
    DeniedAdjustment,
    Party,
    Reference,
    Remark,
    ServiceLine,
)
from shared.contracts.claim_adjudicated import ClaimAdjudicated
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Clock, Decision, FactKind
from shared.contracts.fact_recorded import FactRecorded

_NOBODY = UUID(int=0)


def failures(policy: Policy, policies: Policies, calendar: Calendar) -> list[str]:
    """Run a policy's worked examples; gives one sentence per difference, none when all agree."""
    found = []
    for example in policy.file.examples:
        event = denial_of(policy, example)
        facts = facts_of(example, event)
        decision = decide(event, facts, policies, calendar, example.as_of, history=history_of(example, event))
        found += [f"{policy.id}, {example.name!r}: {text}" for text in _differences(example, decision)]
    return found


def denial_of(policy: Policy, example: Example) -> ClaimDenied:
    """Make the denial of a worked example: one line of the policy's payer, refused whole."""
    told = example.denial
    amount = Decimal(told.amount)
    match = policy.file.match
    name = told.payer_name or next(iter((*match.names, *match.aliases)), "A PAYER NOBODY KNOWS")
    numbers = (
        ()
        if told.authorization_number is None
        else (Reference(qualifier="G1", value=told.authorization_number),)
    )
    line = ServiceLine(
        number=1,
        charge_amount=amount,
        paid_amount=Decimal(0),
        qualifier=None if told.procedure is None else "HC",
        code=told.procedure,
        revenue_code=told.revenue_code,
        service_from=told.service_from,
        service_to=told.service_to or told.service_from,
        adjustments=(Adjustment(group=told.group, reason=told.reason, amount=amount),),
        remarks=tuple(Remark(code=code, source="LQ") for code in told.remarks),
        authorization_numbers=numbers,
    )
    return ClaimDenied(
        organization_id=_NOBODY,
        event_id=uuid5(_NOBODY, f"{policy.id}:{example.name}"),
        revision=1,
        claim_key=_NOBODY,
        remittance_id=_NOBODY,
        received_at=datetime.combine(told.payer_date, time.min, UTC),
        received_on=told.payer_date,
        position=1,
        payer=Party(name=name),
        payee=Party(),
        payer_date=told.payer_date,
        payer_date_source="bpr16",
        claim_number="EXAMPLE",
        claim_status=told.claim_status,
        charge_amount=amount,
        paid_amount=Decimal(0),
        filing_indicator=told.filing_indicator,
        facility_type=told.facility_type,
        drg=told.drg,
        statement_from=told.statement_from,
        claim_received_on=told.claim_received_on,
        service_from=told.service_from or told.statement_from,
        service_to=told.service_to or told.service_from or told.statement_from,
        service_date_source=_date_source(told.service_from, told.statement_from),
        lines=(line,),
        denied=(DeniedAdjustment(line_number=1, group=told.group, reason=told.reason, amount=amount),),
    )


def history_of(example: Example, event: ClaimDenied) -> list[ClaimObserved]:
    """Make the earlier remittances of a worked example: one that told the same, one that paid."""
    found: list[ClaimObserved] = []
    if (day := example.denial.first_told) is not None:
        found.append(replace(event, event_id=uuid5(event.event_id, "first"), payer_date=day))
    if (day := example.denial.paid_on) is not None:
        same = {name: getattr(event, name) for name in ClaimAdjudicated.__struct_fields__}
        lines = tuple(replace(line, paid_amount=line.charge_amount, adjustments=()) for line in event.lines)
        paid = {"event_id": uuid5(event.event_id, "paid"), "payer_date": day, "lines": lines}
        found.append(ClaimAdjudicated(**same | paid | {"paid_amount": event.charge_amount}))
    return found


def _date_source(service: date | None, statement: date | None) -> DateSource:
    if service is not None:
        return "line"
    return "none" if statement is None else "claim"


def facts_of(example: Example, event: ClaimDenied) -> list[FactRecorded]:
    """Make the facts of a worked example, recorded one after another."""
    return [
        FactRecorded(
            organization_id=_NOBODY,
            fact_id=uuid5(event.event_id, kind),
            claim_key=_NOBODY,
            case_id=_NOBODY,
            event_ids=(event.event_id,),
            kind=cast("FactKind", kind),
            value=value,
            recorded_at=event.received_at + timedelta(minutes=number),
            recorded_by=_NOBODY,
        )
        for number, (kind, value) in enumerate(example.facts.items())
    ]


def _differences(example: Example, decision: Decision) -> Iterator[str]:
    if example.action is not None and decision.recommended_action != example.action:
        yield f"the action is {decision.recommended_action}, not {example.action}"
    for expected in example.clocks:
        clock = next((clock for clock in decision.clocks if _is(clock, expected)), None)
        if (clock is not None) != expected.shown:
            yield f"the clock {expected.label or expected.kind} is {'missing' if expected.shown else 'shown'}"
        if clock is not None:
            yield from _clock_differences(clock, expected)


def _is(clock: Clock, expected: ExpectedClock) -> bool:
    return clock.kind == expected.kind and expected.label in {None, clock.label}


def _clock_differences(clock: Clock, expected: ExpectedClock) -> Iterator[str]:
    pairs = (
        ("deadline", clock.deadline_at, expected.deadline),
        ("earliest", clock.earliest, expected.earliest),
        ("latest", clock.latest, expected.latest),
    )
    for name, found, text in pairs:
        if text is None:
            continue
        wanted = None if text == "none" else datetime.fromisoformat(text)
        if found != wanted or (found and wanted and found.utcoffset() != wanted.utcoffset()):
            yield f"{clock.label}: the {name} is {found}, not {text}"
    if expected.permitted is not None:
        permitted = None if expected.permitted == "unknown" else expected.permitted
        if clock.permitted != permitted:
            yield f"{clock.label}: permitted is {clock.permitted}, not {permitted}"
    if expected.missing is not None and set(clock.missing_facts) != set(expected.missing):
        yield f"{clock.label}: missing are {', '.join(clock.missing_facts) or 'none'}"
