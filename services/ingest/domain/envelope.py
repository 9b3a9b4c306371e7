"""The envelope's bookkeeping: interchanges, groups, counts, control numbers, refusal."""

from collections import Counter

from services.ingest.domain.block import Block
from services.ingest.domain.findings import Finding, finding
from services.ingest.domain.header import Surroundings
from services.ingest.domain.remittance import FileClosed
from services.ingest.x12.beginnings import Kind
from services.ingest.x12.elements import is_absurd_date, read_count, read_date, read_text, read_text_or_none
from services.ingest.x12.tokenizer import Foreign, Interchange

REMITTANCE = "835"

_FINDINGS_MAX = 500
_VERSIONS = ("005010X221", "004010X091")
_ACKNOWLEDGMENTS = frozenset(("997", "999", "824", "TA1"))


class EnvelopeLedger:
    """What was opened and closed so far. `findings` are the file's own."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._suppressed = False
        self._interchange: Interchange | None = None
        self._group: list[bytes] | None = None
        self._groups = 0  # in the interchange
        self._sets = 0  # in the group
        self._interchanges = 0
        self._complete = True
        self._sets_by_kind: Counter[str] = Counter()
        self._blank_only = True
        self._envelope_like: int | None = None
        self._remittance_like: int | None = None
        self._kind: Kind | None = None  # of a file that begins as no X12 does

    def note(self, found: Finding) -> None:
        if len(self.findings) < _FINDINGS_MAX:
            self.findings.append(found)
        elif not self._suppressed:
            self._suppressed = True
            self.findings.append(finding("more_findings"))

    def foreign(self, foreign: Foreign) -> None:
        """Bytes outside every interchange."""
        if foreign.blank:
            return
        if self._blank_only:
            self._kind = foreign.kind
        self._blank_only = False
        if foreign.envelope_like and self._envelope_like is None:
            self._envelope_like = foreign.offset
        if foreign.remittance_like and self._remittance_like is None:
            self._remittance_like = foreign.offset
        if foreign.remittance_like and not self._interchanges:
            return  # told when the file closes, as the reason of its refusal or among the findings
        self.note(
            finding(
                "text_after_envelope" if self._interchanges else "text_before_envelope",
                byte_offset=foreign.offset,
            )
        )

    def open_interchange(self, interchange: Interchange) -> None:
        self.abandon()
        self._blank_only = False
        self._interchange = interchange
        self._interchanges += 1
        self._groups = 0
        if not interchange.envelope.padded:
            self.note(self._at_interchange("envelope_length"))

    def abandon(self) -> None:
        """The interchange, and perhaps its group, ends without trailers."""
        if self._group is not None and self._interchange is not None:
            self.note(self._at_interchange("group_truncated"))
        if self._interchange is not None:
            self._complete = False
            self.note(self._at_interchange("interchange_truncated"))
        self._interchange = self._group = None

    def _at_interchange(self, code: str) -> Finding:
        opened = self._interchange
        return finding(
            code,
            segment_id="ISA",
            segment_number=opened.number if opened else None,
            byte_offset=opened.offset if opened else None,
        )

    def open_group(self, block: Block, parts: list[bytes]) -> None:
        if self._group is not None:
            self.note(block.finding("group_truncated"))
        self._group = parts
        self._groups += 1
        self._sets = 0
        created = parts[4] if len(parts) > 4 else b""
        if created.strip() and read_date(created) is None:
            self.note(block.finding("date_absurd" if is_absurd_date(created) else "date_unreadable", 0, 4))

    def close_group(self, block: Block, parts: list[bytes]) -> None:
        if self._group is None:
            self.note(block.finding("trailer_without_header"))
            return
        if read_count(parts, 1) != self._sets:
            self.note(block.finding("group_count", 0, 1))
        if not _same(parts, 2, self._group, 6):
            self.note(block.finding("group_control_number", 0, 2))
        self._group = None

    def close_interchange(self, block: Block, parts: list[bytes]) -> None:
        if self._group is not None:
            self.note(block.finding("group_truncated"))
        if self._interchange is not None:
            if read_count(parts, 1) != self._groups:
                self.note(block.finding("interchange_count", 0, 1))
            if not _same(parts, 2, list(self._interchange.envelope.elements), 12):
                self.note(block.finding("interchange_control_number", 0, 2))
        self._interchange = self._group = None

    def acknowledgment(self) -> None:
        """A TA1 stands directly in the interchange."""
        self._sets_by_kind["TA1"] += 1

    def open_set(self, block: Block, parts: list[bytes]) -> str:
        """Count a transaction set; give its kind (ST01)."""
        kind = read_text(parts[1]) if len(parts) > 1 else ""
        self._sets += 1
        self._sets_by_kind[kind] += 1
        if self._group is None:
            self.note(block.finding("set_outside_group"))
        if kind != REMITTANCE:
            self.note(block.finding("other_set", 0, 1))
        elif self._group is not None and not (self._version or "").startswith(_VERSIONS):
            self.note(block.finding("unsupported_version"))
        return kind

    @property
    def remittances(self) -> int:
        return self._sets_by_kind[REMITTANCE]

    @property
    def _version(self) -> str | None:
        return read_text_or_none(self._group or [], 8)

    def surroundings(self) -> Surroundings:
        """Give what a set inherits. Only inside an interchange."""
        if self._interchange is None:
            raise AssertionError  # the tokenizer gives batches only inside interchanges
        envelope = self._interchange.envelope
        isa, group = list(envelope.elements), self._group or []
        return Surroundings(
            delimiters=envelope.delimiters,
            is_test=isa[14] == b"T",
            interchange_control_number=read_text_or_none(isa, 12),
            interchange_sender=read_text_or_none(isa, 5),
            group_control_number=read_text_or_none(group, 6),
            group_created_on=read_date(group[4]) if len(group) > 4 else None,
            version=self._version,
        )

    def close_file(self, bytes_read: int) -> FileClosed:
        self.abandon()
        if self._remittance_like is not None and self.remittances:
            self.note(finding("no_envelope", byte_offset=self._remittance_like))
        refusal = None if self.remittances else self._refusal()
        if not self._interchanges:  # before which no text can stand
            self.findings = [one for one in self.findings if one.code != "text_before_envelope"]
        return FileClosed(
            accepted=refusal is None,
            complete=self._complete and refusal is None,
            refusal=refusal,
            bytes_read=bytes_read,
            transaction_sets=self.remittances,
            findings=tuple(self.findings),
        )

    def _refusal(self) -> Finding:
        if self._blank_only:
            return finding("empty_file")
        if not self._interchanges:
            return self._no_interchange()
        kinds = set(self._sets_by_kind)
        if kinds and kinds <= _ACKNOWLEDGMENTS:
            return finding("only_acknowledgments")
        return finding("only_claim_status" if kinds == {"277"} else "no_remittance")

    def _no_interchange(self) -> Finding:
        if self._kind is not None:
            return finding(self._kind, byte_offset=0)
        if self._remittance_like is not None:
            return finding("no_envelope", byte_offset=self._remittance_like)
        if self._envelope_like is not None:
            return finding("envelope_unreadable", byte_offset=self._envelope_like)
        return finding("not_x12", byte_offset=0)


def _same(parts: list[bytes], at: int, opened: list[bytes], opened_at: int) -> bool:
    """Compare control numbers as numbers where they are: leading zeros are padding."""
    if at >= len(parts) or opened_at >= len(opened):
        return False
    return parts[at].strip().lstrip(b"0") == opened[opened_at].strip().lstrip(b"0")
