"""What a denial comes to before its days and its money: its situation, and the rules that concern it."""

from functools import lru_cache

from msgspec import Struct

from services.triage.domain.care import Care, care_of
from services.triage.domain.classification import NOT_ABOUT_AUTHORIZATION, Classification, Reading
from services.triage.domain.clocks import Standings, questions_of, standings_of
from services.triage.domain.conditions import Questions, known_of, line_of_business
from services.triage.domain.cues import telling_remarks
from services.triage.domain.facts import Facts
from services.triage.domain.meanings import ResponsibleParty
from services.triage.domain.policies import PayerMatch
from services.triage.domain.situation import Situation
from services.triage.domain.ways import kinds_for
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import FactKind, UrgencyClass

_SECONDARY = frozenset(("2", "3", "20", "21"))  # CLP02: processed as secondary or tertiary
_NO_CARE = Care()


class Course(Struct, frozen=True, kw_only=True, eq=False):
    """
    What denials that are alike in codes, payer and people's words share: made once, compared by identity.

    `standings` None: no clock can concern them.
    """

    situation: Situation
    match: PayerMatch
    urgency_class: UrgencyClass
    standings: Standings | None


def course_of(
    event: ClaimDenied,
    classification: Classification,
    told: Facts,
    match: PayerMatch,
    *,
    shown: UrgencyClass,
) -> Course:
    """Gather all of the claim that its course hangs on, and find it. `shown`: its codes' urgency."""
    main, pattern = classification.main, classification.pattern
    care = _questions(match, main).care
    return _course(
        match,
        main,
        pattern.party,
        telling_remarks(event),
        shown,
        event.claim_status,
        event.filing_indicator,
        care_of(event, care) if care else _NO_CARE,
        tuple(told.words.items()) if told.words else (),
        echoed=pattern.auth_related and has_authorization_number(event),
        balanced=not event.balance_findings,
        limited="filing_limit_date" in told.dates,
    )


def has_authorization_number(event: ClaimDenied) -> bool:
    """Tell whether the remittance echoes an authorization number (REF G1 or BB)."""
    if event.authorization_numbers:
        return True
    for line in event.lines:  # noqa: SIM110  any() would make a generator for each claim
        if line.authorization_numbers:
            return True
    return False


@lru_cache(maxsize=8192)
def _questions(match: PayerMatch, main: Reading) -> Questions:
    """Give what the payer's rules for a reading ask of a claim."""
    return questions_of(match, kinds_for(main.category, main.action))


# The claims of a file share their payer, and payers deny in few ways.
@lru_cache(maxsize=16_384)
def _course(
    match: PayerMatch,
    main: Reading,
    party: ResponsibleParty,
    remarks: frozenset[str],
    shown: UrgencyClass,
    claim_status: str,
    filing_indicator: str | None,
    care: Care,
    told: tuple[tuple[FactKind, str], ...],
    *,
    echoed: bool,
    balanced: bool,
    limited: bool,
) -> Course:
    words = dict(told)
    auth_related = main.category not in NOT_ABOUT_AUTHORIZATION
    urgency: UrgencyClass = words.get("urgency", shown)  # type: ignore[assignment]
    program = words.get("line_of_business") or line_of_business(filing_indicator)
    kinds = kinds_for(main.category, main.action)
    standings = None
    if kinds or remarks:
        known = known_of(
            _questions(match, main),
            category=main.category,
            words=told,
            emergency=shown == "emergency",
            filing_indicator=filing_indicator,
            claim_status=claim_status,
            care=care,
        )
        standings = standings_of(match, kinds, known, remarks, limited=limited)
    return Course(
        situation=Situation(
            main=main,
            auth_related=auth_related,
            party=party,
            echoed=echoed,
            found="authorization_found" in words,
            remarks=remarks,
            emergency=auth_related and urgency == "emergency",
            secondary=auth_related and claim_status in _SECONDARY,
            program=program if party == "patient" else None,
            balanced=balanced,
        ),
        match=match,
        urgency_class=urgency,
        standings=standings,
    )
