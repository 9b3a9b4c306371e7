"""Which ways out a category of denial has, in the order to try them, and the clocks that govern each."""

from dataclasses import dataclass

from shared.contracts.decision import Action, Category, ClockKind


@dataclass(frozen=True, slots=True)
class Ways:
    """
    `first` are the ways that cure the defect itself: a clock's kind, and the action while it is open.

    `then` are those left once the first are shut or forbidden. `beside` are clocks that bound the way out
    whichever it is: a corrected claim must still be in time once the authorization is found, granted or
    amended. They are shown and never chosen.
    """

    first: tuple[tuple[ClockKind, Action], ...]
    then: tuple[tuple[ClockKind, Action], ...]
    beside: frozenset[ClockKind] = frozenset(("corrected_claim",))

    @property
    def kinds(self) -> frozenset[ClockKind]:
        return self.beside.union(kind for kind, _ in (*self.first, *self.then))


_DISPUTE: tuple[tuple[ClockKind, Action], ...] = (
    ("respond", "send_records"),
    ("reconsideration", "request_reconsideration"),
    ("appeal_level_1", "appeal"),
    ("peer_to_peer", "request_peer_to_peer"),
    ("appeal_level_2", "appeal"),
)


def _retro(action: Action) -> Ways:
    return Ways((("retro_authorization", action),), _DISPUTE)


# A referral comes from the primary care physician: the payer's window for authorizations is not its.
_REFERRAL = Ways((), _DISPUTE)

WAYS: dict[Category, Ways] = {
    "authorization_absent": Ways(
        (("retro_authorization", "request_retro_authorization"), ("notification", "notify_payer")), _DISPUTE
    ),
    "authorization_exceeded": _retro("request_extension"),
    "authorization_expired": _retro("request_date_change"),
    "authorization_not_for_service": _retro("amend_authorization"),
    "authorization_not_for_provider": _retro("amend_authorization"),
    "authorization_number_invalid": Ways(
        (("corrected_claim", "send_corrected_claim"), ("retro_authorization", "request_retro_authorization")),
        _DISPUTE,
    ),
    "authorization_untimely": Ways((), _DISPUTE, frozenset()),
    # Doctor to doctor comes first: its window is short, and an appeal mostly ends it.
    "authorization_denied": Ways((), (("peer_to_peer", "request_peer_to_peer"), *_DISPUTE), frozenset()),
    "notification_untimely": Ways((("notification", "notify_payer"),), _DISPUTE, frozenset()),
    "referral_absent": _REFERRAL,
    "referral_exceeded": _REFERRAL,
    "referral_not_authorized": _retro("request_retro_authorization"),
    "not_authorization": Ways((), (), frozenset()),
    "unclear": Ways((), (), frozenset()),
}
OF_A_DELEGATE: frozenset[Category] = frozenset(("referral_not_authorized",))
"""Where not the payer but who authorizes for its network refuses (243): only a delegate's window counts."""
KINDS: dict[Category, frozenset[ClockKind]] = {category: ways.kinds for category, ways in WAYS.items()}
APPEALS: frozenset[ClockKind] = frozenset(kind for kind, _ in _DISPUTE) - {"respond"}
_RENEWED = _retro("submit_new_request")
"""After the service a new request is a retroactive one: that window bounds it, disputes run beside."""
OWN_CLOCKS: dict[Action, frozenset[ClockKind]] = {"appeal": APPEALS, "send_records": frozenset(("respond",))}
"""Outside authorization: the clocks that bound an action; once they are shut, it comes too late."""
_DISPUTED = Ways((), _DISPUTE, frozenset())


def ways_for(category: Category, action: Action) -> Ways:
    """Give the ways out of a denial. `action`: what the codes ask for; a new request has its own."""
    if action == "submit_new_request":
        return _RENEWED
    return WAYS[category] if KINDS[category] or action not in OWN_CLOCKS else _DISPUTED


def kinds_for(category: Category, action: Action) -> frozenset[ClockKind]:
    """Give the clocks that concern a denial; outside authorization those that bound its action."""
    if action == "submit_new_request":
        return _RENEWED.kinds | KINDS[category]
    return KINDS[category] or (_DISPUTED.kinds if action in OWN_CLOCKS else frozenset())
