"""
All payers' rules, indexed so that finding a payer's is a look-up.

A payer matches by its ids as sent, or by its normalised name. What matches twice, or not at all, gets the
cautious default and says so: a wrong policy would show days that do not exist.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import cast

from msgspec import Struct

from services.triage.domain.conditions import OF_AN_HMO, line_of_business
from services.triage.domain.facts import Facts
from services.triage.domain.policy import Policy, read_policy
from shared.contracts.claim import ALIAS, Party
from shared.contracts.claim_denied import ClaimDenied
from shared.contracts.decision import FactKind
from shared.errors import InvalidInputError

_LEGAL_FORMS = re.compile(r"\b(INC|INCORPORATED|LLC|CORP|CORPORATION|CO|COMPANY|THE|LTD)\b")
_NOT_ALPHANUMERIC = re.compile(r"[^A-Z0-9]+")


class PayerMatch(Struct, frozen=True, kw_only=True, cache_hash=True):
    """
    The policies that apply to a claim, the most specific first, and how they were found.

    `by_default`: no payer's own policy applies. `ambiguous`: several could, and `missing` may settle it.
    `fallback` lends its uncertain clocks where the payer's own policies are silent about a way.
    """

    policies: tuple[Policy, ...]
    how: str
    by_default: bool = False
    ambiguous: bool = False
    missing: tuple[FactKind, ...] = ()
    fallback: Policy | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Policies:
    """All policies, indexed by the names and ids of their payers."""

    policies: tuple[Policy, ...]
    default: Policy | None
    by_id: Mapping[str, tuple[Policy, ...]]
    by_name: Mapping[str, tuple[Policy, ...]]
    by_delegate: Mapping[str, tuple[Policy, ...]]
    turns: tuple[int, ...] = ()
    """Days, as ordinals, on which any policy comes into force or has gone: between two all days are alike."""

    def match(self, event: ClaimDenied, facts: Facts) -> PayerMatch:
        """Find the policies of a claim's payer, line of business and delegate on its day of service."""
        day = event.service_from or event.statement_from or event.payer_date
        since = bisect_right(self.turns, day.toordinal())
        words = facts.words
        return _match(
            self,
            event.payer,
            event.filing_indicator,
            since,
            words.get("line_of_business") if words else None,
            words.get("delegate") if words else None,
        )

    def find(self, asked: "Asked") -> PayerMatch:
        """Find the policies for what is asked."""
        delegate = () if asked.delegate is None else self.by_delegate.get(asked.delegate, ())
        delegated = tuple(policy for policy in delegate if _in_force(policy, asked.day))
        found = self._of_payer(asked)
        if not delegated:
            return found
        return PayerMatch(
            policies=delegated + (() if found.by_default else found.policies),
            how=f"{delegated[0].id}, named as the delegate; {found.how}",
            missing=found.missing,
            fallback=self.default,
        )

    def _of_payer(self, asked: "Asked") -> PayerMatch:
        candidates, how = self._candidates(asked.payer)
        candidates = [policy for policy in candidates if _in_force(policy, asked.day)]
        if not candidates:
            return self._by_default("no policy knows this payer")
        fits = [(policy, _fits(policy, asked)) for policy in candidates]
        fitting = tuple(policy for policy, fit in fits if fit)
        if fitting and not _overlap(fitting):
            named = " and ".join(policy.id for policy in fitting)
            return PayerMatch(policies=fitting, how=f"{named}, by {how}", fallback=self.default)
        if fitting:
            return self._by_default(
                f"several policies fit: {', '.join(p.id for p in fitting)}", ambiguous=True
            )
        if any(fit is None for _, fit in fits):
            ids = ", ".join(policy.id for policy, fit in fits if fit is None)
            reason = f"{ids} may apply, but the line of business is unknown"
            return self._by_default(reason, ambiguous=True, missing=("line_of_business",))
        return self._by_default("the payer is known, but not for this line of business")

    def _candidates(self, payer: Party) -> tuple[list[Policy], str]:
        # Who says what a feed means by a payer knows better than the names that the payer sends.
        for alias in (ref.value.strip() for ref in payer.ids if ref.qualifier == ALIAS):
            known = (*self.by_id.get(alias.upper(), ()), *self.by_name.get(normalised(alias), ()))
            if known:
                return list(dict.fromkeys(known)), "the feed's alias"
        by_id = [p for ref in payer.ids for p in self.by_id.get(ref.value.strip().upper(), ())]
        by_name = self.by_name.get(normalised(payer.name), ()) if payer.name else ()
        how = "id" if by_id else "name"
        return list(dict.fromkeys((*by_id, *by_name))), how

    def _by_default(
        self, reason: str, *, ambiguous: bool = False, missing: tuple[FactKind, ...] = ()
    ) -> PayerMatch:
        policies = () if self.default is None else (self.default,)
        return PayerMatch(
            policies=policies, how=reason, by_default=True, ambiguous=ambiguous, missing=missing
        )


class Asked(Struct, frozen=True, kw_only=True):
    """
    All that a match depends on: the remittance's payer, the day of service, people's facts.

    `day` stands for all days on which the same policies are in force: it is the first of them.
    """

    payer: Party
    filing_indicator: str | None
    day: date
    line_of_business: str | None
    delegate: str | None


# A file is of one payer, and policies seldom change.
@lru_cache(maxsize=16_384)
def _match(
    policies: Policies,
    payer: Party,
    filing_indicator: str | None,
    since: int,
    line_of_business: str | None,
    delegate: str | None,
) -> PayerMatch:
    """`since`: how many of the policies' turns lie before the day of service, or on it."""
    return policies.find(
        Asked(
            payer=payer,
            filing_indicator=filing_indicator,
            day=date.fromordinal(policies.turns[since - 1]) if since else date.min,
            line_of_business=line_of_business,
            delegate=delegate,
        )
    )


@lru_cache(maxsize=16_384)
def normalised(name: str) -> str:
    """Give a payer's name without case, spaces, punctuation and legal form."""
    words = _NOT_ALPHANUMERIC.sub(" ", name.upper().replace("&", " AND ").replace("'", ""))
    return _NOT_ALPHANUMERIC.sub("", _LEGAL_FORMS.sub(" ", words))


def load_policies(texts: Mapping[str, bytes]) -> Policies:
    """Read TOML files, given as name to bytes. Raises InvalidInputError that lists every mistake."""
    policies, mistakes = read_policies(texts)
    if mistakes:
        listed = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise InvalidInputError(
            f"The policies have {len(mistakes)} mistake(s):\n{listed}",
            remedy="Mend these keys; docs/policies.md lists what each one takes.",
        )
    return index_policies(policies)


def read_policies(texts: Mapping[str, bytes]) -> tuple[list[Policy], list[str]]:
    """Read TOML files; gives the policies that are sound, and every mistake, named by file and key."""
    policies: list[Policy] = []
    mistakes: list[str] = []
    for name, text in texts.items():
        found: list[str] = []
        policy = read_policy(text, found)
        mistakes += [f"{name}: {mistake}" for mistake in found]
        if policy is not None and not found:
            policies.append(policy)
    defaults = [policy.id for policy in policies if policy.file.default]
    if len(defaults) > 1:
        mistakes.append(f"only one policy may be the default, not {' and '.join(defaults)}")
    mistakes += _overlapping_versions(policies)
    return policies, mistakes


def index_policies(policies: Sequence[Policy]) -> Policies:
    """Make policies ready to be asked; a thousand cost no more to ask than ten."""
    own = [policy for policy in policies if not policy.file.default and policy.file.match.delegate is None]
    delegates = [policy for policy in policies if policy.file.match.delegate is not None]
    return Policies(
        policies=tuple(policies),
        default=next((policy for policy in policies if policy.file.default), None),
        by_id=_index((text.upper(), policy) for policy in own for text in policy.file.match.ids),
        by_name=_index(
            (normalised(text), policy)
            for policy in own
            for text in (*policy.file.match.names, *policy.file.match.aliases)
        ),
        by_delegate=_index((cast("str", policy.file.match.delegate), policy) for policy in delegates),
        turns=tuple(sorted({turn for policy in policies for turn in _turns(policy)})),
    )


def _turns(policy: Policy) -> Iterator[int]:
    if policy.file.effective_from is not None:
        yield policy.file.effective_from.toordinal()
    if policy.file.effective_to is not None:
        yield policy.file.effective_to.toordinal() + 1


def _index(pairs: Iterable[tuple[str, Policy]]) -> dict[str, tuple[Policy, ...]]:
    index: dict[str, tuple[Policy, ...]] = {}
    for key, policy in pairs:
        if policy not in index.get(key, ()):
            index[key] = (*index.get(key, ()), policy)
    return index


def _in_force(policy: Policy, day: date) -> bool:
    since, until = policy.file.effective_from, policy.file.effective_to
    return (since is None or since <= day) and (until is None or day <= until)


def _fits(policy: Policy, asked: Asked) -> bool | None:
    """Say whether the claim is of a line of business that the policy is about; None: it does not say."""
    match = policy.file.match
    told = asked.line_of_business
    if told is not None and match.lines_of_business:
        return told in match.lines_of_business
    if not match.lines_of_business and not match.filing_indicators:
        return True
    if asked.filing_indicator in match.filing_indicators:
        return True
    usual = line_of_business(asked.filing_indicator)
    if told is not None and asked.filing_indicator:
        return False
    if usual is not None and usual in match.lines_of_business and not match.filing_indicators:
        return True
    perhaps = OF_AN_HMO.get(asked.filing_indicator or "", frozenset())
    return None if usual is None or not perhaps.isdisjoint(match.lines_of_business) else False


def _overlap(policies: Sequence[Policy]) -> bool:
    """Two policies of one payer stand side by side only if no clock of theirs is of the same kind."""
    kinds = [policy.kinds for policy in policies]
    return len(frozenset().union(*kinds)) < sum(map(len, kinds))


def _overlapping_versions(policies: Sequence[Policy]) -> list[str]:
    mistakes = []
    seen: dict[str, list[Policy]] = {}
    for policy in policies:
        others = seen.setdefault(policy.id, [])
        for other in others:
            start = max(policy.file.effective_from or date.min, other.file.effective_from or date.min)
            end = min(policy.file.effective_to or date.max, other.file.effective_to or date.max)
            if start <= end:
                mistakes.append(f"{policy.id} stands twice for the same days: give effective_from or _to")
        others.append(policy)
    return mistakes
