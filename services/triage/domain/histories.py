"""The observations of one claim key, before and after something new: whose decision that may change."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from uuid import UUID

from msgspec import Struct

from shared.contracts.claim import ClaimObserved
from shared.contracts.claim_denied import ClaimDenied


class Others(Struct, frozen=True, eq=False):
    """
    What other remittances of a denial's claim key say, in any order.

    `partial`: some cannot be read any more, or are too many to be read.
    """

    seen: Sequence[ClaimObserved] = ()
    partial: bool = False

    def known_on(self, event: ClaimDenied) -> date:
        """Give the day on which all was here that is dated before this denial, so that it may tell of it."""
        earlier = [one.received_on for one in self.seen if one.payer_date < event.payer_date]
        return max([event.received_on, *earlier])


NO_OTHERS = Others()


ClaimKey = tuple[UUID, UUID]
"""Organization, claim key."""


class History(Struct, frozen=True, eq=False):
    """
    The observations of one claim key by event id, each in its highest revision.

    `before` is how they stood without what is new now.
    """

    before: Mapping[UUID, ClaimObserved]
    after: Mapping[UUID, ClaimObserved]
    partial: bool = False

    def others(self, event: ClaimDenied) -> Others:
        """Give what there is beside this event."""
        return self._beside(event, self.after)

    def others_before(self, event: ClaimDenied) -> Others:
        """Give what there was beside this event."""
        return self._beside(event, self.before)

    def touched(self) -> Iterator[ClaimDenied]:
        """Give the denials that were here and are dated after something new, so that it may tell of them."""
        new = [one for event_id, one in self.after.items() if self.before.get(event_id) is not one]
        replaced = [self.before[one.event_id] for one in new if one.event_id in self.before]
        since = min((one.payer_date for one in (*new, *replaced)), default=date.max)
        for event_id, one in self.before.items():
            if isinstance(one, ClaimDenied) and one.payer_date > since and self.after[event_id] is one:
                yield one

    def _beside(self, event: ClaimDenied, seen: Mapping[UUID, ClaimObserved]) -> Others:
        return Others([one for one in seen.values() if one.event_id != event.event_id], self.partial)


def others_of(histories: Mapping[ClaimKey, History], event: ClaimDenied) -> Others:
    """Give what other remittances say of a denial's claim key; nothing where it is the only one."""
    history = histories.get((event.organization_id, event.claim_key)) if histories else None
    return NO_OTHERS if history is None else history.others(event)
