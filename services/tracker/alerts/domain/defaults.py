"""
What a new organization begins with: few rules, each of them something to do.

What would speak of most cases on most days (cases that nobody owns) begins narrow; the morning summary counts
the rest in one message.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from services.tracker.alerts.domain import rules
from services.tracker.alerts.domain.routing import Inhibition, Match, Route, Routing
from services.tracker.alerts.domain.rules import Rule
from shared.values import derived

INSTALLATION = UUID(int=0)
"""Whose alerts are the operator's: those of the pipeline, which has no patients."""


def default_rules(organization_id: UUID) -> list[Rule]:
    """Give the rules of a new organization, or of the installation; their ids are always the same."""
    chosen = _PIPELINE if organization_id == INSTALLATION else _CASES
    return [
        Rule(
            rule_id=derived(organization_id, f"alert rule {name}"),
            name=name,
            settings=settings,
            enabled=enabled,
        )
        for name, settings, enabled in chosen
    ]


_Chosen = tuple[tuple[str, Any, bool], ...]

_CASES: _Chosen = (
    ("New and large, or nearly too late", rules.NewCase(amount_at_least=Decimal(25_000)), True),
    ("Deadline comes closer", rules.Clock(), True),
    ("Deadline missed", rules.DeadlineMissed(), True),
    ("Follow-up overdue", rules.FollowUp(), True),
    ("The payer waits for papers", rules.InformationRequest(), True),
    ("Nobody owns it", rules.Unowned(business_days_left=3), True),
    ("Denials jumped", rules.DenialJump(), True),
    ("An alert channel fails", rules.Pipeline(kind="channel_failing"), True),
    ("Morning summary", rules.MorningDigest(), True),
)

_PIPELINE: _Chosen = (
    ("A feed is silent", rules.Pipeline(kind="silent_feed", severity="warning"), True),
    # Longer than an upgrade or a restart takes.
    ("A process does not answer", rules.Pipeline(kind="silent_process", for_seconds=180), True),
    ("Claims in quarantine", rules.Pipeline(kind="quarantined_claims", severity="warning"), True),
    ("Messages laid aside", rules.Pipeline(kind="dead_letters"), True),
    (
        "Events stay unsettled",
        rules.Pipeline(kind="unsettled_events", above=900, for_seconds=300),
        True,
    ),
    (
        "A consumer falls behind",
        rules.Pipeline(kind="consumer_lag", above=10_000, for_seconds=300, severity="warning"),
        True,
    ),
    (
        "The reconciliation fails",
        rules.Pipeline(kind="reconciliation_failed", severity="critical"),
        True,
    ),
    ("An alert channel fails", rules.Pipeline(kind="channel_failing"), True),
)

DEFAULT_ROUTING = Routing(
    route=Route(
        name="everything",
        channels="quiet",
        group_by=("rule",),
        # Who was told in the morning knows it in the afternoon.
        repeat_interval_seconds=24 * 3600,
        hours="business",
        routes=(
            Route(
                name="pages",
                match=Match(severities=("critical",)),
                channels="all",
                repeat_interval_seconds=4 * 3600,
                hours="always",
            ),
            Route(
                name="pipeline",
                match=Match(kinds=rules.PIPELINE_KINDS),
                repeat_interval_seconds=4 * 3600,
                hours="always",
            ),
        ),
    ),
    inhibitions=(
        Inhibition(
            source=Match(kinds=("deadline_missed",)),
            target=Match(kinds=("clock", "new_case", "unowned")),
        ),
        Inhibition(source=Match(kinds=("clock",)), target=Match(kinds=("new_case",))),
    ),
)
"""Criticals page at any hour; everything else waits for business hours and never pages."""
