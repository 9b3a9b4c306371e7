"""The rows, run: given this denial and this day, this date and this action. README.md tells how to add one."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.triage.domain.clocks import state_of
from services.triage.domain.decide import decide
from services.triage.domain.next_clock import next_clock
from services.triage.domain.policies import load_policies
from services.triage.policies import policy_texts
from shared.calendars import Calendar
from shared.contracts.decision import Clock, Decision, DeniedItem
from tests.triage.domain.denials import facts
from tests.triage.rows.arithmetic import worked_out
from tests.triage.rows.denied import denied, others
from tests.triage.rows.form import ExpectedClock, ExpectedItem, Row, read_rows

HERE = Path(__file__).parent
FILES = [(path.stem, read_rows(path)) for path in sorted(HERE.glob("*.toml"))]
ROWS = [(stem, row) for stem, file in FILES for row in file.rows]
UNSAID = b"""
version = "2026-01-01"
status = "unconfirmed"
sources = [{ url = "https://plans.example", seen_on = 2026-11-21 }]
examples = [{ name = "the rows are its examples", as_of = 2026-03-21, denial = { payer_date = 2026-03-20 } }]
"""
PROGRAMS = {path.name: UNSAID + path.read_bytes() for path in sorted((HERE / "programs").glob("*.toml"))}
POLICIES = load_policies(policy_texts() | PROGRAMS)
CALENDAR = Calendar()


DISPUTED = [() if row.disputed is None else pytest.mark.xfail(reason=row.disputed) for _, row in ROWS]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"{stem}: {row.name}", marks=marks)
        for (stem, row), marks in zip(ROWS, DISPUTED, strict=True)
    ],
)
def test_a_row_comes_out_as_written(row):
    told, seen = facts(**row.given.facts), others(row.given)

    decision = decide(denied(row.given), told, POLICIES, CALENDAR, row.on, history=seen)

    assert list(differences(row, decision)) == []


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for _, row in ROWS if row.clocks])
def test_the_dates_of_a_row_follow_from_its_own_arithmetic(row):
    for clock in row.clocks:
        for ending in filter(None, (clock.deadline, clock.earliest, clock.latest)):
            if ending != "none":
                stated, _, arithmetic = ending.partition(" = ")
                assert _as_stated(worked_out(arithmetic)) == stated, ending


def test_there_are_enough_rows_and_no_two_of_one_name():
    names = [row.name for _, row in ROWS]

    assert len(names) == len(set(names)) >= 150


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('[[rows]]\nname = "a row"\nbecause = "§2.1"\ngiven = {}\nexpect = { acton = "appeal" }', "acton"),
        ('[[rows]]\nname = "a row"\nbecause = "§2.1"\ngiven = {}\nexpect = { action = "apeal" }', "apeal"),
        ('[[rows]]\nname = "a row"\ngiven = {}\nexpect = { amount = "5.00" }', "because"),
        ('[[rows]]\nname = "a row"\nbecause = "§3."\ngiven = {}', "expects nothing"),
        (
            '[[rows]]\nname = "a row"\nbecause = "§3."\ngiven = {}\nclocks = [{ kind = "respond", latest = "2026-03-04" }]',
            "latest",
        ),
    ],
)
def test_a_slip_of_the_pen_in_a_row_is_refused(tmp_path, wrong, told):
    path = tmp_path / "slips.toml"
    path.write_text(f'theme = "Slips"\n{wrong}\n')

    with pytest.raises(ValueError, match=told):
        read_rows(path)


def differences(row: Row, decision: Decision) -> Iterator[str]:
    """Say in words where the decision is not what the row expects."""
    expect = row.expect
    for what, wanted, found in (
        ("category", expect.category, decision.category),
        ("route", expect.route, decision.route or "none"),
        ("about authorization", expect.about_authorization, decision.auth_related),
        ("action", expect.action, decision.recommended_action),
        ("amount", expect.amount and Decimal(expect.amount), decision.amount_at_stake),
        ("urgency", expect.urgency, decision.urgency_class),
        ("liable party", expect.liable, decision.responsible_party),
        ("channel", expect.channel, decision.channel),
        ("policy", expect.policy, decision.payer_match or "default"),
        ("need of a human", expect.needs_human, decision.needs_human),
        ("next clock", expect.next_clock, _next(decision, row.on)),
    ):
        if wanted is not None and found != wanted:
            yield f"the {what} is {found}, not {wanted}"
    if decision.recommended_action in expect.not_action:
        yield f"the action must not be {decision.recommended_action}"
    codes = decision.next_action_codes
    if [code for code in dict.fromkeys(codes) if code in expect.steps] != list(expect.steps):
        yield f"the steps are {', '.join(codes)}, not in order {', '.join(expect.steps)}"
    yield from (f"the steps have {code}" for code in expect.no_step if code in codes)
    read = "\n".join(_all_words(decision))
    yield from (f"nobody reads {words!r} in\n{read}" for words in expect.says if words not in read)
    yield from (f"somebody reads {words!r}" for words in expect.no_words if words in read)
    for item in row.items:
        yield from _item_differences(item, decision)
    for clock in row.clocks:
        yield from _clock_differences(clock, decision, row.on)
    alive = {
        clock.kind for clock in decision.clocks if state_of(clock, row.on) not in {"closed", "forbidden"}
    }
    yield from (f"the way {kind} is still open" for kind in expect.no_way if kind in alive)


def _next(decision: Decision, day: date) -> str:
    found = next_clock(decision.clocks, day)
    return "none" if found is None else found.kind


def _all_words(decision: Decision) -> Iterator[str]:
    yield from (*decision.next_actions, *decision.explanation, *decision.needs_human_reasons)
    yield from (*decision.documents, *decision.urgency_evidence)
    for clock in decision.clocks:
        yield from (clock.label, clock.anchor_source or "", *clock.steps, *clock.reasons)


def _item_differences(wanted: ExpectedItem, decision: Decision) -> Iterator[str]:
    found = [item for item in decision.items if _place(item) == (wanted.line, wanted.code)]
    if len(found) != 1:
        yield f"{len(found)} items are {wanted.code} on line {wanted.line}"
        return
    item = found[0]
    for what, expected, seen in (
        ("category", wanted.category, item.category),
        ("route", wanted.route, item.route),
        ("amount", wanted.amount and Decimal(wanted.amount), item.amount),
        ("units", wanted.units and Decimal(wanted.units), item.quantity),
        ("dependence", wanted.dependent, item.dependent),
    ):
        if expected is not None and expected != seen:
            yield f"{wanted.code} on line {wanted.line}: the {what} is {seen}, not {expected}"


def _place(item: DeniedItem) -> tuple[int, str]:
    return item.line_number or 0, f"{item.group}-{item.reason}"


def _clock_differences(wanted: ExpectedClock, decision: Decision, day: date) -> Iterator[str]:
    found = [clock for clock in decision.clocks if _is(clock, wanted)]
    if len(found) != 1:
        shown = [f"{clock.kind} of {clock.policy_id}, {clock.label!r}" for clock in decision.clocks]
        yield f"{len(found)} clocks are {wanted.kind} {wanted.policy or ''}; shown: {'; '.join(shown)}"
        return
    clock = found[0]
    permitted = "unknown" if clock.permitted is None else clock.permitted
    for what, expected, seen in (
        ("permission", wanted.permitted, permitted),
        ("deadline", _day(wanted.deadline), _local(clock.deadline_at, clock)),
        ("earliest end", _day(wanted.earliest), _local(clock.earliest, clock)),
        ("latest end", _day(wanted.latest), _local(clock.latest, clock)),
        ("state", wanted.state, state_of(clock, day)),
        ("list of missing facts", _set(wanted.asks_for), set(clock.missing_facts)),
    ):
        if expected is not None and expected != seen:
            yield f"{clock.label}: the {what} is {seen}, not {expected}"
    if wanted.consequence_has and wanted.consequence_has not in (clock.consequence or ""):
        yield f"{clock.label}: the consequence is {clock.consequence}"


def _is(clock: Clock, wanted: ExpectedClock) -> bool:
    return (
        clock.kind == wanted.kind
        and wanted.policy in {None, clock.policy_id}
        and wanted.anchor in {None, clock.anchor}
        and (wanted.label_has or "") in clock.label
    )


def _set(kinds: Sequence[str] | None) -> set[str] | None:
    return None if kinds is None else set(kinds)


def _day(ending: str | None) -> str | None:
    return ending and ending.partition(" = ")[0]


def _local(at: datetime | None, clock: Clock) -> str:
    """Give a day where it ends with the day, else the local time with its offset."""
    if at is None:
        return "none"
    local = at.astimezone(ZoneInfo(clock.zone))
    return str(local.date()) if f"{local:%H:%M:%S}" == "23:59:59" else _as_stated(local)


def _as_stated(end: date | datetime) -> str:
    if not isinstance(end, datetime):
        return str(end)
    offset = f"{end:%z}"
    return f"{end:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:]}"
