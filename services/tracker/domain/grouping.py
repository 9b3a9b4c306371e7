"""
Which observations of a claim key speak of the same claim.

A key is a superset on purpose: providers reuse claim numbers. Observations are of one claim when payer and
patient are the same and either the payer's claim number (CLP07) is equal or the dates of service overlap.
Where a remittance leaves out what would tell, the observation joins a claim only if there is a single
candidate; otherwise it stays alone, and a person has to look at it and at the candidates.

Everything here is computed from the whole set, so the order of arrival cannot matter.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from services.tracker.domain.observations import Observation
from shared.contracts.claim import SealedPerson


@dataclass(frozen=True, slots=True)
class Claim:
    """Observations of one claim, in order. `uncertain`: something may belong here, or elsewhere."""

    members: tuple[Observation, ...]
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """Observations that surely belong together, and what is known of payer, patient and dates."""

    members: tuple[Observation, ...]
    payer: int | None
    patient: int | None

    @property
    def complete(self) -> bool:
        return self.payer is not None and self.patient is not None and any(map(_span, self.members))

    def may_be(self, other: "_Part") -> bool:
        return (
            _agree(self.payer, other.payer)
            and _agree(self.patient, other.patient)
            and any(_dates_or_number_agree(one, two) for one in self.members for two in other.members)
        )


def group(observations: Sequence[Observation]) -> list[Claim]:
    """Group ordered observations of one claim key into claims. Test files never join production."""
    if len(observations) == 1:  # most keys, and the only case that has to be fast
        return [Claim(tuple(observations))]
    return [
        claim
        for is_test in (False, True)
        if (some := [one for one in observations if one.is_test is is_test])
        for claim in _settle(_sure_parts(some))
    ]


def _sure_parts(observations: Sequence[Observation]) -> list[_Part]:
    payers = _classes([_payer_tokens(one) for one in observations])
    patients = _classes(_patient_tokens(observations))
    runs = _date_runs(observations, payers, patients)
    tokens: list[list[Hashable]] = []
    for one, payer, patient, run in zip(observations, payers, patients, runs, strict=True):
        own: list[Hashable] = [] if run is None else [(payer, patient, "dates", run)]
        if one.payer_claim_number:
            own.append((payer, patient, "number", one.payer_claim_number))
        tokens.append(own)
    parts: dict[int, list[int]] = defaultdict(list)
    for index, part in enumerate(_classes(tokens, alone=True)):
        parts[part or 0].append(index)
    return [
        _Part(tuple(observations[index] for index in own), payers[own[0]], patients[own[0]])
        for own in parts.values()
    ]


def _settle(parts: Sequence[_Part]) -> list[Claim]:
    """Let each incomplete part join its only candidate; complete candidates count before incomplete ones."""
    complete = [index for index, part in enumerate(parts) if part.complete]
    incomplete = [index for index, part in enumerate(parts) if not part.complete]
    joins: dict[int, int] = {}
    uncertain: set[int] = set()
    lone: list[int] = []
    for index in incomplete:
        candidates = [other for other in complete if parts[index].may_be(parts[other])]
        if len(candidates) == 1:
            joins[index] = candidates[0]
        elif candidates:
            uncertain.update(candidates, (index,))
        else:
            lone.append(index)
    peers = {one: [two for two in lone if two != one and parts[one].may_be(parts[two])] for one in lone}
    for one, others in peers.items():
        if len(others) == 1 and peers[others[0]] == [one]:
            joins[max(one, others[0])] = min(one, others[0])
        elif others:
            uncertain.update(others, (one,))
    members: dict[int, list[Observation]] = defaultdict(list)
    for index, part in enumerate(parts):
        members[joins.get(index, index)].extend(part.members)
    return [
        Claim(
            tuple(sorted(own, key=lambda one: (one.payer_date, one.position, one.event_id))),
            index in uncertain,
        )
        for index, own in members.items()
    ]


def _payer_tokens(one: Observation) -> list[Hashable]:
    """Ids as sent, whatever their qualifier, and the name: payers put the same number in different places."""
    tokens: list[Hashable] = [("id", reference.value.strip().upper()) for reference in one.payer.ids]
    if one.payer.name:
        tokens.append(("name", " ".join(one.payer.name.upper().split())))
    return tokens


def _patient_tokens(observations: Sequence[Observation]) -> list[list[Hashable]]:
    """
    Tell patients apart by name first: a family shares one member id, and often one account number.

    A member id alone, or in an NM1*74 correction, stands for the only name seen with it.
    """
    names: dict[str, set[str]] = defaultdict(set)
    for one in observations:
        if one.patient and one.patient.name_index and one.patient.member_id_index:
            names[one.patient.member_id_index].add(one.patient.name_index)
    return [
        [
            token
            for person in (one.patient, one.corrected_patient)
            if person
            for token in _person_tokens(person, names, corrected=person is one.corrected_patient)
        ]
        for one in observations
    ]


def _person_tokens(person: SealedPerson, names: dict[str, set[str]], *, corrected: bool) -> list[Hashable]:
    tokens: list[Hashable] = [("name", person.name_index)] if person.name_index else []
    if person.member_id_index and (corrected or not person.name_index):
        known = names.get(person.member_id_index, set())
        if len(known) == 1:
            tokens.append(("name", next(iter(known))))
        elif not known:
            tokens.append(("member id", person.member_id_index))
    return tokens


def _date_runs(
    observations: Sequence[Observation], payers: Sequence[int | None], patients: Sequence[int | None]
) -> list[int | None]:
    """Number the runs of overlapping dates of service of each payer and patient; None has no date."""
    runs: list[int | None] = [None] * len(observations)
    last_day: dict[tuple[int | None, int | None], date] = {}
    run = 0
    spans = sorted((span, index) for index, one in enumerate(observations) if (span := _span(one)))
    current: dict[tuple[int | None, int | None], int] = {}
    for (first, last), index in spans:
        who = payers[index], patients[index]
        if who not in last_day or first > last_day[who]:
            run += 1
            current[who], last_day[who] = run, last
        last_day[who] = max(last_day[who], last)
        runs[index] = current[who]
    return runs


def _span(one: Observation) -> tuple[date, date] | None:
    first = one.service_from or one.service_to
    if first is None:
        return None
    last = one.service_to or first
    return min(first, last), max(first, last)


def _agree(one: int | None, two: int | None) -> bool:
    return one is None or two is None or one == two


def _dates_or_number_agree(one: Observation, two: Observation) -> bool:
    if one.payer_claim_number and one.payer_claim_number == two.payer_claim_number:
        return True
    first, second = _span(one), _span(two)
    return first is None or second is None or (first[0] <= second[1] and second[0] <= first[1])


def _classes(tokens: Sequence[Iterable[Hashable]], *, alone: bool = False) -> list[int | None]:
    """
    Number the items so that those that share a token, directly or through others, share the number.

    An item without tokens gets None, or with `alone` a number of its own.
    """
    parent = list(range(len(tokens)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    first: dict[Hashable, int] = {}
    for item, own in enumerate(tokens):
        for token in own:
            one, two = root(item), root(first.setdefault(token, item))
            parent[max(one, two)] = min(one, two)
    has_token = [bool(list(own)) for own in tokens]
    return [root(item) if alone or has_token[item] else None for item in range(len(tokens))]
