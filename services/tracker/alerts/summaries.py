"""Writes a team's morning summary as it is now, to be sent or only looked at."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.alerts.domain.alerts import case_alert, line_of
from services.tracker.alerts.domain.calendar import Calendar
from services.tracker.alerts.domain.content import Content, Line
from services.tracker.alerts.domain.digests import covered_since, digest_content, end_of_week
from services.tracker.alerts.domain.judging import CaseFacts, Finding, Verdict
from services.tracker.alerts.domain.rules import MorningDigest, Rule
from services.tracker.alerts.store.digests import figures_of, most_pressing


async def write_digest(
    connection: AsyncConnection,
    organization_id: UUID,
    rule: Rule,
    *,
    told_at: datetime | None,
    at: datetime,
    calendar: Calendar,
    case_link: str | None,
) -> Content:
    """Write the digest of a rule as it is now."""
    assert isinstance(rule.settings, MorningDigest)  # noqa: S101  the caller asks for this kind
    until = end_of_week(rule.settings, at=at, calendar=calendar)
    figures = await figures_of(
        connection, organization_id, rule.only, since=covered_since(told_at, at=at), at=at, until=until
    )
    pressing = await most_pressing(connection, organization_id, rule.only, at=at, until=until)
    return digest_content(
        rule.name,
        figures,
        pressing=tuple(_line(rule, case, at=at, case_link=case_link) for case in pressing),
    )


def _line(rule: Rule, case: CaseFacts, *, at: datetime, case_link: str | None) -> Line:
    ends = next((end, zone) for end, zone in zip(case.deadlines, case.zones, strict=True) if end >= at)
    alert = case_alert(rule, case, Verdict(Finding("due", "info", *ends), None), at=at)
    assert alert is not None  # noqa: S101  there is a finding
    return line_of(alert, at=at, case_link=case_link)
