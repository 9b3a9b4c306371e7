"""
From which day a clock runs, as far as it is known.

An 835 names few of the days that payers count from. A stand-in is never taken for the day itself: it bounds
the day from one side, and says so. A statement can begin after an admission (interim bills), so DTM*232 is
the admission's latest day; a letter may precede the remittance, whose day is the letter's latest.
"""

from calendar import monthrange
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from services.triage.domain.classification import Classification
from services.triage.domain.facts import EARLIEST_YEAR, LATEST_YEAR, Facts
from services.triage.domain.policy_file import Anchor
from services.triage.domain.repeats import Told
from shared.contracts.claim import DateSource, PayerDateSource
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import Category, FactKind

Day = date | datetime
_PAYER_DATES = {
    "dtm405": "the remittance's production date (DTM*405)",
    "bpr16": "the payment date (BPR16)",
    "gs04": "the date of the functional group (GS04)",
}
_SERVICE_DATES = {
    "line": "the line's date of service (DTM*472)",
    "line_range": "the line's dates of service (DTM*150/151)",
    "claim": "the claim's statement dates (DTM*232/233)",
}


class Start(Struct, frozen=True, kw_only=True):
    """
    The day a clock runs from: `earliest` = `latest` where it is known, one of them None where it is not.

    `source` says where it comes from, in words; `missing` names the fact that would settle it.
    """

    anchor: Anchor
    earliest: Day | None = None
    latest: Day | None = None
    source: str | None = None
    missing: FactKind | None = None

    @property
    def exact(self) -> Day | None:
        return self.earliest if self.earliest == self.latest else None


_OF_THE_STAY: frozenset[Anchor] = frozenset(("admission", "discharge"))
_OF_THE_SERVICE: frozenset[Anchor] = _OF_THE_STAY | {"dos_first", "dos_last", "claim_received"}
_OF_THE_CLAIM: frozenset[Anchor] = frozenset(("claim_received", "coverage_known"))
_NO_LINES: frozenset[tuple[date | None, date | None]] = frozenset()


class Paper(Struct, frozen=True):
    """A remittance's date, and which element it comes from."""

    on: date
    source: PayerDateSource


class Dates(Struct, frozen=True, cache_hash=True):
    """
    What there is to look a day up in, as far as it is asked: denials that are alike in it have the same days.

    `lines` are the first and last days of the lines that were denied, none where the denial is the claim's.
    `upheld`: the payer decided the level before, as this remittance says; `upheld_by`: the one that said so
    first, if not this one. `told` are dates from people. `first` is the remittance that told the same first,
    `sure` False where it may be of another claim or denial, `last` the latest day that may be the first
    telling's, if known.
    """

    paper: Paper
    category: Category
    upheld: bool
    claim_received_on: date | None
    service_from: date | None = None
    service_to: date | None = None
    service_source: DateSource = "none"
    lines: frozenset[tuple[date | None, date | None]] = _NO_LINES
    statement_from: date | None = None
    statement_to: date | None = None
    told: tuple[tuple[FactKind, Day], ...] = ()
    first: Paper | None = None
    sure: bool = True
    last: date | None = None
    upheld_by: Paper | None = None

    @property
    def answered(self) -> bool:
        """Tell whether this remittance or one before it upheld the denial."""
        return self.upheld or self.upheld_by is not None

    @property
    def decision(self) -> Day | None:
        """Give the day of the payer's decision on a level, as a person recorded it."""
        return _told_day("prior_decision_date", self)

    @property
    def decided(self) -> bool | None:
        """
        Tell whether the payer has decided a level since it denied the claim. None: one, nobody said which.

        A decision told from before the denial, or of its own day, may be the denial or another one: none for
        certain. Only where nobody knows when the denial was told is every decision that it upholds after it.
        """
        told, letter = self.decision, _told_day("denial_letter_date", self)
        denied = self.last or (self.first or self.paper).on
        if letter is not None:
            denied = min(denied, _plain(letter))
        if told is not None and ((self.upheld and self.first is None) or _plain(told) > denied):
            return True
        return None if self.answered else False


class Sought(Struct, frozen=True, kw_only=True):
    """Which days of a claim some anchors ask for: the service's, the stay's, the claim's receipt."""

    service: bool
    stay: bool
    claim: bool

    @classmethod
    def by(cls, anchors: Collection[Anchor]) -> "Sought":
        """Tell what is asked for."""
        return cls(
            service=not _OF_THE_SERVICE.isdisjoint(anchors),
            stay=not _OF_THE_STAY.isdisjoint(anchors),
            claim=not _OF_THE_CLAIM.isdisjoint(anchors),
        )


def dates_of(sought: Sought, event: ClaimDenied, facts: Facts, reading: Classification, told: Told) -> Dates:
    """Gather the days that are sought, and leave the rest of the claim's out."""
    paper = Paper(event.payer_date, event.payer_date_source)
    received = event.claim_received_on if sought.claim else None
    category, upheld = reading.main.category, reading.pattern.upheld
    if not sought.service:
        dates = Dates(paper, category, upheld, received)
    else:
        dates = Dates(
            paper,
            category,
            upheld,
            received,
            event.service_from,
            event.service_to,
            event.service_date_source,
            _days_of_lines(event, reading.pattern.lines),
            event.statement_from if sought.stay else None,
            event.statement_to if sought.stay else None,
        )
    if not facts.dates and told.first is None:
        return dates
    return replace(
        dates,
        told=tuple(facts.dates.items()),
        first=_paper(told.first),
        sure=told.sure,
        last=None if told.last is None else told.last.payer_date,
        upheld_by=_paper(told.upheld),
    )


def _paper(event: ClaimDenied | None) -> Paper | None:
    return None if event is None else Paper(event.payer_date, event.payer_date_source)


def _days_of_lines(
    event: ClaimDenied, denied: frozenset[int | None]
) -> frozenset[tuple[date | None, date | None]]:
    """Give the days of the lines with these numbers: none where the claim itself was denied."""
    if not denied or None in denied:
        return _NO_LINES
    days = [(line.service_from, line.service_to) for line in event.lines if line.number in denied]
    return frozenset(days)


def start_of(anchors: Sequence[Anchor], choose: str, dates: Dates, *, later_level: bool) -> Start:
    """Find the day a clock runs from; of several anchors, the earliest or latest day, as far as known."""
    if len(anchors) == 1:
        return _FINDERS[anchors[0]](dates, later_level)
    starts = [_FINDERS[anchor](dates, later_level) for anchor in anchors]
    return _latest(starts) if choose == "latest" else _earliest(starts)


def _latest(starts: Sequence[Start]) -> Start:
    """The later of several: known only if all are; each known one is a bound from below."""
    lows = [start for start in starts if start.earliest is not None]
    highs = [start for start in starts if start.latest is not None]
    low = max(lows, key=lambda start: _sortable(start.earliest), default=None)
    high = max(highs, key=lambda start: _sortable(start.latest)) if len(highs) == len(starts) else None
    return _combined(starts, low, high)


def _earliest(starts: Sequence[Start]) -> Start:
    """The earlier of several: each known one is a bound from above."""
    lows = [start for start in starts if start.earliest is not None]
    highs = [start for start in starts if start.latest is not None]
    low = min(lows, key=lambda start: _sortable(start.earliest)) if len(lows) == len(starts) else None
    high = min(highs, key=lambda start: _sortable(start.latest), default=None)
    return _combined(starts, low, high)


def _combined(starts: Sequence[Start], low: Start | None, high: Start | None) -> Start:
    governing = low or high or starts[0]
    earliest = None if low is None else low.earliest
    latest = None if high is None else high.latest
    settled = earliest is not None and earliest == latest
    return Start(
        anchor=governing.anchor,
        earliest=earliest,
        latest=latest,
        source=governing.source,
        missing=None if settled else next((start.missing for start in starts if start.missing), None),
    )


def _sortable(day: Day | None) -> tuple[date, time]:
    if isinstance(day, datetime):
        return day.date(), day.time()
    return day or date.max, time.min


def _told(anchor: Anchor, kind: FactKind, dates: Dates) -> Start | None:
    day = _told_day(kind, dates)
    if day is None:
        return None
    return Start(anchor=anchor, earliest=day, latest=day, source=_by_person(kind))


def _told_day(kind: FactKind, dates: Dates) -> Day | None:
    return next((day for told, day in dates.told if told == kind), None)


@lru_cache(maxsize=64)
def _by_person(kind: FactKind) -> str:
    return f"the {kind.replace('_', ' ').removesuffix(' at')} that a person recorded"


def _service(dates: Dates, *, last: bool) -> Start:
    anchor: Anchor = "dos_last" if last else "dos_first"
    told = _told_day("service_date", dates)
    day, source = _service_day(dates, last=last)
    # Of the last day known already, a person may still tell the hour.
    if told is not None and (day is None or not last or day <= _plain(told)):
        return Start(anchor=anchor, earliest=told, latest=told, source=_by_person("service_date"))
    if day is None:
        latest = dates.paper.on if sane(dates.paper.on) else None
        source = "the remittance's day: the service was on or before it"
        return Start(anchor=anchor, latest=latest, source=source, missing="service_date")
    return Start(anchor=anchor, earliest=day, latest=day, source=source)


def _service_day(dates: Dates, *, last: bool) -> tuple[date | None, str]:
    """Give the first or last day of the lines that were denied, else the claim's."""
    source = _SERVICE_DATES.get(dates.service_source, "the claim's dates")
    days = [(end or begin) if last else begin for begin, end in dates.lines]
    if days and all(map(sane, days)):
        return (max(days) if last else min(days)), source  # type: ignore[type-var]
    day = (dates.service_to or dates.service_from) if last else dates.service_from
    return (day if sane(day) else None), source


def _admission(dates: Dates, _later_level: bool) -> Start:  # noqa: FBT001
    if told := _told("admission", "admission_date", dates):
        return told
    day = dates.statement_from or dates.service_from
    if not sane(day):
        latest = dates.paper.on if sane(dates.paper.on) else None
        source = "the remittance's day: the admission was on or before it"
        return Start(anchor="admission", latest=latest, source=source, missing="admission_date")
    source = "the statement's first day (DTM*232): the admission was on or before it"
    return Start(anchor="admission", latest=day, source=source, missing="admission_date")


def _discharge(dates: Dates, _later_level: bool) -> Start:  # noqa: FBT001
    if told := _told("discharge", "discharge_date", dates):
        return told
    day = dates.statement_to or dates.service_to
    if not sane(day):
        return Start(anchor="discharge", missing="discharge_date")
    source = "the statement's last day (DTM*233): the discharge was on or after it"
    return Start(anchor="discharge", earliest=day, source=source, missing="discharge_date")


def _from_people(anchor: Anchor, kind: FactKind) -> Callable[[Dates, bool], Start]:
    def find(dates: Dates, _later_level: bool) -> Start:  # noqa: FBT001
        return _told(anchor, kind, dates) or Start(anchor=anchor, missing=kind)

    return find


def _month_end(dates: Dates, _later_level: bool) -> Start:  # noqa: FBT001
    start = _told("enrolment_month_end", "enrolment_month", dates)
    if start is None or start.exact is None:
        return Start(anchor="enrolment_month_end", missing="enrolment_month")
    day = _plain(start.exact)
    last = day.replace(day=monthrange(day.year, day.month)[1])
    return replace(start, earliest=last, latest=last, source=f"{start.source}, its last day")


def _claim_received(dates: Dates, _later_level: bool) -> Start:  # noqa: FBT001
    if told := _told("claim_received", "claim_received_date", dates):
        return told
    if sane(dates.claim_received_on):
        day = dates.claim_received_on
        source = "the day the payer received the claim (DTM*050)"
        return Start(anchor="claim_received", earliest=day, latest=day, source=source)
    return Start(
        anchor="claim_received",
        earliest=dates.service_to if sane(dates.service_to) else None,
        latest=dates.paper.on if sane(dates.paper.on) else None,
        source="the day the payer received the claim: between the last day of service and the remittance",
        missing="claim_received_date",
    )


def _coverage_known(dates: Dates, _later_level: bool) -> Start:  # noqa: FBT001
    """Whoever sends a claim to a payer knows of the coverage by then: a bound from above."""
    if told := _told("coverage_known", "coverage_known_at", dates):
        return told
    day, source = dates.claim_received_on, "the day the payer received the claim (DTM*050)"
    if not sane(day):
        day, source = (dates.paper.on if sane(dates.paper.on) else None), "the remittance's day"
    return Start(
        anchor="coverage_known",
        latest=day,
        source=f"{source}: who billed the payer knew of the coverage before",
        missing="coverage_known_at",
    )


def _remittance(dates: Dates, _later_level: bool) -> Start:  # noqa: FBT001
    now = _of_paper(dates.paper)
    if dates.first is None:
        return _upholding(now) if dates.upheld else now
    first = _of_paper(dates.first)
    if dates.first == dates.upheld_by:
        return _upholding(first)
    if dates.sure:
        source = f"{first.source}, of the earliest remittance that told this denial"
        return replace(first, source=source)
    if dates.last is not None:
        return Start(
            anchor="remit_date",
            earliest=first.earliest,
            latest=dates.last if sane(dates.last) else now.latest,
            source="earlier remittances, any of which may have told the denial that is upheld",
        )
    return Start(
        anchor="remit_date",
        earliest=first.earliest,
        latest=now.latest,
        source="an earlier remittance that may be of the same claim, or from this one",
    )


def _upholding(now: Start) -> Start:
    """What a remittance upholds was told before it: its day is the latest."""
    source = f"{now.source}: the denial that it upholds was told before"
    return replace(now, earliest=None, source=source, missing="denial_letter_date")


def _of_paper(paper: Paper) -> Start:
    if not sane(paper.on):
        return Start(anchor="remit_date", missing="denial_letter_date")
    source = _PAYER_DATES.get(paper.source)
    if source is None:
        # Our receipt is no payer's date. The payer's is not later, so it only bounds the end from above.
        source = "the day of our receipt: the payer's own date was on or before it"
        return Start(anchor="remit_date", latest=paper.on, source=source, missing="denial_letter_date")
    return Start(anchor="remit_date", earliest=paper.on, latest=paper.on, source=source)


def _letter(dates: Dates, later_level: bool) -> Start:  # noqa: FBT001
    told = _told_day("denial_letter_date", dates)
    remittance = _remittance(dates, later_level)
    if told is None:
        source = _older(remittance.source)
        return Start(
            anchor="denial_letter", latest=remittance.latest, source=source, missing="denial_letter_date"
        )
    if remittance.exact is not None and _plain(remittance.exact) < _plain(told):
        # The payer's clock may run from either paper: the older one is the safe reading.
        day, source = remittance.exact, f"{remittance.source}, older than the letter"
        return Start(anchor="denial_letter", earliest=day, latest=day, source=source)
    return Start(anchor="denial_letter", earliest=told, latest=told, source=_by_person("denial_letter_date"))


@lru_cache(maxsize=64)
def _older(source: str | None) -> str:
    return f"{source}: the letter may be older"


def _prior_decision(dates: Dates, later_level: bool) -> Start:  # noqa: FBT001
    # What is older than a denial that was upheld since is not the decision that opens the next level.
    answered = dates.upheld or (later_level and dates.answered)
    older = later_level and answered and dates.decided is not True
    if not older and (told := _told("prior_decision", "prior_decision_date", dates)):
        return told
    if answered or (not later_level and dates.category == "authorization_denied"):
        source = "the remittance's day: the decision was on or before it"
        upholding = dates.upheld_by or dates.paper
        day = (_of_paper(upholding) if answered else _remittance(dates, later_level)).latest
        if day is not None:
            return Start(anchor="prior_decision", latest=day, source=source, missing="prior_decision_date")
    return Start(anchor="prior_decision", missing="prior_decision_date")


_FINDERS: dict[Anchor, Callable[[Dates, bool], Start]] = {
    "dos_first": lambda dates, _later_level: _service(dates, last=False),
    "dos_last": lambda dates, _later_level: _service(dates, last=True),
    "admission": _admission,
    "discharge": _discharge,
    "eligibility_add": _from_people("eligibility_add", "eligibility_add_date"),
    "enrolment_month": _from_people("enrolment_month", "enrolment_month"),
    "enrolment_month_end": _month_end,
    "provider_enrolled": _from_people("provider_enrolled", "provider_enrolled_date"),
    "filing_limit": _from_people("filing_limit", "filing_limit_date"),
    "coverage_known": _coverage_known,
    "claim_received": _claim_received,
    "remit_date": _remittance,
    "denial_letter": _letter,
    "prior_decision": _prior_decision,
}


def sane(day: date | None) -> bool:
    """Tell whether there is a date that can be true: a typing mistake must not start a clock."""
    return day is not None and EARLIEST_YEAR <= day.year <= LATEST_YEAR


def _plain(day: Day) -> date:
    return day.date() if isinstance(day, datetime) else day


def last_moment(day: Day) -> Day:
    """Give the last minute of a day for limits in hours; an instant stays what it is."""
    if isinstance(day, datetime):
        return day
    return datetime.combine(day + timedelta(days=1), time.min) - timedelta(minutes=1)
