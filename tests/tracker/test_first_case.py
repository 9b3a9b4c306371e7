"""The short way of a denial that comes alone leads where the fold leads, and rows keep every word."""

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.tracker.domain.cases import first_case
from services.tracker.domain.fold import fold
from services.tracker.domain.observations import observe
from shared.contracts.claim import Adjustment, Party, Reference
from shared.contracts.claim_denied import DeniedAdjustment
from shared.postgres.arrays import array_of, arrays
from tests.tracker.support import KEY, clock, denial, line, person

AMOUNTS = st.decimals(-10_000, 10_000, places=2) | st.sampled_from([Decimal("1E+3"), Decimal("-0")])
INSTANTS = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ZONES = st.sampled_from(["America/New_York", "America/Chicago", "UTC"])
WORDS = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=12)
REFERENCES = st.builds(Reference, qualifier=st.sampled_from(["XV", "TRN03", "2U"]), value=WORDS)
CLOCKS = st.builds(
    clock,
    INSTANTS,
    permitted=st.sampled_from([True, False, None]),
    zone=ZONES,
    earliest=INSTANTS,
    latest=INSTANTS,
)
DENIALS = st.builds(
    denial,
    decision_revision=st.integers(1, 3),
    charge=AMOUNTS,
    denied=st.lists(
        st.builds(DeniedAdjustment, group=st.just("CO"), reason=st.just("197"), amount=AMOUNTS), max_size=3
    ).map(tuple),
    amount_at_stake=AMOUNTS,
    clocks=st.lists(CLOCKS, max_size=4).map(tuple),
    payer=st.builds(Party, name=st.none() | WORDS, ids=st.lists(REFERENCES, max_size=3).map(tuple)),
    patient=st.sampled_from([None, person(), person(None, None)]),
    service_from=st.sampled_from([None, date(2026, 1, 2)]),
    payer_claim_number=st.none() | WORDS,
    is_test=st.booleans(),
    truncated=st.booleans(),
    possible_duplicate_of=st.sampled_from([None, KEY]),
    auth_related=st.booleans(),
    category=st.sampled_from(["authorization_absent", "not_authorization", "unclear"]),
    claim_status=st.sampled_from(["1", "4", "25"]),
    adjustments=st.lists(
        st.builds(Adjustment, group=st.just("CO"), reason=st.just("45"), amount=AMOUNTS)
    ).map(tuple),
    lines=st.sampled_from([(), (line(1),), (line(1), line(2))]),
    needs_human=st.booleans(),
    needs_human_reasons=st.lists(WORDS, max_size=3).map(tuple),
    priority=st.integers(0, 100),
    confidence=st.floats(0, 1),
)


@settings(max_examples=400, deadline=None)
@given(DENIALS)
def test_a_denial_alone_makes_the_case_that_the_fold_makes(event):
    short = first_case(observe(event))

    assert [short] == fold([observe(event)])
    assert str(short.amount_at_stake) == str(fold([observe(event)])[0].amount_at_stake)


@settings(max_examples=100, deadline=None)
@given(DENIALS, DENIALS)
def test_what_comes_later_finds_the_same_case(first, second):
    both = [observe(first), observe(second)]

    assert {case.case_id for case in fold(both, [first_case(observe(first))])} == {
        case.case_id for case in fold(both, fold([observe(first)]))
    }


async def read_back(select, type_: str, written: str | list) -> list:
    [row] = await select(f"select {arrays(it=type_)} as found", it=written)
    return row.found


async def test_an_array_literal_reads_back_as_it_was_written(select):
    written = {
        "integer": [1, -2, None],
        "numeric": [Decimal("100.10"), Decimal("-0.5"), None, Decimal("1E+3")],
        "double precision": [0.1, 0.123456789, 1e-300],
        "boolean": [True, False, None],
        "date": [date(2026, 1, 2), None],
        "timestamptz": [datetime(2098, 1, 1, 1, 2, 3, 456789, tzinfo=UTC)],
        "text": ["open", None, "null"],
    }

    for type_, values in written.items():
        assert await read_back(select, type_, array_of(values)) == values


async def test_a_list_of_ids_reads_back_as_it_was_written(select):
    for ids in ([], [KEY], [KEY, UUID(int=0), UUID(int=2**128 - 1)], [None], [KEY, None, UUID(int=1)]):
        assert await read_back(select, "uuid", ids) == ids
    texts = [str(KEY), None]
    assert await read_back(select, "uuid", texts) == [KEY, None]


async def test_texts_of_any_kind_read_back(select):
    odd = ['say "no"', "back\\slash", "a, b", "{}", "null", "NULL", "", " ", "tab\tline\n", "\x01é🩺", None]

    assert await read_back(select, "text", array_of(odd)) == odd
    [row] = await select(
        "select array(select cast(one as text[]) from unnest(cast(cast(:it as text) as text[])) as one) as found",
        it=array_of([array_of(odd), array_of(odd)]),
    )
    assert row.found == [odd, odd]


async def test_a_case_keeps_the_words_of_the_remittance(record, select):
    odd = 'Payer "{}", \\ & Sons\t\x02'
    await record(
        denial(
            payer=Party(name=odd, ids=(Reference(qualifier="XV", value=odd),)),
            claim_number=odd,
            needs_human=True,
            needs_human_reasons=(odd, "null"),
            clocks=(clock(zone=odd),),
        )
    )

    [case] = await select("select * from tracker.cases")

    assert (case.payer_name, case.payer_id, case.claim_number) == (odd, odd, odd)
    assert (case.needs_human_reasons, case.deadline_zones) == ([odd, "null"], [odd])
