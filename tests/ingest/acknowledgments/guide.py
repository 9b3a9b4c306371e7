"""
The 999 of 005010X231A1 (and the TA1 of 005010), written down from the standard apart from any implementation:
order and number of segments, form of each element, code lists, counts, and what must agree with what.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

N = r"0|[1-9][0-9]*"
IDS = r"[A-Z][A-Z0-9]{1,2}"
IK304 = {"1", "2", "3", "4", "5", "6", "7", "8", "I4", "I6", "I7", "I8", "I9"}
IK403 = {*map(str, range(1, 11)), "12", "13", "I6", "I9", "I10", "I11", "I12", "I13"}
IK502 = {*map(str, [*range(1, 14), *range(15, 20), *range(23, 28)]), "I5", "I6"}
AK905 = {*map(str, [*range(1, 7), *range(10, 20), *range(23, 27)])}
TA105 = {f"{code:03d}" for code in range(32)}

# Each element: its form, and whether it must be there.
FORMS: dict[str, Sequence[tuple[str, bool]]] = {
    "GS": [("FA", True), (".{2,15}", True), (".{2,15}", True), (r"\d{8}", True), (r"\d{4}|\d{6}|\d{7,8}", True), (N, True), ("X", True), ("005010X231A1", True)],
    "ST": [("999", True), (r"[0-9A-Z]{4,9}", True), ("005010X231A1", True)],
    "AK1": [("[A-Z]{2}", True), (r"\d{1,9}", True), (r"[0-9A-Za-z]{1,12}", True)],
    "AK2": [(r"\d{3}", True), (r"[0-9A-Za-z._-]{4,9}", True), (r"[0-9A-Z]{6,12}", False)],
    "IK3": [(IDS, True), (r"[1-9]\d{0,9}", True), (r"[0-9A-Z]{1,4}", False), ("|".join(IK304), True)],
    "IK4": [(r"[1-9]\d?(:([1-9]\d?)?(:[1-9]\d{0,3})?)?", True), (r"[1-9]\d{0,3}", False), ("|".join(IK403), True)],
    "CTX": [("SITUATIONAL TRIGGER", True), (IDS, True), (r"[1-9]\d{0,9}", True), (r"[0-9A-Z]{1,4}", False), (r"[1-9]\d?", False)],
    "IK5": [("[AEMRWX]", True), *[("|".join(IK502), False)] * 5],
    "AK9": [("[AEMPRWX]", True), (N, True), (N, True), (N, True), *[("|".join(AK905), False)] * 5],
    "SE": [(N, True), (r"[0-9A-Z]{4,9}", True)],
    "GE": [(N, True), (N, True)],
    "IEA": [(N, True), (r"\d{9}", True)],
    "TA1": [(r"\d{9}", True), (r"\d{6}", True), (r"\d{4}", True), ("[AER]", True), ("|".join(TA105), True)],
}  # fmt: skip

FOLLOWS = {
    "ISA": {"TA1", "GS"},
    "TA1": {"IEA"},
    "GS": {"ST"},
    "ST": {"AK1"},
    "AK1": {"AK2", "AK9"},
    "AK2": {"IK3", "IK5"},
    "IK3": {"IK3", "CTX", "IK4", "IK5"},
    "IK4": {"IK3", "CTX", "IK4", "IK5"},
    "CTX": {"IK3", "CTX", "IK4", "IK5"},
    "IK5": {"AK2", "AK9"},
    "AK9": {"SE"},
    "SE": {"GE"},
    "GE": {"GS", "IEA"},
}

QUALIFIERS = {*(f"{code:02d}" for code in range(1, 39)), "AM", "NR", "SA", "SN", "ZZ"}
ISA_WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)


def split(content: bytes) -> list[list[str]]:
    """Give segments as lists, with : and ^ for whatever stood there."""
    text = content.decode("ascii")
    element, component, terminator = text[3], text[104], text[105]
    assert len({element, component, terminator, text[82]}) == 4
    assert text.endswith(terminator)
    segments = [one.split(element) for one in text[:-1].split(terminator)]
    return [segments[0], *[[part.replace(component, ":") for part in one] for one in segments[1:]]]


def faults(content: bytes) -> Iterator[str]:
    """Name what the guide forbids in one interchange."""
    segments = split(content)
    if tuple(map(len, segments[0][1:])) != ISA_WIDTHS:
        yield "ISA widths"
    if not {segments[0][5], segments[0][7]} <= QUALIFIERS:
        yield "ISA qualifiers"
    for one, after in pairwise(segments):
        if after[0] not in FOLLOWS[one[0]]:
            yield f"{after[0]} after {one[0]}"
    for one in segments[1:]:
        yield from _form_faults(one)
    yield from _count_faults(segments)


def _form_faults(segment: list[str]) -> Iterator[str]:
    name, *elements = segment
    if elements and not elements[-1]:
        yield f"{name} ends in an empty element"
    if len(elements) > len(FORMS[name]):
        yield f"{name} has too many elements"
    for position, (form, required) in enumerate(FORMS[name]):
        value = elements[position] if position < len(elements) else ""
        if not value and required:
            yield f"{name}{position + 1:02d} is missing"
        elif value and not re.fullmatch(form, value):
            yield f"{name}{position + 1:02d} has another form"


def _count_faults(segments: list[list[str]]) -> Iterator[str]:  # noqa: C901  one dispatch by segment
    names = [one[0] for one in segments]
    if segments[-1][1:] != [str(names.count("GS")), segments[0][13]]:
        yield "IEA does not close ISA"
    begin = sets = 0
    group: list[str] = []
    verdicts: list[str] = []
    for index, one in enumerate(segments):
        match one:
            case ["GS", *_]:
                group, sets = one, 0
            case ["ST", *_]:
                begin, sets, verdicts = index, sets + 1, []
            case ["IK5", verdict, *codes]:
                verdicts.append(verdict)
                if (verdict == "A") == bool(codes):
                    yield "IK5 contradicts itself"
            case ["AK9", verdict, _included, received, accepted, *codes]:
                yield from _verdict_faults(verdict, int(received), int(accepted), verdicts, codes)
            case ["SE", count, number]:
                if (int(count), number) != (index - begin + 1, segments[begin][2]):
                    yield "SE does not close ST"
            case ["GE", count, number]:
                if (int(count), number) != (sets, group[6]):
                    yield "GE does not close GS"


def _verdict_faults(
    verdict: str, received: int, accepted: int, verdicts: list[str], codes: list[str]
) -> Iterator[str]:
    listed = sum(one != "R" for one in verdicts)
    if not listed <= accepted <= received or received < len(verdicts):
        yield "AK904 does not add up"
    if verdict == "A" and (codes or set(verdicts) - {"A"} or accepted != received):
        yield "AK901 A with errors"
    if verdict == "P" and not 0 < accepted < received:
        yield "AK901 P without both kinds"
    if verdict == "R" and accepted and "1" not in codes:
        yield "AK901 R with accepted sets"
    if verdict == "E" and accepted < received:
        yield "AK901 E with rejected sets"
