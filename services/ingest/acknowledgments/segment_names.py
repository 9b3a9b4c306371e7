"""
Names of segments that may be shown. Where a terminator was lost or a line broke, a segment's name may be a
word of the data, even a patient's; so only names that the standards know are ever repeated.
"""

from services.ingest.domain.block import SEGMENT_IDS

UNNAMED = "ZZZ"
"""Stands for a name that may not be shown: IK301 must hold two or three characters."""

_835 = frozenset(name.decode() for name in SEGMENT_IDS)
# Segments of the other transaction sets of X12N (270 to 278, 820, 834, 837, 997, 999, 824).
_OTHERS = frozenset(
    name.decode()
    for name in b"""
    AAA ACT ADX AK1 AK2 AK3 AK4 AK5 AK9 BGN BHT BLE CL1 CLM CN1 COB CR1 CR2 CR3 CR4 CR5 CR6
    CR7 CR8 CRC CTP CTX DMG DN1 DN2 DSB DTP EB EC ENT EQ FA1 FA2 FRM HCP HCR HD HI HL
    HLH HSD ICM IDC IHS III IK3 IK4 IK5 IMM INS IT1 K3 LE LIN LOC LS LUI LUC MEA MPI MSG
    OI OTI PAT PLA PRV PS1 PWK RED RMR RMT SBR SLN STC SV1 SV2 SV3 SV4 SV5 SV6 SVD TED TOO
    UM VEH
    """.split()
)


def in_835(name: str) -> bool:
    return name in _835


def printable_id(name: str) -> str:
    return name if name in _835 or name in _OTHERS else UNNAMED
