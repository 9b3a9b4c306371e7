"""Payers whose rules nobody has confirmed, by the dollars that they deny: what to look up next."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from services.triage.domain.facts import weigh
from services.triage.domain.policies import PayerMatch, Policies, normalised
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Decision
from shared.contracts.fact_recorded import FactRecorded

Standing = Literal["none", "ambiguous", "unconfirmed", "confirmed"]


class PayerCovered(Struct, kw_only=True):
    """
    A payer as remittances name it, and what is known of its rules.

    `standing`: `none` (no policy knows it), `ambiguous` (several could apply, or the line of business is
    missing), `unconfirmed`, `confirmed`. Amounts are denied charges in US dollars; `authorization_amount`
    those of denials that are about authorization.
    """

    payer: str
    payer_ids: tuple[str, ...]
    standing: Standing
    policies: tuple[str, ...]
    how: str
    denials: int = 0
    denied_amount: Decimal = Decimal(0)
    authorization_amount: Decimal = Decimal(0)


class Coverage:
    """Adds up denials by payer and by what is known of its rules."""

    def __init__(self) -> None:
        self._payers: dict[tuple[str, Standing, tuple[str, ...]], PayerCovered] = {}

    def add(
        self, event: ClaimDenied, decision: Decision, facts: Sequence[FactRecorded], policies: Policies
    ) -> None:
        match = policies.match(event, weigh(facts, event.event_id))
        ids = tuple(dict.fromkeys(reference.value.strip() for reference in event.payer.ids))
        name = event.payer.name or (ids[0] if ids else "unnamed")
        standing = _standing(match)
        named = () if match.by_default else tuple(policy.id for policy in match.policies)
        key = (normalised(name), standing, named)
        found = self._payers.get(key)
        if found is None:
            found = PayerCovered(payer=name, payer_ids=ids, standing=standing, policies=named, how=match.how)
            self._payers[key] = found
        denied = sum((item.amount for item in event.denied), Decimal(0))
        found.denials += 1
        found.denied_amount += denied
        if decision.auth_related:
            found.authorization_amount += denied

    def ranked(self) -> list[PayerCovered]:
        """Give every payer, the one that denies the most first."""
        return sorted(self._payers.values(), key=lambda one: (-one.denied_amount, one.payer, one.standing))


def _standing(match: PayerMatch) -> Standing:
    if match.ambiguous:
        return "ambiguous"
    if match.by_default:
        return "none"
    confirmed = all(policy.file.status == "confirmed" for policy in match.policies)
    return "confirmed" if confirmed else "unconfirmed"
