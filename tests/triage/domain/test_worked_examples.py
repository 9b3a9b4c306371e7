"""A worked example that cannot fail proves nothing: each stated limit and condition changed, one must fail."""

import re
from collections.abc import Iterator

import pytest

from services.triage.domain.examples import failures
from services.triage.domain.policies import load_policies
from services.triage.policies import policy_texts
from shared.calendars import Calendar
from shared.errors import InvalidInputError

TEXTS = policy_texts()
CALENDAR = Calendar()
OTHER_UNIT = {"calendar_days": "business_days", "business_days": "calendar_days"}
ANCHORS = ("dos_first", "dos_last", "remit_date", "denial_letter")
CONDITION = re.compile(
    r"when|requires|requires_any|excludes|exempt|off_day|caps|roll|certain|permitted|after|choose"
)
ALIKE = {
    ("bcbsnc-img.toml", "caps"): "two business days never end before 48 hours: the page states both",
    ("uhc-comm-update.toml", "excludes"): "the claim that an 835 proves forbids the way already",
}
"""What no example can show, and why."""


def changed(line: str) -> Iterator[str]:
    """Give other readings of a line of a clock: another length, unit or day to count from; no condition."""
    key, _, value = line.partition(" = ")
    if key in {"amount", "amount_latest"}:
        yield f"{key} = {int(value) + 1}"
    elif key == "unit" and value.strip('"') in OTHER_UNIT:
        yield f'unit = "{OTHER_UNIT[value.strip(chr(34))]}"'
    elif key == "anchors":
        yield from (f'anchors = ["{anchor}"]' for anchor in ANCHORS if anchor not in value)
    elif (CONDITION.fullmatch(key) and not value.endswith("[")) or line.startswith('  "'):
        yield ""


def texts_with(name: str) -> Iterator[tuple[str, str]]:
    """Give the policy's text with one line of its clocks changed, and that line's key."""
    clocks, mark, examples = TEXTS[name].decode().partition("[[examples]]")
    lines = clocks.split("\n")
    for place in range(lines.index("[[clocks]]"), len(lines)):
        for other in changed(lines[place]):
            key = lines[place].partition(" = ")[0]
            yield key, "\n".join([*lines[:place], other, *lines[place + 1 :]]) + mark + examples


def notices(name: str, text: str) -> bool:
    """Tell whether the reader refuses a text, or a worked example of it does not come out."""
    try:
        policies = load_policies({"default.toml": TEXTS["default.toml"], name: text.encode()})
    except InvalidInputError:
        return True
    own = next(one for one in policies.policies if one.id == name.removesuffix(".toml"))
    return bool(failures(own, policies, CALENDAR))


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_worked_example_notices_another_limit_or_a_condition_left_out(name):
    assert not notices(name, TEXTS[name].decode())
    unnoticed = [key for key, text in texts_with(name) if not notices(name, text)]

    assert unnoticed == [key for of, key in ALIKE if of == name]
