"""
Many cases in a moment: rows of tracker.cases as years of denials leave them, made by the database itself.

Organizations of very different size; a few payers have most of the cases; most cases have ended, those that
have not are young, what is about authorization is urgent, and amounts are spread over four powers of ten. Invented
throughout.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args
from uuid import UUID

import asyncpg

from services.tracker.domain.states import LIVE_STATES, State
from shared.contracts.decision import Category
from shared.identity import claim_key_of

SHARES = {UUID(int=0xA1): 0.70, UUID(int=0xA2): 0.22, UUID(int=0xA3): 0.07, UUID(int=0xA4): 0.01}
"""The organizations, and what part of all cases each has."""
LARGEST, *_, SMALLEST = SHARES

CLAIM_NUMBER = "ACCT-1"
SOMEBODY = UUID(int=0xB0)
"""One of the forty people who have the cases that somebody has."""
_SERVICE = """(array['70553', '99213', '99285', '27447', 'J9271', 'J1745', '74177', '93306', '0450', 'G0480'])[
            1 + floor(10 * power(random(), 2))::int]"""
_CATEGORIES = {"not_authorization": 40, "authorization_absent": 25, "unclear": 8, "referral_absent": 6}
_LIVE = {"open": 30, "submitted": 10, "in_preparation": 8, "partly_paid": 6, "information_requested": 3}
_ENDED = {"closed": 85, "paid": 9}


def _weighted(vocabulary: Iterable[str], weights: dict[str, int]) -> str:
    """Write an array in which each word stands as often as it weighs; what weighs nothing stands once."""
    words = [word for word in sorted(vocabulary) for _ in range(weights.get(word, 1))]
    return f"(cast(array[{', '.join(repr(word) for word in words)}] as text[]))[1 + floor(random() * {len(words)})::int]"


# What is about authorization is worked on for some months, most of it; all else was over when it came.
_ROWS = f"""
    insert into tracker.cases (organization_id, case_id, claim_key, ordinal, version, state, closed_reason,
        is_test, event_ids, current_event_id, current_revision, current_decision_revision, auth_related,
        category, recommended_action, payer_name, payer_id, claim_number, payer_claim_number,
        patient_name_index, member_id_index, service_from, denied_on, charge_amount, denied_amount,
        amount_at_stake, paid_amount, deadlines, deadline_zones, next_deadline_at, urgency_class, priority,
        confidence, needs_human, needs_human_reasons, opened_at, updated_at, closed_at, facility,
        rendering_npi, service_code, further_service_codes, assignee_id, follow_up_on, information_due_at, tags)
    select $1, gen_random_uuid(), gen_random_uuid(), 0, 1, state, case when state = 'closed' and not about
            then 'not_our_denial' end, false, array[event], event, 1, 1, about, category,
        'request_retro_authorization', 'Payer ' || payer, 'P' || payer, 'ACCT-' || n, 'ICN' || n || $3,
        md5('name' || patient), md5('member' || patient), opened::date - 30, opened::date, stake * 2, stake,
        stake, 0, case when live then array[ends] else '{{}}' end,
        case when live then array['America/New_York'] else '{{}}' end, case when live then ends end, 'elective',
        case when about then least(100, 20 + stake_rank + urgency) else (stake_rank + urgency) / 4 end,
        0.9, random() < 0.08, '{{}}', opened, opened, case when live then null else opened + interval '60 days' end,
        (1000000000 + floor(40 * power(random(), 2)))::text, (1100000000 + floor(3000 * random()))::text,
        {_SERVICE}, case when random() < 0.1 then array[{_SERVICE}] else '{{}}' end,
        case when live and random() < 0.6
            then ('00000000-0000-0000-0000-0000000000' || to_hex(176 + floor(40 * random())::int))::uuid end,
        case when state in ('submitted', 'information_requested') then now()::date + days / 9 end,
        case when state = 'information_requested' then now() + days / 9 * interval '1 day' end,
        case when random() < 0.02 then array['appeal'] when random() < 0.0002 then array['board'] else '{{}}' end
    from (
        select *, state = any ($4) as live, gen_random_uuid() as event,
            now() + days * interval '1 day' as ends, (40 * (1 - days / 180.0))::int as urgency,
            least(40, greatest(0, 8 * log(greatest(stake, 1)) - 8))::int as stake_rank
        from (
            select *, category <> 'not_authorization' as about, now() - age * interval '1 day' as opened,
                case when category = 'not_authorization' then 'closed'
                    when random() < (case when age < 150 then 0.7 else 0.03 end) then {_weighted(LIVE_STATES, _LIVE)}
                    else {_weighted(set(get_args(State)) - LIVE_STATES, _ENDED)} end as state
            from (
                select n, {_weighted(get_args(Category), _CATEGORIES)} as category, random() * 900 as age,
                    floor(300 * power(random(), 3))::int as payer, floor(random() * $2 / 2)::int as patient,
                    floor(180 * random())::int as days, round(exp(6.2 + 1.3 * random_normal())::numeric, 2) as stake
                from generate_series(1, $2) as n
            ) as drawn
        ) as cases
    ) as told
"""
_FOUND_BESIDES = """
    insert into tracker.case_tags select organization_id, unnest(tags), case_id from tracker.cases where tags <> '{}';
    insert into tracker.case_services select organization_id, unnest(further_service_codes), case_id
    from tracker.cases where further_service_codes <> '{}';
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What a case of the largest organization is found by."""

    case_id: UUID
    payer_claim_number: str
    member_id_index: str
    patient_name_index: str


async def load_cases(owner: asyncpg.Connection, count: int) -> Known:
    """Load `count` cases, as a bulk load does it: the indexes come after the rows. Then ANALYZE."""
    await owner.execute("select set_config('reprieve.organizations', $1, false)", ",".join(map(str, SHARES)))
    await owner.execute("select setseed(0.5)")
    indexes = await owner.fetch("""
        select indexname, indexdef from pg_indexes i where schemaname = 'tracker' and tablename = 'cases'
            and not exists (select from pg_constraint where conname = i.indexname)
    """)
    for index in indexes:
        await owner.execute(f"drop index tracker.{index['indexname']}")
    for table in ("cases", "case_tags", "case_services"):
        # Whenever the database felt like it, it would count the rows anew, and plan by what it found.
        await owner.execute(f"alter table tracker.{table} set (autovacuum_enabled = off)")
    for number, (organization, share) in enumerate(SHARES.items()):
        await owner.execute(_ROWS, organization, round(count * share), f"-{number}", sorted(LIVE_STATES))
    for index in indexes:
        await owner.execute(index["indexdef"])
    await owner.execute(_FOUND_BESIDES)
    known = await owner.fetchrow(
        """
        update tracker.cases set claim_key = $2 where organization_id = $1 and claim_number = $3
        returning case_id, payer_claim_number, member_id_index, patient_name_index
        """,
        LARGEST,
        claim_key_of(LARGEST, CLAIM_NUMBER),
        CLAIM_NUMBER,
    )
    await owner.execute("vacuum analyze tracker.cases, tracker.case_tags, tracker.case_services")
    return Known(**known)


async def pretend(owner: asyncpg.Connection, times: float) -> None:
    """
    Let the planner think that there are so many times the cases, with the skew of those that are there.

    Reading a table whole then looks cheaper than with as many rows, so what is not read whole here is not there.
    """
    await owner.execute(
        """
        select pg_restore_relation_stats('schemaname', 'tracker', 'relname', cast(c.relname as text),
            'relpages', c.relpages, 'reltuples', cast(c.reltuples * $1 as real))
        from pg_class c left join pg_index i on i.indexrelid = c.oid
        where coalesce(i.indrelid, c.oid) in
            ('tracker.cases'::regclass, 'tracker.case_tags'::regclass, 'tracker.case_services'::regclass)
        """,
        times,
    )
