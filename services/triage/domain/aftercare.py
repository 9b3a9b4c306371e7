"""What a payer's policy says about the time after a request went out: whom to ask, and how often."""

from functools import lru_cache

from services.triage.domain.policies import PayerMatch
from shared.contracts.decision import Contact, FollowUp


@lru_cache(maxsize=1024)
def contacts_of(match: PayerMatch) -> tuple[Contact, ...]:
    """Give whom to call or write to; nobody where no policy knows the payer."""
    if match.by_default:
        return ()
    return tuple(
        dict.fromkeys(
            Contact(purpose=one.purpose, where=one.where)
            for policy in match.policies
            for one in policy.file.contacts
        )
    )


@lru_cache(maxsize=1024)
def follow_up_of(match: PayerMatch) -> FollowUp | None:
    """Give the interval of the first policy that names one, with the days off that this payer keeps."""
    if match.by_default:
        return None
    for policy in match.policies:
        file = policy.file
        if file.follow_up_days is not None:
            return FollowUp(
                days=file.follow_up_days,
                usual_only=file.holidays == "usual",
                states=file.states,
                closed=file.closed_days,
                open=file.open_days,
            )
    return None
