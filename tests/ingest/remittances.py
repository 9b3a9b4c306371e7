"""Small balanced 835s with invented people, written as the tests need them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

NPI = "1234567893"
OTHER_NPI = "1982736450"


@dataclass(frozen=True)
class TestClaim:
    """`paid` below `charge` is denied with CO-197; a reversal carries negated amounts."""

    __test__ = False

    number: str
    charge: int = 500
    paid: int = 0
    payer_number: str = ""
    status: str = "1"
    reason: str = "197"
    code: str = "99213"

    def segments(self) -> list[str]:
        sign = -1 if self.status == "22" else 1
        charge, paid = sign * self.charge, sign * self.paid
        lines = [
            f"CLP*{self.number}*{self.status}*{charge}*{paid}**12*{self.payer_number or 'P' + self.number}*11*1",
            "NM1*QC*1*DOE*JANE****MI*MEMBER123",
            f"SVC*HC:{self.code}*{charge}*{paid}**1",
            "DTM*472*20260210",
        ]
        if charge != paid:
            lines.append(f"CAS*CO*{self.reason}*{charge - paid}")
        return lines

    @property
    def net(self) -> int:
        return -self.paid if self.status == "22" else self.paid


def denied(number: str, **more) -> TestClaim:
    return TestClaim(number, **more)


def paid(number: str, **more) -> TestClaim:
    return TestClaim(number, **{"paid": more.get("charge", 500), **more})


def reversed_(number: str, **more) -> TestClaim:
    return TestClaim(number, **{"status": "22", "paid": more.get("charge", 500), **more})


@dataclass(frozen=True)
class TestSet:
    __test__ = False

    claims: Sequence[TestClaim]
    trace: str = "TRACE1"
    npi: str = NPI
    raw: Sequence[str] = field(default_factory=tuple)


def remittance(*sets: TestSet, control: int = 1, usage: str = "P") -> bytes:
    """Write one interchange with one 835 per set."""
    lines = [
        f"ISA*00*          *00*          *ZZ*CLEARINGHOUSE  *ZZ*PROVIDER       *260301*1200*^*00501*{control:09}*0*{usage}*:",
        f"GS*HP*CLEARINGHOUSE*PROVIDER*20260301*1200*{control}*X*005010X221A1",
    ]
    for ordinal, one in enumerate(sets, 1):
        lines += _set(one, ordinal)
    lines += [f"GE*{len(sets)}*{control}", f"IEA*1*{control:09}"]
    return "".join(f"{line}~\n" for line in lines).encode()


def _set(one: TestSet, ordinal: int) -> list[str]:
    total = sum(claim.net for claim in one.claims)
    body = [
        f"ST*835*{ordinal:04}",
        f"BPR*I*{total}*C*ACH*CCP*01*999999999*DA*123456789*1512345678**01*999999999*DA*123456789*20260301",
        f"TRN*1*{one.trace}*1512345678",
        "DTM*405*20260301",
        "N1*PR*SAMPLE HEALTH PLAN",
        "N3*1 MAIN STREET",
        "N4*COLUMBUS*OH*43215",
        "PER*BL*SUPPORT*TE*8005550100",
        f"N1*PE*SAMPLE CLINIC*XX*{one.npi}",
        "LX*1",
        *(line for claim in one.claims for line in claim.segments()),
        *one.raw,
    ]
    return [*body, f"SE*{len(body) + 1}*{ordinal:04}"]
