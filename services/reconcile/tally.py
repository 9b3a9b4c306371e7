"""Claims and dollars added up, per remittance and in total. All amounts in US dollars."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from services.reconcile.files import FileFinding, Held
from services.reconcile.joining import Joined
from services.reconcile.lines import Line, ReceiptLine, RemittanceLine
from services.reconcile.verdicts import REPAIRED, Finding

TALLIES_MAX = 2_000
FINDINGS_MAX = 1_000


@dataclass(slots=True)
class Sum:
    """A number of claims, what was charged for them, and what of it is denied."""

    count: int = 0
    charged: Decimal = Decimal(0)
    denied: Decimal = Decimal(0)

    def add(self, count: int, charged: Decimal, denied: Decimal = Decimal(0)) -> None:
        self.count += count
        self.charged += charged
        self.denied += denied

    def add_line(self, line: Line | Finding) -> None:
        self.add(1, line.charge_amount, line.denied_amount)


@dataclass(slots=True)
class Tally:
    """
    The steps of one remittance; `remittance_id` None adds up all, or those too many to be kept apart.

    `evented` is what the remittance's own count says, `events` what the stream of events holds.
    """

    remittance_id: UUID | None = None
    organization_id: UUID | None = None
    receipt_id: UUID | None = None
    released: bool = True
    cut: int = 0  # remittances that ended too early
    read: Sum = field(default_factory=Sum)
    evented: Sum = field(default_factory=Sum)
    no_event: Sum = field(default_factory=Sum)
    duplicates: Sum = field(default_factory=Sum)
    quarantined: Sum = field(default_factory=Sum)
    dismissed: Sum = field(default_factory=Sum)
    events: Sum = field(default_factory=Sum)
    decided: Sum = field(default_factory=Sum)
    recorded: Sum = field(default_factory=Sum)
    parked: Sum = field(default_factory=Sum)
    on_the_way: Sum = field(default_factory=Sum)
    missing: Sum = field(default_factory=Sum)

    def add_remittance(self, line: RemittanceLine) -> None:
        """Add what ingest read of a remittance."""
        self.released = self.released and line.released
        self.cut += line.cut
        self.read.add(line.claims_read, line.charge_read_amount)
        self.evented.add(line.evented, line.evented_charge_amount, line.denied_amount)
        self.no_event.add(line.no_event, line.no_event_charge_amount)
        self.duplicates.add(line.duplicates, line.duplicate_charge_amount)
        self.quarantined.add(line.quarantined, line.quarantined_charge_amount)
        self.dismissed.add(line.dismissed, line.dismissed_charge_amount)

    def add_event(self, joined: Joined, finding: Finding | None) -> None:
        """Add one event, as far as it came."""
        if joined.event is not None:
            self.events.add_line(joined.event)
        if joined.decision is not None:
            self.decided.add_line(joined.decision)
        if joined.ledger is not None:
            self.recorded.add_line(joined.ledger)
        if finding is None:
            return
        match finding.verdict:
            case "parked":
                self.parked.add_line(finding)
            case "in_flight" | "staged" | "overdue":
                self.on_the_way.add_line(finding)
            case _:
                self.missing.add_line(finding)

    def faults(self) -> list[str]:
        """Say which of the remittance's own sums do not add up; nothing while it is still being read."""
        if not self.released:
            return []
        parts = (self.evented, self.no_event, self.duplicates, self.quarantined, self.dismissed)
        faults = []
        if self.read.count != sum(part.count for part in parts):
            faults.append(f"{self.read.count} claims read, {sum(part.count for part in parts)} accounted for")
        if self.read.charged != sum(part.charged for part in parts):
            faults.append(
                f"${self.read.charged:,.2f} read, ${sum(part.charged for part in parts):,.2f} accounted for"
            )
        if self.evented != self.events:
            faults.append(
                f"{self.evented.count} claims evented (${self.evented.charged:,.2f} charged, "
                f"${self.evented.denied:,.2f} denied), {self.events.count} events "
                f"(${self.events.charged:,.2f} charged, ${self.events.denied:,.2f} denied)"
            )
        return faults


@dataclass(slots=True)
class Comparison:
    """All that one pass found. Bounded: tallies and findings beyond their maximum are only counted."""

    total: Tally = field(default_factory=Tally)
    tallies: dict[UUID, Tally] = field(default_factory=dict)
    others: Tally = field(default_factory=Tally)
    other_remittances: int = 0
    findings: list[Finding] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    files: list[FileFinding] = field(default_factory=list)
    file_verdicts: Counter[str] = field(default_factory=Counter)
    files_hidden: bool = False
    held: Held = field(default_factory=Held)

    def add_receipt(self, line: ReceiptLine, finding: FileFinding | None) -> None:
        """Add a file that ingest did not finish."""
        self.held.add(line)
        if finding is not None:
            self.file_verdicts[finding.verdict] += 1
            if len(self.files) < FINDINGS_MAX:
                self.files.append(finding)

    def add_remittance(self, line: RemittanceLine) -> None:
        self.total.add_remittance(line)
        if len(self.tallies) < TALLIES_MAX:
            self.tallies[line.remittance_id] = Tally(
                line.remittance_id, line.organization_id, line.receipt_id
            )
        else:
            self.other_remittances += 1
        self._tally(line.remittance_id).add_remittance(line)

    def add_event(self, joined: Joined, finding: Finding | None, *, latest: bool = True) -> None:
        """Add one event. A superseded revision must arrive as well, but its dollars count no more."""
        if latest:
            self.total.add_event(joined, finding)
            self._tally(joined.event.remittance_id if joined.event else None).add_event(joined, finding)
        if finding is not None:
            self.verdicts[finding.verdict] += 1
            if len(self.findings) < FINDINGS_MAX:
                self.findings.append(finding)

    def _tally(self, remittance_id: UUID | None) -> Tally:
        return self.others if remittance_id is None else self.tallies.get(remittance_id, self.others)

    def remittances(self) -> Iterable[Tally]:
        """The remittances that are kept apart, then the rest as one."""
        yield from self.tallies.values()
        if self.others != Tally():
            yield self.others

    def faults(self) -> list[tuple[UUID | None, str]]:
        return [(tally.remittance_id, fault) for tally in self.remittances() for fault in tally.faults()]

    def moving(self) -> bool:
        """Tell whether something may still arrive by itself."""
        return bool(self.coming() or self.files_coming()) or not self.total.released

    def coming(self) -> int:
        """Count the events that may still arrive by themselves."""
        return sum(self.verdicts[verdict] for verdict in ("in_flight", "staged", "overdue"))

    def files_coming(self) -> int:
        """Count the files that may still be read by themselves."""
        return self.file_verdicts["being_read"] + self.file_verdicts["stuck"]

    def differs(self) -> bool:
        """Tell whether something is wrong that waiting does not mend."""
        return any(self.verdicts[one] for one in ("missing", "disagrees", "unknown")) or bool(self.faults())

    def repairable(self) -> bool:
        """Tell whether sending again would help."""
        return any(self.verdicts[one] for one in REPAIRED)

    def agrees(self) -> bool:
        """Tell whether all that was released arrived, every sum is right, and no file is left unread."""
        absent = self.verdicts.total() or self.file_verdicts.total()
        return not absent and not self.faults() and self.total.released

    def is_whole(self) -> bool:
        """Tell whether the sums hold all there is: nothing held, hidden from this key, or cut."""
        return not self.held.sets and not self.files_hidden and not self.total.cut
