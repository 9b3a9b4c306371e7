"""What `reprieve validate` says of a file: every finding in order, and a verdict."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.ingest.domain.findings import Finding
from services.ingest.domain.reader import read
from services.ingest.domain.remittance import ClaimQuarantined, ClaimRead, FileClosed, SetClosed

_SHOWN_MAX = 1_000


@dataclass(slots=True)
class Report:
    """One file's findings, in the order of reading; `more` counts those that are not kept."""

    name: str
    unreadable: str | None = None
    refused: bool = False
    transaction_sets: int = 0
    claims: int = 0
    quarantined: int = 0
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    worse_than_notes: int = 0

    @property
    def status(self) -> int:
        """0 clean, 1 findings, 2 unreadable or refused."""
        return 2 if self.unreadable or self.refused else 1 if self.worse_than_notes else 0

    @property
    def verdict(self) -> str:
        if self.unreadable:
            return f"cannot be opened. {self.unreadable}."
        if self.refused:
            return "refused."
        what = f"{_counted(self.transaction_sets, 'remittance')}, {_counted(self.claims, 'claim')}"
        if self.quarantined:
            what += f", {self.quarantined} of them quarantined"
        faults = _counted(self.worse_than_notes, "finding") if self.worse_than_notes else "no findings"
        return f"accepted: {what}, {faults}."

    def note(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.worse_than_notes += finding.severity != "note"
            if len(self.findings) < _SHOWN_MAX:
                self.findings.append(finding)
            else:
                self.more += 1


def check(name: str, blocks: Iterable[bytes]) -> Report:
    """Read a file to its end and report."""
    report = Report(name)
    for item in read(blocks):
        match item:
            case ClaimRead(claim=claim):
                report.claims += 1
                report.note(claim.findings)
            case ClaimQuarantined(findings=findings):
                report.claims += 1
                report.quarantined += 1
                report.note(findings)
            case SetClosed(findings=findings):
                report.note(findings)
            case FileClosed(refusal=refusal, findings=findings, transaction_sets=sets):
                report.note([refusal] if refusal else ())
                report.note(findings)
                report.refused = refusal is not None
                report.transaction_sets = sets
    report.findings.sort(key=lambda finding: finding.byte_offset or 0)
    return report


def add_conformance(report: Report, findings: Iterable[Finding]) -> None:
    """Add what the implementation guide forbids to what keeps a file from being read; in the file's order."""
    report.note(findings)
    report.findings.sort(key=lambda finding: finding.segment_number or 0)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
