"""Every part of every key that decide() remembers by is needed: a memory without it is caught by our inputs."""

import inspect
import sys
from collections import defaultdict
from dataclasses import fields
from typing import Any

import pytest

from services.triage.domain.anchors import Dates, Paper, Start
from services.triage.domain.care import Care
from services.triage.domain.classification import Reading
from services.triage.domain.clocks import RunningClock, Standing, Standings
from services.triage.domain.conditions import Known
from services.triage.domain.course import Course
from services.triage.domain.decide import decide
from services.triage.domain.situation import Situation
from services.triage.domain.urgency import Evidence
from services.triage.domain.windows import Window
from shared.contracts.base import encode
from shared.contracts.claim import Party
from tests.triage.domain.test_remembering import PAYERS as ALL_PAYERS
from tests.triage.domain.test_remembering import REMEMBERED, asked_of, forget

TAKEN_APART = (Care, Dates, Evidence, Known, Paper, Party, Situation, Standing, Start)
LISTS_TAKEN_APART = {"fields"}

PAYERS = ("AETNA", "UNITEDHEALTHCARE", "CIGNA", "ANCHORED", "TRICARE EAST")
ALIKE_IN = (("197", "CO"), ("197", "PR"))
ASKED = [one for payer, filing in ALL_PAYERS if payer in PAYERS for one in asked_of(payer, filing, ALIKE_IN)]


def parts(value, at):
    """Give what a key is made of, by name."""
    if isinstance(value, TAKEN_APART):
        names = getattr(value, "_fields", None) or value.__struct_fields__
        for name in names:
            yield from parts(getattr(value, name), f"{at}.{name}")
    elif at in LISTS_TAKEN_APART:
        for one in value:
            if at == "fields":
                yield from ((f"fields.{number}", part) for number, part in enumerate(one))
            else:
                yield from parts(one, f"{at}[]")
    else:
        yield at, value


def key_of(remembered, arguments, named) -> list[tuple[str, Any]]:
    names = inspect.signature(remembered.__wrapped__).parameters
    told = dict(zip(names, arguments, strict=False)) | named
    return [part for name, one in told.items() for part in parts(one, name)]


def instead(monkeypatch, remembered, other):
    """Put another function wherever the memory is called."""
    for name, module in list(sys.modules.items()):
        if name.startswith("services.triage.domain"):
            for called, one in list(vars(module).items()):
                if one is remembered:
                    monkeypatch.setattr(module, called, other)


def decided_afresh() -> tuple[list[bytes], dict[Any, list[tuple[int, tuple[Any, ...]]]]]:
    """Decide each of ASKED with empty memories; gives the decisions, and what each memory was asked by which."""
    asked: dict[Any, list[tuple[int, tuple[Any, ...]]]] = {one: [] for one in REMEMBERED}

    def watching(remembered):
        def watched(*arguments, **named):
            key = tuple((at, content(one)) for at, one in key_of(remembered, arguments, named))
            asked[remembered].append((number, key))
            return remembered(*arguments, **named)

        return watched

    decisions = []
    with pytest.MonkeyPatch.context() as patch:
        for remembered in REMEMBERED:
            instead(patch, remembered, watching(remembered))
        for number in range(len(ASKED)):
            forget()
            decisions.append(encode(decide(**ASKED[number])))
    return decisions, asked


def content(value):
    """Give what stands for a value that is compared by identity, and made anew once memories are empty."""
    if isinstance(value, (Course, Reading, RunningClock, Situation, Standing, Standings)):
        return type(value), *(content(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, Window):
        return (Window, *(content(getattr(value, one.name)) for one in fields(value)))
    return tuple(map(content, value)) if isinstance(value, tuple) else value


def without(key, part):
    return tuple(one for one in key if one[0] != part and not one[0].startswith(f"{part}."))


def confused(asked, part) -> list[int]:
    """Give inputs that a memory would confuse with another one if its keys left out a part."""
    alike = defaultdict(lambda: defaultdict(list))
    for number, key in asked:
        alike[without(key, part)][key].append(number)
    return sorted(
        {
            number
            for keys in alike.values()
            if len(keys) > 1
            for numbers in keys.values()
            for number in (numbers[0], numbers[len(numbers) // 2], numbers[-1])
        }
    )


def caught(remembered, part, numbers, decisions) -> bool:
    """Tell whether some decision comes out differently once the memory leaves out a part of its keys."""
    known: dict[Any, Any] = {}

    def careless(*arguments, **named):
        key = without(key_of(remembered, arguments, named), part)
        if key not in known:
            known[key] = remembered.__wrapped__(*arguments, **named)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        forget()
        instead(patch, remembered, careless)
        return any(encode(decide(**ASKED[number])) != decisions[number] for number in numbers)


FOLLOWS = {
    ("_announced", "calendar"): "limits that remarks announce are in calendar days",
    ("_announced", "start.anchor"): "they count from the remittance",
    ("_announced", "start.earliest"): "it is the latest day, or none where our receipt's is all there is",
    ("_announced", "start.missing"): "it follows from what the day comes from",
    ("_draft", "dates.category"): "courses are of one category",
    ("_draft", "dates.told"): "what people told about days is not remembered",
    ("_prospect", "situation.auth_related"): "it follows from the reading",
    ("_running", "start.anchor"): "it follows from the rule and what the day comes from",
    ("_running", "standing.followed"): "what it asks is answered before: in the permission",
    ("_running", "start.missing"): "it follows from the rule and what the day comes from",
    ("window_of", "kept"): "policies make their windows before anything is decided",
}
"""Parts that no decision can miss, and why."""


def test_a_memory_that_left_out_a_part_of_its_keys_would_be_caught():
    decisions, asked = decided_afresh()
    missed = {
        (remembered.__name__, part)
        for remembered, keys in asked.items()
        for part in {at for _, key in keys for at, _ in key}
        if not caught(remembered, part, confused(keys, part), decisions)
    }

    assert missed == FOLLOWS.keys()
