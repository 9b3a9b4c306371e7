"""
A second, plain reader of 835s, for expectations: it shares no code with services/ingest, on purpose.

It reads a whole file at once, takes the delimiters at the fixed places of the ISA, and gives up (Odd) where
they do not stand there: such a file needs eyes. What is an ordinary adjustment it reads in docs/x12-835.md.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path

RULES = Path(__file__).parents[2] / "docs" / "x12-835.md"
IN_CLAIMS = {"CLP", "CAS", "NM1", "MIA", "MOA", "REF", "DTM", "PER", "AMT", "QTY", "SVC", "LQ"}
IN_HEADERS = {"ST", "BPR", "NTE", "TRN", "CUR", "REF", "DTM", "N1", "N2", "N3", "N4", "PER", "RDM"}
AMOUNTS = {"MIA": (1, 2, 3, 4, *range(6, 20), 24), "MOA": (1, 2, 8, 9)}
ABSURD = Decimal("99999999.99")


class Odd(Exception):  # noqa: N818 - not an error: the file is just not plain
    """The file is not one that this reader may judge."""


@dataclass
class Facts:
    interchanges: int = 0
    groups: int = 0
    sets: int = 0
    claims: int = 0
    quarantined: int = 0
    reversals: int = 0
    denied: int = 0
    denied_amount: Decimal = Decimal(0)
    charge: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    usage: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)  # of transaction sets, by ST01, and TA1
    complete: bool = True
    findings: Counter[str] = field(default_factory=Counter)


@cache
def ordinary() -> dict[str, bool]:
    """Give the reasons that do not deny, and whether they do where they take a whole charge."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (yes)? ?\|$", RULES.read_text(), flags=re.MULTILINE)
    return {reason: whole == "yes" for reason, whole in rows}


def amount(text: str) -> Decimal | None:
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", text):
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None


def is_date(text: str) -> bool:
    try:
        return 1980 <= datetime.strptime(text.strip(), "%Y%m%d").year < 2100 and len(text.strip()) == 8  # noqa: DTZ007
    except ValueError:
        return False


def at(parts: list[str], index: int) -> str:
    return parts[index].strip() if index < len(parts) else ""


def facts(content: bytes) -> Facts:
    """Read a file; raises Odd where its envelope is not as the standard draws it."""
    found = Facts()
    text = content.decode("latin-1").removeprefix("\xef\xbb\xbf").lstrip()
    while text:
        if not text.startswith("ISA") or len(text) < 107:
            raise Odd("no ISA where one should stand")
        element, component, end = text[3], text[104], text[105]
        head = text[:105].split(element)
        if len(head) != 17 or head[16] != component or end.isalnum():
            raise Odd("ISA is not as the standard draws it")
        segments = text[106:].split(end)
        last = next((i for i, one in enumerate(segments) if one.strip().startswith("IEA" + element)), None)
        ours = segments if last is None else segments[: last + 1]
        _interchange(found, head, [one.strip() for one in ours], element)
        text = "" if last is None else end.join(segments[last + 1 :]).lstrip()
    return found


def _interchange(  # noqa: C901, PLR0912 - told in the order of the file
    found: Facts, head: list[str], segments: list[str], element: str
) -> None:
    found.interchanges += 1
    found.usage.add(head[15])
    group: list[str] | None = None
    groups = sets = 0
    body: list[list[str]] | None = None
    closed = False
    if segments and not segments[-1]:
        segments = segments[:-1]  # what stands behind the last terminator
    for segment in segments:
        parts = segment.split(element)
        tag = parts[0]
        if body is not None and tag in ("ST", "GS", "GE", "IEA"):
            _set(found, body, None)
            body = None
        if tag == "ST":
            body = [parts]
            sets += 1
            if group is None:
                found.findings["set_outside_group"] += 1
            elif at(parts, 1) == "835" and not at(group, 8).startswith(("005010X221", "004010X091")):
                found.findings["unsupported_version"] += 1
        elif tag == "SE" and body is not None:
            _set(found, body, parts)
            body = None
        elif body is not None:
            body.append(parts)
        elif tag == "GS":
            found.findings["group_truncated"] += group is not None
            group, sets, groups = parts, 0, groups + 1
            _date(found, at(parts, 4))
        elif tag == "GE" and group is not None:
            found.findings["group_count"] += at(parts, 1) != str(sets)
            found.findings["group_control_number"] += _number(at(parts, 2)) != _number(at(group, 6))
            group = None
        elif tag == "IEA":
            found.findings["group_truncated"] += group is not None
            found.findings["interchange_count"] += at(parts, 1) != str(groups)
            found.findings["interchange_control_number"] += _number(at(parts, 2)) != _number(head[13])
            group, closed = None, True
        elif tag == "TA1":
            found.kinds["TA1"] += 1
        else:
            raise Odd(f"{tag[:3]!r} stands outside transaction sets")
    if body is not None:
        _set(found, body, None)
    found.groups += groups
    if not closed:
        found.complete = False
        found.findings["interchange_truncated"] += 1
        found.findings["group_truncated"] += group is not None


def _number(text: str) -> str:
    return text.lstrip("0")


def _set(found: Facts, body: list[list[str]], trailer: list[str] | None) -> None:  # noqa: C901
    kind = at(body[0], 1)
    found.kinds[kind] += 1
    if kind != "835":
        found.findings["other_set"] += 1
        return
    found.sets += 1
    found.findings["empty_segment"] += sum(parts == [""] for parts in body)
    if trailer is None:
        found.findings["set_truncated"] += 1
    else:
        count = sum(parts != [""] for parts in body) + 1
        found.findings["set_count"] += at(trailer, 1) != str(count)
        found.findings["set_control_number"] += _number(at(trailer, 2)) != _number(at(body[0], 2))
    begins = [i for i, parts in enumerate(body) if parts[0] in ("LX", "CLP", "PLB", "TS2", "TS3")] or [
        len(body)
    ]
    payment = _header(found, body[: begins[0]])
    adjustments, paid = Decimal(0), Decimal(0)
    loops: list[list[list[str]]] = []
    current: list[list[str]] | None = None
    for parts in body[begins[0] :]:
        tag = parts[0]
        if tag == "CLP":
            current = [parts]
            loops.append(current)
        elif tag in ("LX", "TS2", "TS3", "PLB"):
            current = None
            if tag == "PLB":
                adjustments += _provider(found, parts)
        elif current is not None:
            current.append(parts)
        elif tag:
            raise Odd(f"{tag[:3]!r} stands between claims")
    for index, loop in enumerate(loops):
        paid += _claim(found, loop, cut=trailer is None and index == len(loops) - 1)
    if trailer is not None and payment is not None and payment != paid - adjustments:
        found.findings["set_out_of_balance"] += 1


def _header(found: Facts, header: list[list[str]]) -> Decimal | None:
    payment = None
    tags = Counter(parts[0] for parts in header)
    named = (
        parts for parts in header if parts[0] == "N1" and (at(parts, 2) or (at(parts, 3) and at(parts, 4)))
    )
    parties = Counter(at(parts, 1) for parts in named)
    for tag, code in (("BPR", "missing_payment"), ("TRN", "missing_trace")):
        found.findings[code] += not tags[tag]
    found.findings["missing_trace"] += any(parts[0] == "TRN" and not at(parts, 2) for parts in header)
    found.findings["missing_party"] += not (parties["PR"] and parties["PE"])
    repeated = (tags["BPR"], tags["TRN"], parties["PR"], parties["PE"])
    found.findings["misplaced_segment"] += sum(max(count - 1, 0) for count in repeated)
    for parts in header:
        tag = parts[0]
        if tag and tag not in IN_HEADERS:
            found.findings["unknown_segment"] += 1
        if tag == "BPR":
            payment = amount(at(parts, 2))
            if payment is None:
                found.findings["amount_unreadable"] += 1
            elif at(parts, 3) == "D":
                payment = -payment
        if tag == "N1" and at(parts, 1) not in ("PR", "PE"):
            found.findings["misplaced_segment"] += 1
        if tag == "CUR" and at(parts, 2) not in ("", "USD"):
            found.findings["foreign_currency"] += 1
        date = at(parts, 16) if tag == "BPR" else at(parts, 2) or "none" if tag == "DTM" else ""
        _date(found, date)
    return payment


def _date(found: Facts, text: str) -> None:
    if text and not is_date(text):
        absurd = re.fullmatch(r"\d{8}", text) and not 1980 <= int(text[:4]) < 2100
        found.findings["date_absurd" if absurd else "date_unreadable"] += 1


def _provider(found: Facts, parts: list[str]) -> Decimal:
    total = Decimal(0)
    if not is_date(at(parts, 2)):
        found.findings["date_unreadable"] += 1
    for index in range(3, len(parts), 2):
        value = amount(at(parts, index + 1))
        if value is not None:
            total += value
        elif at(parts, index):
            found.findings["amount_unreadable"] += 1
    return total


def _claim(found: Facts, loop: list[list[str]], *, cut: bool) -> Decimal:
    """Count a claim and judge it; give what it paid."""
    head = loop[0]
    found.claims += 1
    charge, paid = amount(at(head, 3)), amount(at(head, 4))
    if charge is None or paid is None:
        found.quarantined += 1
        found.findings["claim_unreadable"] += (charge is None) + (paid is None)
        found.charge += charge or 0
        return Decimal(0)
    found.charge += charge
    found.paid += paid
    found.findings["amount_absurd"] += (abs(charge) > ABSURD) + (abs(paid) > ABSURD)
    found.findings["amount_unreadable"] += bool(at(head, 5)) and amount(at(head, 5)) is None
    found.findings["claim_unidentified"] += not at(head, 1) and not at(head, 7)
    levels = _levels(found, loop, charge, paid)
    total = sum((value for level in levels for *_, value in level.adjustments), Decimal(0))
    for level in levels[1:]:
        if level.readable and level.charge - sum(v for *_, v in level.adjustments) != level.paid:
            found.findings["line_out_of_balance"] += 1
    found.findings["claim_out_of_balance"] += charge - total != paid
    if at(head, 2) == "25":
        return paid
    if at(head, 2) == "22" or charge < 0:
        found.reversals += 1
        return paid
    if any(level.torn for level in levels):
        raise Odd("an adjustment whose amount cannot be read, or is 0 with a reason of its own")
    denied = sum((_denied(found, level) for level in levels), Decimal(0))
    explained = any(value for level in levels for *_, value in level.adjustments)
    if charge > 0 and paid == 0 and not explained and not cut:
        found.findings["unpaid_unexplained"] += 1
        denied = charge
    found.denied += denied > 0
    found.denied_amount += denied
    return paid


@dataclass
class Level:
    """A claim or one of its lines. `torn`: an adjustment has no amount, or one of 0 for what may deny."""

    charge: Decimal
    paid: Decimal
    readable: bool = True
    torn: bool = False
    adjustments: list[tuple[str, str, Decimal]] = field(default_factory=list)


def _levels(found: Facts, loop: list[list[str]], charge: Decimal, paid: Decimal) -> list[Level]:
    levels = [Level(charge, paid)]
    for parts in loop[1:]:
        tag = parts[0]
        if tag == "SVC":
            line = amount(at(parts, 2)), amount(at(parts, 3))
            found.findings["amount_unreadable"] += None in line
            levels.append(Level(line[0] or Decimal(0), line[1] or Decimal(0), readable=None not in line))
        elif tag == "CAS":
            _adjust(found, levels[-1], parts)
        elif tag == "DTM" and not is_date(at(parts, 2)):
            _date(found, at(parts, 2) or "none")
        elif tag in ("AMT", "QTY") and amount(at(parts, 2)) is None:
            found.findings["amount_unreadable"] += 1
        elif tag in AMOUNTS:
            written = (at(parts, index) for index in AMOUNTS[tag])
            found.findings["amount_unreadable"] += sum(amount(one) is None for one in written if one)
        elif tag and tag not in IN_CLAIMS:
            found.findings["unknown_segment"] += 1
    return levels


def _adjust(found: Facts, level: Level, parts: list[str]) -> None:
    for index in range(2, len(parts), 3):
        reason, text = at(parts, index), at(parts, index + 1)
        value = amount(text)
        if value is not None:
            level.adjustments.append((at(parts, 1), reason, value))
            found.findings["reason_missing"] += value > 0 and not reason
        elif reason or text:
            found.findings["amount_unreadable"] += 1
        level.torn |= bool(reason or text) and not value and reason not in ordinary()


def _denied(found: Facts, level: Level) -> Decimal:
    """Give what is denied at one level: rules 2, 3 and 4 of the page."""
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for group, reason, value in level.adjustments:
        whole = ordinary().get(reason) and level.readable and level.paid == 0 < level.charge <= value
        found.findings["contractual_equals_charge"] += bool(whole)
        if reason not in ordinary() or whole:
            sums.setdefault((group, reason), []).append(value)
    return sum((max(sum(values, Decimal(0)), Decimal(0)) for values in sums.values()), Decimal(0))
