"""Everything that is known of one claim key: what a fold of it needs, whoever makes it."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tracker.domain.cases import Case
from services.tracker.domain.fold import Denied, denied_claims, fold
from services.tracker.domain.observations import Observation, read_observation
from services.tracker.domain.steps import Made
from services.tracker.store import cases, ledger
from services.tracker.store.ledger import ClaimKey
from services.tracker.store.steps import steps_of_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClaim:
    """The observations, cases and steps of a claim key; ordinals below `first_ordinal` were purged."""

    observations: list[Observation]
    cases: list[Case]
    steps: list[Made]
    first_ordinal: int

    @property
    def by_id(self) -> dict[UUID, Case]:
        return {case.case_id: case for case in self.cases}

    def steps_of(self, case_id: UUID) -> list[Made]:
        """Give the steps of a case and of those that turned out to be parts of it."""
        owners = {case.case_id: case.merged_into or case.case_id for case in self.cases}
        return [made for made in self.steps if owners.get(made.case_id) == case_id]

    def denied(self, case_id: UUID) -> Denied | None:
        """Give the claim behind a case; None where the case has ended."""
        found = denied_claims(self.observations, self.cases, first_ordinal=self.first_ordinal)
        return next((one for one in found if one.case_id == case_id), None)

    def folded(self, *further: Made) -> list[Case]:
        """Fold, with further steps if there are any."""
        return fold(
            self.observations,
            self.cases,
            steps=[*self.steps, *further],
            first_ordinal=self.first_ordinal,
        )


async def load_claim(connection: AsyncConnection, key: ClaimKey) -> KnownClaim:
    """Load a claim key. The shard must be locked, so that nobody moves it meanwhile."""
    payloads = await ledger.newest_payloads(connection, key.claim_key)
    known = await cases.known_cases(connection, [key])
    ordinals = {} if all(payloads) else await cases.first_free_ordinals(connection, [key])
    return KnownClaim(
        observations=[read_observation(one) for one in payloads if one],
        cases=known.get(key, []),
        steps=(await steps_of_keys(connection, [key])).get(key, []),
        first_ordinal=ordinals.get(key, 0),
    )
