"""
One claim loop, read as far as every claim needs: amounts, balance, denial, identity. The hot path.

It works on raw segments and builds no object per segment: most claims are paid as expected and need no more.
What the few events need is read in detail.py, from the same segments.
"""

from decimal import Decimal
from typing import Literal

from msgspec.structs import replace

from services.ingest.domain.balancing import balance_finding, dollars
from services.ingest.domain.block import Block
from services.ingest.domain.canonical import digest_of
from services.ingest.domain.claim import Claim, ClaimKind
from services.ingest.domain.findings import Finding
from services.ingest.domain.ordinals import Ordinals
from services.ingest.domain.ordinary import DENIES_WHOLE_CHARGE, ORDINARY_REASONS
from services.ingest.domain.plain import AMOUNT_ELEMENTS, LoopRead, PlainReader
from services.ingest.domain.unreadable import unreadable_amount
from services.ingest.x12.delimiters import Delimiters, to_neutral
from services.ingest.x12.elements import (
    Cents,
    is_absurd_date,
    parse_amount,
    read_amount,
    read_date,
    read_number,
    read_text,
    read_text_or_none,
)
from services.ingest.x12.tokenizer import Batch
from shared.contracts.claim import BalanceFinding, DeniedAdjustment

REVERSAL = b"22"
PREDETERMINATION = b"25"

_FINDINGS_MAX = 100  # of one claim
_CENTS_MAX = 99_999_999_99  # TR3 1.3.1 limits monetary amounts to ten characters
_IDENTIFYING = frozenset((b"6R", b"G1", b"BB"))
_NOWHERE = b"\x1f\x1e\x1d"  # where components cannot be told apart, none is empty


class LoopReader:
    """Reads the claim loops of sets that share their delimiters."""

    def __init__(self, delimiters: Delimiters) -> None:
        self.element = delimiters.element
        self.component = delimiters.component
        self.terminator = delimiters.terminator
        self.remark = b"LQ" + delimiters.element[:1]
        self.first = 3 + len(delimiters.element)  # where element 1 begins after a tag of three letters
        self.second = self.first + 3 + len(delimiters.element)  # and element 2, after a qualifier of three

        self.ends = frozenset(delimiters.element[-1:] + delimiters.component[-1:])  # as bytes' values
        self.empty_end = delimiters.component + delimiters.element if delimiters.component else _NOWHERE

        # Segments are joined by what no segment of this file can hold.
        self.joint = (
            b"\x1e" if b"\x1e" not in (delimiters.element, delimiters.component) else delimiters.terminator
        )
        self.neutral = to_neutral(delimiters, self.joint)
        self._plain = PlainReader(delimiters)

    def read(
        self, block: Block, *, position: int, truncated: bool, ordinals: Ordinals
    ) -> Claim | list[Finding]:
        """
        Read one claim; where it cannot be read, give the findings that quarantine it.

        `ordinals` counts the equal loops of the set so far, by digest.
        """
        loop = block.loop
        unusual = truncated or block.oversized or block.unusual
        read = None if unusual else self._plain.read(loop)
        if read is None:
            head = loop.split(self.terminator, 1)[0].split(self.element)
            charge, paid = _amount(head, 3), _amount(head, 4)
            if charge is None or paid is None or block.oversized or head[0] != b"CLP":
                return _quarantine(block, head)
            as_sent = charge[1] is head[3] and paid[1] is head[4]
            read = _Loop(self, block, charge[0], paid[0]).read(head, as_sent=as_sent, truncated=truncated)
        number, begin, end = block.place()
        return Claim(
            kind=read.kind,
            position=position,
            ordinal=ordinals.next(read.digest),
            digest=read.digest,
            claim_number=read.claim_number,
            payer_claim_number=read.payer_claim_number,
            charge_amount=read.charge_amount,
            paid_amount=read.paid_amount,
            denied=read.denied,
            balance_findings=read.balance_findings,
            findings=read.findings,
            byte_offset=begin,
            byte_length=end - begin,
            segment_number=number,
            truncated=truncated,
            loop=loop,
        )

    def read_plain(
        self, batch: Batch, begin: int, stop: int, number: int, position: int, ordinals: Ordinals
    ) -> Claim | None:
        """Read the plain claim between two bytes of a regular batch; None where it is not plain."""
        if batch.clean:
            loop = batch.text[begin : stop - len(self.terminator)]
        else:
            begin, loop = batch.loop(begin, stop)
        read = self._plain.read(loop)
        if read is None:
            return None
        return Claim(
            kind=read.kind,
            position=position,
            ordinal=ordinals.next(read.digest),
            digest=read.digest,
            claim_number=read.claim_number,
            payer_claim_number=read.payer_claim_number,
            charge_amount=read.charge_amount,
            paid_amount=read.paid_amount,
            denied=read.denied,
            balance_findings=(),
            findings=(),
            byte_offset=batch.offset + begin,
            byte_length=stop - begin,
            segment_number=number,
            truncated=False,
            loop=loop,
        )


def readable_charge(block: Block, element: bytes) -> Decimal | None:
    """Give CLP03 of a claim that is quarantined, where at least that can be read."""
    head = block.segments[0].split(element)
    return read_number(head[3]) if len(head) > 3 else None


def _amount(parts: list[bytes], index: int) -> tuple[Cents, bytes] | None:
    """Read what stands once in a claim; prices and adjustments, which repeat, are read by read_amount."""
    return parse_amount(parts[index]) if index < len(parts) else None


def _quarantine(block: Block, head: list[bytes]) -> list[Finding]:
    if block.oversized:
        return [block.finding("oversized_loop")]
    unreadable = [
        unreadable_amount(block.finding("claim_unreadable", 0, at), head[at] if at < len(head) else b"")
        for at in (3, 4)
        if _amount(head, at) is None
    ]
    return unreadable or [block.finding("claim_unreadable")]


class _Loop:
    """The running state of one claim: what was noticed, and the canonical loop for its digest."""

    __slots__ = (
        "_balance",
        "_block",
        "_canonical",
        "_charge",
        "_charge_amount",
        "_denied",
        "_explained",
        "_findings",
        "_padded",
        "_paid",
        "_reader",
        "_taken_back",
        "_unreadable",
        "_without_amount",
    )

    def __init__(self, reader: LoopReader, block: Block, charge: Cents, paid: Cents) -> None:
        self._reader = reader
        self._block = block
        self._charge = charge
        self._charge_amount = Decimal(0)
        self._paid = paid
        self._explained = False  # some adjustment has an amount
        self._padded = False  # a kept segment may end in empty elements or components
        self._unreadable: list[tuple[int, bytes, bytes]] = []  # line, group, reason; the amount is torn
        self._without_amount: list[tuple[int, bytes, bytes]] = []  # line, group, reason; the amount is 0
        self._taken_back: list[tuple[int, bytes, bytes, Cents]] = []  # line, group, reason, negative cents
        self._canonical: list[bytes] = []
        self._denied: list[DeniedAdjustment] = []
        self._balance: list[BalanceFinding] = []
        self._findings: list[Finding] = []

    def read(self, head: list[bytes], *, as_sent: bool, truncated: bool) -> LoopRead:
        """Read the loop of this CLP. `as_sent`: its CLP03 and CLP04 are written in normal form already."""
        status = head[2]
        claim_number, payer_claim_number = read_text(head[1]), read_text_or_none(head, 7)
        self._charge_amount, paid_amount = Decimal(head[3].decode()), Decimal(head[4].decode())
        self._read_head(head, as_sent=as_sent)
        self._read_segments()
        kind = self._decide(status, truncated=truncated)
        return LoopRead(
            claim_number,
            payer_claim_number,
            self._charge_amount,
            paid_amount,
            kind,
            tuple(self._denied),
            self._digest(),
            tuple(self._balance),
            tuple(self._findings),
        )

    def _read_head(self, head: list[bytes], *, as_sent: bool) -> None:
        if not -_CENTS_MAX <= self._charge <= _CENTS_MAX:
            self._note("amount_absurd", 0, 3)
        if not -_CENTS_MAX <= self._paid <= _CENTS_MAX:
            self._note("amount_absurd", 0, 4)
        if not head[1].strip() and not (len(head) > 7 and head[7].strip()):
            self._note("claim_unidentified", 0, 1)
        self._padded = not head[-1]
        share = _amount(head, 5)
        if share is not None and share[0] == 0:
            head[5] = b""  # nothing to pay is often left out
            self._padded = self._padded or len(head) == 6
        elif as_sent and (len(head) < 6 or not head[5] or (share is not None and share[1] is head[5])):
            self._canonical.append(self._block.segments[0])
            return
        self._normalise(0, head, (3, 4, 5))

    def _read_segments(self) -> None:  # noqa: C901, PLR0912, PLR0915
        """
        All segments behind the CLP, in one pass: collect the canonical loop, add up, balance each line.

        One flat dispatch ordered by frequency, in local names: this is where the time of reading goes, and
        calls and attributes would double it. Whatever is rare has a method of its own.
        """
        reader = self._reader
        element, remark, first, second = reader.element, reader.remark, reader.first, reader.second
        qualifier_end = first + 2
        amount_at = qualifier_end + len(element)
        ends, empty_end = reader.ends, reader.empty_end
        padded = self._padded
        keep = self._canonical.append
        line, line_at = 0, 0  # the service line's number and its SVC; 0 is claim level
        readable = False  # a line whose amounts are known: of another, nobody can say whether it balances
        charge, paid = self._charge, self._paid  # of the line; of the claim before the first
        adjusted: Cents = 0  # at this level
        total: Cents = 0  # of the levels before
        behind = enumerate(self._block.segments)
        next(behind)  # the CLP
        for index, segment in behind:
            tag = segment[:3]
            if tag == b"DTM":
                keep(segment)
                if read_date(segment[second:]) is None:  # remembered: dates repeat
                    self._check_date(index, segment)
            elif tag == b"CAS":
                parts = segment.split(element)
                changed = False
                padded = padded or not parts[-1]
                for at in range(3, len(parts), 3):  # up to six triplets of reason, amount, quantity
                    reason, text = parts[at - 1], parts[at]
                    amount = read_amount(text)
                    if amount is None:
                        self._leave_out(index, parts, at, line)
                        continue
                    cents, form = amount
                    adjusted += cents
                    if reason not in ORDINARY_REASONS and reason.strip() not in ORDINARY_REASONS:
                        self._refuse(index, parts, at, line, cents)
                    elif cents >= charge > 0 == paid and reason.strip() in DENIES_WHOLE_CHARGE:
                        self._note("contractual_equals_charge", index)
                        self._refuse(index, parts, at, line, cents)
                    if form is not text:
                        parts[at] = form
                        changed = True
                if len(parts) % 3 == 0:
                    self._leave_out(index, [*parts, b""], len(parts), line)
                keep(element.join(parts) if changed else segment)
            elif tag == b"REF":
                if segment[first:qualifier_end] in _IDENTIFYING:
                    padded = padded or segment[-1] in ends
                    keep(segment)
            elif tag == b"SVC":
                if readable and paid + adjusted != charge:
                    self._unbalanced("line", charge - adjusted, paid, line=line, at=line_at)
                total += adjusted
                adjusted = 0
                line += 1
                line_at = index
                parts = segment.split(element)
                if len(parts) > 3:
                    line_charge, line_paid = read_amount(parts[2]), read_amount(parts[3])
                else:
                    line_charge, line_paid = _amount(parts, 2), None
                padded = padded or segment[-1] in ends or segment.find(empty_end) >= 0
                if line_charge is None or line_paid is None:
                    self._note("amount_unreadable", index, 2 if line_charge is None else 3)
                    charge = paid = 0
                    readable = False
                    keep(segment)
                    continue
                readable = True
                (charge, charge_form), (paid, paid_form) = line_charge, line_paid
                if charge_form is not parts[2] or paid_form is not parts[3]:
                    parts[2], parts[3] = charge_form, paid_form
                    segment = element.join(parts)  # noqa: PLW2901
                keep(segment)
            elif tag == b"AMT" or tag == b"QTY":  # noqa: PLR1714 - a set costs more here
                if not segment[amount_at:].replace(b".", b"", 1).isdigit():
                    self._check_amount(index, segment)
            elif tag == b"NM1" or tag == b"PER":  # noqa: PLR1714
                pass
            elif tag == remark:
                padded = padded or segment[-1] in ends
                keep(segment)
            elif tag in AMOUNT_ELEMENTS:
                padded = padded or segment[-1] in ends
                self._normalise(index, segment.split(element), AMOUNT_ELEMENTS[tag])
            else:
                self._note("unknown_segment" if segment else "empty_segment", index)
        if readable and paid + adjusted != charge:
            self._unbalanced("line", charge - adjusted, paid, line=line, at=line_at)
        total += adjusted
        self._padded = padded
        self._explained = self._explained or total != 0
        if self._paid + total != self._charge:
            self._unbalanced("claim", self._charge - total, self._paid)

    def _leave_out(self, index: int, parts: list[bytes], at: int, line: int) -> None:
        """A triplet whose amount cannot be read; an empty one in the middle is allowed."""
        if parts[at - 1] or parts[at]:
            self._note("amount_unreadable", index, at)
            self._unreadable.append((line, parts[1], parts[at - 1].strip()))

    def _refuse(self, index: int, parts: list[bytes], at: int, line: int, cents: Cents) -> None:
        """An adjustment that is none of the ordinary: positive it denies, negative it takes a denial back."""
        reason = parts[at - 1].strip()
        if cents == 0:
            if reason:
                self._without_amount.append((line, parts[1], reason))
            return
        self._explained = True
        if cents < 0:
            self._taken_back.append((line, parts[1], reason, cents))
            return
        if not reason:
            self._note("reason_missing", index, at - 1)
        self._denied.append(
            DeniedAdjustment(
                line_number=line or None,
                group=read_text(parts[1]),
                reason=read_text(reason),
                amount=read_number(parts[at]) or Decimal(0),
                quantity=read_number(parts[at + 1]) if at + 1 < len(parts) else None,
            )
        )

    def _unbalanced(
        self, level: Literal["line", "claim"], computed: Cents, reported: Cents, *, line: int = 0, at: int = 0
    ) -> None:
        found = balance_finding(level, reported=reported, computed=computed, line_number=line or None)
        self._balance.append(found)
        code = "line_out_of_balance" if line else "claim_out_of_balance"
        self._note(code, at, difference=found.difference)

    def _decide(self, status: bytes, *, truncated: bool) -> ClaimKind:
        """Tell the claim's kind, and clear or complete what is denied; the rule is docs/x12-835.md."""
        status = status.strip()
        if self._charge < 0 or status in (REVERSAL, PREDETERMINATION):
            self._denied = []
            return "predetermination" if status == PREDETERMINATION else "reversed"
        if self._taken_back:
            self._denied = _standing(self._denied, self._taken_back)
        if self._without_amount:
            self._denied = _renamed(self._denied, self._without_amount)
        if self._unreadable or self._without_amount:
            self._deny_unexplained(truncated=truncated)
        if self._charge > 0 and self._paid == 0 and not self._explained and not truncated:
            rest = self._charge_amount - sum(item.amount for item in self._denied)
            if rest > 0:
                self._note("unpaid_unexplained", 0)
                self._denied.append(DeniedAdjustment(group="", reason="", amount=rest))
        return "denied" if self._denied else "adjudicated"

    def _deny_unexplained(self, *, truncated: bool) -> None:
        """
        A reason whose amount is torn, or 0 where nothing is paid, denies what its level leaves unexplained.

        One denial a level; the claim comes last, because its difference holds those of its lines.
        """
        levels = {finding.line_number or 0: finding for finding in self._balance}
        named: dict[int, Decimal] = {}
        zeros = [] if truncated else self._without_amount
        reasons = [(one, True) for one in self._unreadable] + [(one, False) for one in zeros]
        for (line, group, reason), torn in sorted(reasons, key=lambda one: one[0][0] == 0):
            level = levels.get(line)
            if level is None or line in named or reason in ORDINARY_REASONS:
                continue
            amount = -level.difference - (0 if line else sum(named.values()))
            # Some senders leave the quantity's place out, so that the next amount stands where a reason does.
            shifted = not reason.isalnum() or read_number(reason) == -level.difference
            if amount <= 0 or (shifted if torn else level.reported_amount != 0):
                continue
            named[line] = amount
            self._denied.append(
                DeniedAdjustment(
                    line_number=line or None,
                    group=read_text(group),
                    reason=read_text(reason),
                    amount=amount,
                )
            )

    def _digest(self) -> bytes:
        """Hash the canonical loop: the same for any delimiters, padding and way of writing an amount."""
        text = self._reader.neutral(self._reader.joint.join(self._canonical))
        return digest_of(text, padded=self._padded)

    def _normalise(self, index: int, parts: list[bytes], elements: tuple[int, ...]) -> None:
        for at in elements:
            if at < len(parts) and parts[at]:
                amount = read_amount(parts[at])
                if amount is None:
                    self._note("amount_unreadable", index, at)
                else:
                    parts[at] = amount[1]
        self._canonical.append(self._reader.element.join(parts))

    def _check_amount(self, index: int, segment: bytes) -> None:
        parts = segment.split(self._reader.element)
        if _amount(parts, 2) is None:
            self._note("amount_unreadable", index, 2)

    def _check_date(self, index: int, segment: bytes) -> None:
        parts = segment.split(self._reader.element)
        self._canonical[-1] = self._reader.element.join(parts[:3])
        text = parts[2] if len(parts) > 2 else b""
        if read_date(text) is None:
            self._note("date_absurd" if is_absurd_date(text) else "date_unreadable", index, 2)

    def _note(
        self, code: str, index: int, element: int | None = None, difference: Decimal | None = None
    ) -> None:
        if len(self._findings) < _FINDINGS_MAX:
            self._findings.append(self._block.finding(code, index, element, difference=difference))


def _standing(
    denied: list[DeniedAdjustment], taken_back: list[tuple[int, bytes, bytes, Cents]]
) -> list[DeniedAdjustment]:
    """Net what a negative triplet of the same line, group and reason takes back: only the rest is denied."""
    left: dict[tuple[int | None, str, str], Decimal] = {}
    for line, group, reason, cents in taken_back:
        key = (line or None, read_text(group), read_text(reason))
        left[key] = left.get(key, Decimal(0)) - dollars(cents)
    standing = []
    for item in denied:
        key = (item.line_number, item.group, item.reason)
        back = min(left.get(key, Decimal(0)), item.amount)
        if back:
            left[key] -= back
        if item.amount > back:
            standing.append(replace(item, amount=item.amount - back) if back else item)
    return standing


def _renamed(
    denied: list[DeniedAdjustment], reasons: list[tuple[int, bytes, bytes]]
) -> list[DeniedAdjustment]:
    """Where a price takes a whole charge, the reason is the one that stands beside it with an amount of 0."""
    beside = {
        line or None: (read_text(group), read_text(reason)) for line, group, reason in reversed(reasons)
    }
    whole = {code.decode() for code in DENIES_WHOLE_CHARGE}
    renamed = []
    for item in denied:
        group, reason = beside.get(item.line_number, ("", ""))
        named = reason and item.reason in whole
        renamed.append(replace(item, group=group, reason=reason) if named else item)
    return renamed
