"""
Invented remittances: seeded, balanced to the cent, of any size, in constant memory.

For benchmarks, demonstrations and load tests. Names are made of syllables, numbers are drawn at random:
nobody in here exists. Prices come from a fee schedule, as in life, so that amounts repeat. The same
simulation gives the same bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate
from random import Random

# Not a secret: the same seed must give the same file.
# ruff: noqa: S311


@dataclass(frozen=True, slots=True)
class SimulatedPayer:
    """A payer and what kind of plan it says it is (CLP06)."""

    name: str
    payer_id: str
    filing_indicator: str


PAYERS = (
    SimulatedPayer("UNITEDHEALTHCARE", "87726", "12"),
    SimulatedPayer("PRIORITY HEALTH", "38217", "HM"),
    SimulatedPayer("INDEPENDENCE BLUE CROSS", "54704", "12"),
    SimulatedPayer("HEALTH PLAN OF SAN JOAQUIN", "68035", "MC"),
    SimulatedPayer("TEXAS MEDICAID TMHP", "86916", "MC"),
    SimulatedPayer("NORTHERN LANTERN HEALTH", "SIM01", "12"),
    SimulatedPayer("COBBLESTONE MUTUAL", "SIM02", "15"),
)


@dataclass(frozen=True, slots=True)
class Simulation:
    """
    What to simulate. Ends at `claims`, or with the first transaction set that reaches `size_bytes`.

    `denied` and `reversed` are fractions of the claims; `authorization` is the fraction of the denials
    that an authorization caused. `paid_on` is the payment date of the first set; later sets follow it.
    """

    seed: int = 1
    claims: int | None = 20_000
    size_bytes: int | None = None
    denied: float = 0.15
    authorization: float = 0.5
    reversed: float = 0.01
    claims_per_set: int = 1_000
    paid_on: date = date(2026, 11, 2)
    payers: Sequence[SimulatedPayer] = PAYERS
    payee_name: str = "LANTERN VALLEY CLINIC"
    payee_npi: str = "1234567893"
    payee_tin: str = "990000001"
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class _Denial:
    group: str
    reason: str
    remarks: tuple[str, ...] = ()
    partial: bool = False  # only some of the units


_AUTHORIZATION = (
    _Denial("CO", "197"),
    _Denial("CO", "197", ("M62",)),
    _Denial("CO", "197", ("MA01", "N1")),
    _Denial("PR", "197"),
    _Denial("CO", "198", ("N640",), partial=True),
    _Denial("CO", "302", ("N351",)),
    _Denial("CO", "284", ("N54",)),
    _Denial("CO", "296"),
    _Denial("CO", "210", ("N385",)),
    _Denial("CO", "243"),
    _Denial("CO", "39"),
)
_OTHER = (
    _Denial("CO", "16", ("N382",)),
    _Denial("CO", "50", ("N115",)),
    _Denial("CO", "97", ("M15",)),
    _Denial("CO", "29"),
    _Denial("PR", "27"),
    _Denial("OA", "18"),
    _Denial("CO", "22"),
    _Denial("PR", "204", ("N130",)),
    _Denial("CO", "151", ("N362",), partial=True),
    _Denial("CO", "252", ("M127",)),
    _Denial("CO", "96", ("N30",)),
)
_PROCEDURES = (
    "99213",
    "99214",
    "99285",
    "70450",
    "70551",
    "72148",
    "93306",
    "97110",
    "64483",
    "29881",
    "43239",
    "J1745",
    "E0601",
    "27447",
)
_FEES = 400
_MODIFIERS = ("", "", "", ":25", ":26", ":59", ":RT", ":LT:59")
_SYLLABLES = (
    "ba",
    "den",
    "fo",
    "gri",
    "hal",
    "is",
    "jo",
    "ka",
    "lum",
    "mar",
    "nev",
    "or",
    "pel",
    "quil",
    "ro",
    "sa",
    "tor",
    "ul",
    "vin",
    "wes",
    "yar",
    "zo",
)
_PLACES = ("11", "11", "22", "23", "21", "24")


def simulate(simulation: Simulation) -> Iterator[bytes]:
    """Give the file in blocks, one per transaction set."""
    return _Writer(simulation).blocks()


def npi(nine_digits: str) -> str:
    """Complete nine digits to a National Provider Identifier: Luhn's digit, as if 80840 stood before."""
    total = 24  # what the prefix 80840 adds
    for index, digit in enumerate(reversed(nine_digits)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return nine_digits + str(-total % 10)


@dataclass(frozen=True, slots=True)
class _Fee:
    """What a procedure costs (cents), and what each payer's contract allows of it."""

    procedure: str
    charge: int
    allowed_percent: tuple[int, ...]


@dataclass(slots=True)
class _Line:
    charge: int  # cents
    paid: int
    adjustments: list[tuple[str, str, int]]
    procedure: str
    units: int
    remarks: tuple[str, ...] = ()


class _Writer:
    """The running state: the random source, and the counts that the trailers need."""

    def __init__(self, simulation: Simulation) -> None:
        self._wanted = simulation
        self._random = Random(simulation.seed)
        self._written_bytes = 0
        self._claims = 0
        self._sets = 0
        self._fees = [self._fee(procedure) for procedure in self._procedures()]
        # A few procedures make most of the claims, as in life: the tenth is done half as often as the first.
        self._weights = list(accumulate(1 / (rank + 8) for rank in range(len(self._fees))))
        self._rendering = [npi(f"19{self._random.randrange(10**7):07d}") for _ in range(24)]

    def _procedures(self) -> list[str]:
        invented = {f"{self._random.randrange(10_004, 99_500):05d}" for _ in range(_FEES - len(_PROCEDURES))}
        return [*_PROCEDURES, *sorted(invented)]

    def _fee(self, procedure: str) -> _Fee:
        percents = tuple(self._random.randrange(40, 86) for _ in self._wanted.payers)
        return _Fee(procedure, self._random.randrange(2_000, 250_000), percents)

    def blocks(self) -> Iterator[bytes]:
        day = self._wanted.paid_on
        kind = "T" if self._wanted.is_test else "P"
        yield self._count(
            f"ISA*00*          *00*          *ZZ*SIMULATEDSENDER*ZZ*{self._wanted.payee_npi:<15}"
            f"*{day:%y%m%d}*0600*^*00501*{self._wanted.seed % 10**9:09d}*0*{kind}*:~"
            f"GS*HP*SIMULATEDSENDER*{self._wanted.payee_npi}*{day:%Y%m%d}*0600*1*X*005010X221A1~"
        )
        while not self._is_done():
            yield self._count(self._transaction_set())
        yield self._count(f"GE*{self._sets}*1~IEA*1*{self._wanted.seed % 10**9:09d}~")

    def _is_done(self) -> bool:
        if self._wanted.size_bytes is not None:
            return self._written_bytes >= self._wanted.size_bytes
        return self._claims >= (self._wanted.claims or 0)

    def _count(self, text: str) -> bytes:
        block = text.encode("ascii")
        self._written_bytes += len(block)
        return block

    def _transaction_set(self) -> str:
        """One set: its claims are made first, because its header tells their sum."""
        self._sets += 1
        payer = self._wanted.payers[(self._sets - 1) % len(self._wanted.payers)]
        paid_on = self._wanted.paid_on + timedelta(days=(self._sets - 1) // len(self._wanted.payers))
        count = self._wanted.claims_per_set
        if self._wanted.size_bytes is None:
            count = min(count, (self._wanted.claims or 0) - self._claims)
        body: list[str] = []
        paid = 0
        begun = self._claims
        while self._claims < begun + count:
            paid += self._claim(body, payer, paid_on, room=begun + count - self._claims)
        plb, kept = self._provider_adjustment(paid, paid_on)
        return self._framed(payer, paid_on, body + plb, paid=paid - kept)

    def _framed(self, payer: SimulatedPayer, paid_on: date, body: list[str], *, paid: int) -> str:
        wanted = self._wanted
        method = "ACH*CCP*01*111000025*DA*123456" if paid else "NON****"
        receiver = "01*111000025*DA*654321" if paid else "***"
        trace = f"SIM{wanted.seed % 10**6:06d}{self._sets:06d}"
        control = f"{self._sets:04d}"
        segments = [
            f"ST*835*{control}",
            f"BPR*{'I' if paid else 'H'}*{_dollars(paid)}*C*{method}*1990000009**{receiver}*{paid_on:%Y%m%d}",
            f"TRN*1*{trace}*1990000009",
            f"DTM*405*{paid_on:%Y%m%d}",
            f"N1*PR*{payer.name}*XV*{payer.payer_id}",
            "N3*1 INVENTED AVENUE",
            "N4*SPRINGFIELD*TX*757010000",
            f"REF*2U*{payer.payer_id}",
            "PER*BL*REMITTANCE DESK*TE*8005550100",
            f"N1*PE*{wanted.payee_name}*XX*{wanted.payee_npi}",
            f"REF*TJ*{wanted.payee_tin}",
            "LX*1",
            *body,
        ]
        segments.append(f"SE*{len(segments) + 1}*{control}")
        return "~".join(segments) + "~"

    def _claim(self, body: list[str], payer: SimulatedPayer, paid_on: date, *, room: int) -> int:
        """Write one claim, or a reversal with its correction; give what it pays, in cents."""
        random = self._random
        person = self._person()
        number = f"SIM{self._wanted.seed % 10**4:04d}{self._claims:08d}"
        served_on = paid_on - timedelta(days=random.randrange(12, 75))
        head = (number, person, payer, served_on)
        if room >= 2 and random.random() < self._wanted.reversed:
            return self._corrected(body, *head)
        lines = self._lines(denied=random.random() < self._wanted.denied)
        self._claims += 1
        return self._write(body, *head, lines=lines, payer_number=self._payer_number(), status="1")

    def _corrected(
        self, body: list[str], number: str, person: str, payer: SimulatedPayer, served_on: date
    ) -> int:
        """An earlier payment taken back (22, all amounts negated), then the claim decided again."""
        before = self._lines(denied=False)
        negated = [
            _Line(
                -line.charge,
                -line.paid,
                [(group, reason, -cents) for group, reason, cents in line.adjustments],
                line.procedure,
                line.units,
            )
            for line in before
        ]
        number_at_payer = self._payer_number()
        self._claims += 2
        taken = self._write(
            body, number, person, payer, served_on, lines=negated, payer_number=number_at_payer, status="22"
        )
        after = self._deny(before) if self._random.random() < self._wanted.denied else before
        return taken + self._write(
            body, number, person, payer, served_on, lines=after, payer_number=number_at_payer, status="1"
        )

    def _write(
        self,
        body: list[str],
        number: str,
        person: str,
        payer: SimulatedPayer,
        served_on: date,
        *,
        lines: list[_Line],
        payer_number: str,
        status: str,
    ) -> int:
        charge = sum(line.charge for line in lines)
        paid = sum(line.paid for line in lines)
        share = sum(c for line in lines for group, _, c in line.adjustments if group == "PR")
        served = f"{served_on:%Y%m%d}"
        patient_share = _dollars(share) if share and status != "22" else ""
        place = _PLACES[charge % len(_PLACES)]
        amounts = f"{_dollars(charge)}*{_dollars(paid)}*{patient_share}"
        body += [
            f"CLP*{number}*{status}*{amounts}*{payer.filing_indicator}*{payer_number}*{place}*1",
            person,
            f"NM1*82*1*{self._name()}*{self._name()}****XX*{self._random.choice(self._rendering)}",
            f"REF*1L*SIMGROUP{charge % 97:02d}",
            f"DTM*232*{served}",
            f"DTM*233*{served}",
            f"DTM*050*{served_on + timedelta(days=4):%Y%m%d}",
        ]
        for index, line in enumerate(lines, 1):
            body.append(
                f"SVC*HC:{line.procedure}*{_dollars(line.charge)}*{_dollars(line.paid)}**{line.units}"
            )
            body.append(f"DTM*472*{served}")
            body.extend(f"CAS*{group}*{reason}*{_dollars(c)}" for group, reason, c in line.adjustments)
            body.append(f"REF*6R*{index}")
            allowed = line.paid + sum(c for group, _, c in line.adjustments if group == "PR")
            if allowed > 0:
                body.append(f"AMT*B6*{_dollars(allowed)}")
            body.extend(f"LQ*HE*{remark}" for remark in line.remarks)
        return paid

    def _lines(self, *, denied: bool) -> list[_Line]:
        lines = [self._paid_line() for _ in range(self._random.choice((1, 2, 2, 3, 3, 4, 5, 6)))]
        return self._deny(lines) if denied else lines

    def _paid_line(self) -> _Line:
        """A line at the prices of the payer's contract: charge and allowance depend on the procedure."""
        random = self._random
        fee = random.choices(self._fees, cum_weights=self._weights)[0]
        units = random.choice((1, 1, 1, 2, 4))
        charge = fee.charge * units
        allowed = charge * fee.allowed_percent[self._sets % len(fee.allowed_percent)] // 100
        share, reason = random.choice(((0, ""), (0, ""), (2_500, "3"), (allowed // 5, "2"), (allowed, "1")))
        share = min(share, allowed)
        adjustments = [("CO", "45", charge - allowed)]
        if share:
            adjustments.append(("PR", reason, share))
        procedure = fee.procedure + random.choice(_MODIFIERS)
        return _Line(charge, allowed - share, adjustments, procedure, units)

    def _deny(self, lines: list[_Line]) -> list[_Line]:
        """Deny one line, or all; or some units of one."""
        random = self._random
        mix = _AUTHORIZATION if random.random() < self._wanted.authorization else _OTHER
        denial = random.choice(mix)
        if denial.partial:
            victim = random.randrange(len(lines))
            return [_partly(line, denial) if i == victim else line for i, line in enumerate(lines)]
        victims = range(len(lines)) if random.random() < 0.4 else (random.randrange(len(lines)),)
        return [_wholly(line, denial) if i in victims else line for i, line in enumerate(lines)]

    def _provider_adjustment(self, paid: int, paid_on: date) -> tuple[list[str], int]:
        """
        Give the PLB and what it keeps back, in cents.

        In one set of four the payer recovers something (WO). A set that would pay less than nothing carries
        its balance forward (FB): a payment is never negative.
        """
        chance, kept = self._random.random(), self._random.randrange(1_000, 90_000)
        reason = "FB" if paid < 0 else "WO"
        if paid < 0:
            kept = paid
        elif chance >= 0.25 or paid <= kept:
            return [], 0
        reference = f"SIM{self._random.randrange(10**8):08d}"
        npi_and_year = f"{self._wanted.payee_npi}*{paid_on.year}1231"
        return [f"PLB*{npi_and_year}*{reason}:{reference}*{_dollars(kept)}"], kept

    def _person(self) -> str:
        member = f"SIM{self._random.randrange(10**9):09d}"
        return f"NM1*QC*1*{self._name()}*{self._name()}****MI*{member}"

    def _name(self) -> str:
        return "".join(self._random.choice(_SYLLABLES) for _ in range(3)).upper()

    def _payer_number(self) -> str:
        return f"{self._random.randrange(10**13):013d}"


def _wholly(line: _Line, denial: _Denial) -> _Line:
    return _Line(
        line.charge,
        0,
        [(denial.group, denial.reason, line.charge)],
        line.procedure,
        line.units,
        denial.remarks,
    )


def _partly(line: _Line, denial: _Denial) -> _Line:
    """Half of what would have been paid is refused; a line that pays nothing is refused wholly."""
    refused = line.paid // 2
    if refused == 0:
        return _wholly(line, denial)
    adjustments = [*line.adjustments, (denial.group, denial.reason, refused)]
    return _Line(line.charge, line.paid - refused, adjustments, line.procedure, line.units, denial.remarks)


def _dollars(cents: int) -> str:
    """Write cents as X12 wants amounts: no trailing zeros, no point without digits behind it."""
    return format(Decimal(cents).scaleb(-2).normalize(), "f") if cents else "0"
