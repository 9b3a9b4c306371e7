"""Decisions for tests, with only what a test cares about spelled out. Invented people, invented payers."""

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from shared.contracts.claim import Party, Reference, SealedPerson, ServiceLine
from shared.contracts.claim_denied import DeniedAdjustment
from shared.contracts.claim_outcome_seen import ClaimOutcomeSeen
from shared.contracts.decision import Clock, DeniedItem
from shared.contracts.denial_triaged import DenialTriaged

ORGANIZATION = UUID("0a000000-0000-4000-8000-000000000001")
KEY = UUID("0b000000-0000-4000-8000-000000000001")
PAYER = Party(name="Acme Health", ids=(Reference(qualifier="TRN03", value="1999999999"),))
DEADLINE = datetime(2099, 3, 31, 23, 59, tzinfo=UTC)


def name_id(name: str) -> UUID:
    return uuid5(NAMESPACE_OID, name)


def person(
    name: str | None = "ada", member: str | None = "m1", sealed: str | None = "s1.202601.x"
) -> SealedPerson:
    return SealedPerson(sealed=sealed, name_index=name, member_id_index=member)


def _observed(**given) -> dict:
    charge = Decimal(given.pop("charge", 100))
    event = given.pop("event", None)
    on = given.pop("on", date(2026, 1, 10))
    return {
        "organization_id": ORGANIZATION,
        "event_id": name_id(event) if event else uuid4(),
        "revision": 1,
        "claim_key": KEY,
        "remittance_id": name_id(f"remittance {on}"),
        "received_at": datetime(on.year, on.month, on.day, 12, tzinfo=UTC),
        "received_on": on,
        "position": 1,
        "payer": PAYER,
        "payee": Party(name="Clinic"),
        "trace_number": f"T-{on}",
        "payment_on": on,
        "payer_date": on,
        "payer_date_source": "dtm405",
        "claim_number": "A-1",
        "claim_status": "1",
        "charge_amount": charge,
        "paid_amount": Decimal(given.pop("paid", 0)),
        "payer_claim_number": "P-1",
        "patient": person(),
        "service_from": date(2026, 1, 2),
        "service_to": date(2026, 1, 2),
        "service_date_source": "line",
        **given,
    }


def clock(deadline_at: datetime | None = DEADLINE, **given) -> Clock:
    return Clock(
        **{
            "kind": "retro_authorization",
            "permitted": True,
            "policy_id": "acme",
            "policy_version": "1",
            "policy_status": "confirmed",
            "zone": "America/New_York",
            "deadline_at": deadline_at,
            **given,
        }
    )


def denial(*, decision_revision: int = 1, amount: int | Decimal | None = None, **given) -> DenialTriaged:
    """A denial of the whole charge for want of an authorization, unless told otherwise."""
    observed = _observed(**given)
    denied = Decimal(observed["charge_amount"] if amount is None else amount)
    decided = {
        "decision_id": uuid5(observed["event_id"], f"{observed['revision']}:{decision_revision}"),
        "decision_revision": decision_revision,
        "as_of": observed["received_on"],
        "auth_related": True,
        "category": "authorization_absent",
        "denied": (DeniedAdjustment(group="CO", reason="197", amount=denied),),
        "items": (
            DeniedItem(
                group="CO",
                reason="197",
                amount=denied,
                category="authorization_absent",
                strength="defining",
                why="197",
            ),
        ),
        "amount_at_stake": denied,
        "amount_basis": "denied_charges",
        "urgency_class": "unknown",
        "responsible_party": "provider",
        "clocks": (clock(),),
        "recommended_action": "request_retro_authorization",
        "priority": 50,
        "confidence": 0.85,
        "needs_human": False,
    }
    return DenialTriaged(**{**decided, **observed})


def outcome(what: str = "paid", **given) -> ClaimOutcomeSeen:
    """A later word on the claim: paid (100 of 100 unless told otherwise), zero or reversed."""
    given.setdefault("on", date(2026, 2, 10))
    if what == "paid":
        given.setdefault("paid", given.get("charge", 100))
    if what == "reversed":
        given["charge"] = -Decimal(given.get("charge", 100))
        given["paid"] = -Decimal(given.get("paid", 0))
    observed = _observed(**given)
    return ClaimOutcomeSeen(
        **observed, decision_id=uuid5(observed["event_id"], f"{observed['revision']}:1"), outcome=what
    )


def line(number: int = 1, code: str = "99213", *, charge: int = 100, **given) -> ServiceLine:
    return ServiceLine(
        number=number, code=code, charge_amount=Decimal(charge), paid_amount=Decimal(0), **given
    )
