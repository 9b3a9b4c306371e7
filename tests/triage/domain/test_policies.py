from datetime import date

import pytest

from services.triage.domain.examples import failures
from services.triage.domain.facts import NO_FACTS, weigh
from services.triage.domain.policies import load_policies, normalised
from services.triage.domain.policy import read_policy
from services.triage.policies import policy_texts, shipped_policies
from services.triage.store.policy_sets import read_published
from shared.calendars import Calendar
from shared.contracts.claim import Reference
from shared.errors import InvalidInputError
from tests.triage.domain.denials import EVENT, denial, facts

SHIPPED = shipped_policies()

SOUND = """
id = "plan-a"
version = "1"
name = "Plan A"
status = "unconfirmed"
zone = "America/Denver"

[match]
names = ["Plan A"]

[[sources]]
url = "https://plan-a.example/rules"
seen_on = 2026-11-21

[[clocks]]
kind = "retro_authorization"
label = "Retro, 30 days"
amount = 30
unit = "calendar_days"
anchors = ["dos_first"]

[[examples]]
name = "thirty days"
as_of = 2026-03-05
denial = { payer_date = 2026-03-04, service_from = 2026-03-01 }
clocks = [{ kind = "retro_authorization", permitted = true, deadline = "2026-03-31T23:59:59-06:00" }]
"""


def mistakes(text):
    with pytest.raises(InvalidInputError) as caught:
        load_policies({"plan.toml": text.encode()})
    return caught.value.message


@pytest.mark.parametrize("policy", SHIPPED.policies, ids=lambda policy: policy.id)
def test_the_worked_examples_of_every_shipped_policy_come_out(policy):
    assert policy.file.examples
    assert failures(policy, SHIPPED, Calendar()) == []


def test_a_worked_example_that_is_wrong_is_noticed():
    policies = load_policies({"a.toml": SOUND.replace("2026-03-31T", "2026-03-30T").encode()})

    assert "the deadline is" in failures(policies.policies[0], policies, Calendar())[0]


def test_no_shipped_policy_claims_to_be_confirmed():
    assert {policy.file.status for policy in SHIPPED.policies} == {"unconfirmed"}


def test_the_programs_of_the_research_are_shipped():
    assert {
        "uhc-admit", "uhc-comm-update", "priority-nonma", "priority-ma", "ibx-emerg", "hpsj-medical", "tmhp",
        "nc-direct-ost", "ms-inpt-emerg", "medical-tar", "cohere", "humana-ma-inpt", "tricare-east", "mcr-opd",
        "bcbsnc-img", "sunshine-mcd", "superior", "bcbsm-inpt", "aetna", "default",
    } <= {policy.id for policy in SHIPPED.policies}  # fmt: skip


def test_a_sound_file_is_read():
    assert load_policies({"a.toml": SOUND.encode()}).policies[0].id == "plan-a"


def test_every_mistake_of_a_file_is_named_at_once():
    text = (
        SOUND.replace('zone = "America/Denver"', 'zone = "America/Gotham"\ncolour = "red"')
        .replace('status = "unconfirmed"', 'status = "maybe"')
        .replace("seen_on = 2026-11-21", 'seen_on = "yesterday"')
        .replace("amount = 30", 'amount = -1\ncut_of = "17:00"')
        .replace('unit = "calendar_days"', 'unit = "fortnights"')
        .replace('version = "1"\n', "")
        .replace("denial = {", 'denial = { amount = "5OO",')
        .replace("2026-03-31T23:59:59-06:00", "31 March")
    )

    found = mistakes(text)

    assert "10 mistake(s)" in found
    for words in (
        "plan.toml: line 6: colour is no known key: it takes channel, clocks",
        "plan.toml: version is missing",
        "line 5: zone: 'America/Gotham' is no time zone",
        "examples[1].denial.amount: '5OO' is none; write dollars",
        "examples[1].clocks[1].deadline: '31 March' is no instant",
        "status: must be one of confirmed, unconfirmed",
        "sources[1].seen_on:",
        "line 19: clocks[1].cut_of is no known key: did you mean cut_off?",
        "clocks[1].amount:",
        "clocks[1].unit: must be one of hours, calendar_days, business_days",
    ):
        assert words in found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('zone = "America/Denver"', 'zone = "Gotham"', "zone: 'Gotham' is no time zone"),
        ('zone = "America/Denver"', 'zone = "America/Denver"\nstates = ["XX"]', "states: 'XX' is no state"),
        ('names = ["Plan A"]', "", "match: give names"),
        ("amount = 30\n", "", "clocks[1].amount is missing"),
        ('anchors = ["dos_first"]', "", "clocks[1].anchors is missing"),
        ('anchors = ["dos_first"]', 'anchors = ["yesterday"]', "clocks[1].anchors"),
        ('unit = "calendar_days"', "", "give either a unit and an amount"),
        ('anchors = ["dos_first"]', 'anchors = ["dos_first"]\ncut_off = "5 pm"', "cut_off: '5 pm' is no local time"),
        ('anchors = ["dos_first"]', 'anchors = ["dos_first"]\nwhen = ["moon=full"]', "clocks[1].when: 'moon' cannot be asked"),
        ('anchors = ["dos_first"]', 'anchors = ["dos_first"]\nwhen = ["urgency=soon"]', "'soon' is no value of urgency"),
        ('anchors = ["dos_first"]', 'anchors = ["dos_first"]\nrequires = ["in network"]', "is no condition"),
        ('anchors = ["dos_first"]', 'anchors = ["dos_first"]\namount_latest = 20', "amount_latest: lies below amount"),
        ('anchors = ["dos_first"]', 'anchors = ["dos_first"]\ncaps = [{ amount = 2, unit = "months" }]', "caps[1].anchor is missing"),
        ('status = "unconfirmed"', 'status = "unconfirmed"\neffective_from = 2026-02-01\neffective_to = 2026-01-01', "effective_to: lies before"),
        ("denial = {", 'facts = { urgency = "soon" }\ndenial = {', "examples[1].facts.urgency"),
        ('id = "plan-a"', 'id = "Plan A"', "id:"),
        ('id = "plan-a"', "id = ", "is no TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_and_key(old, new, words):
    found = mistakes(SOUND.replace(old, new))

    assert words in found
    assert "plan.toml" in found


def test_one_policy_stands_once_for_a_day():
    twice = {"a.toml": SOUND.encode(), "b.toml": SOUND.encode()}
    with pytest.raises(InvalidInputError, match="stands twice for the same days"):
        load_policies(twice)

    first = SOUND.replace('version = "1"', 'version = "1"\neffective_to = 2025-12-31')
    second = SOUND.replace('version = "1"', 'version = "2"\neffective_from = 2026-01-01')
    both = load_policies({"a.toml": first.encode(), "b.toml": second.encode()})

    for served, version in ((date(2025, 12, 31), "1"), (date(2026, 1, 1), "2"), (date(2026, 3, 2), "2")):
        found = both.match(denial(payer="PLAN A", service_from=served), NO_FACTS)
        assert [policy.file.version for policy in found.policies] == [version]


def test_a_folder_replaces_shipped_policies_of_the_same_id(tmp_path):
    (tmp_path / "mine.toml").write_text(SOUND.replace("plan-a", "aetna"))

    policies = shipped_policies(tmp_path)

    assert len(policies.policies) == len(SHIPPED.policies)
    assert next(policy for policy in policies.policies if policy.id == "aetna").file.name == "Plan A"


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="no policy file"):
        policy_texts(tmp_path)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("UNITED HEALTHCARE", "UnitedHealthcare"),
        ("Aetna, Inc.", "AETNA"),
        ("Texas Medicaid & Healthcare Partnership", "TEXAS MEDICAID AND HEALTHCARE PARTNERSHIP"),
        ("The Cigna Co.", "cigna"),
    ],
)
def test_spellings_of_a_name_are_one_name(left, right):
    assert normalised(left) == normalised(right)


def matched(event, **told):
    return SHIPPED.match(event, weigh(facts(**told), EVENT))


def ids(match):
    return [policy.id for policy in match.policies]


def test_a_payer_is_found_by_its_id():
    by_id = denial(payer=None, payer_ids=[Reference(qualifier="XV", value="60054")], filing_indicator="12")

    assert ids(matched(by_id)) == ["aetna"]


def test_the_line_of_business_separates_programs_of_one_payer():
    assert ids(matched(denial(payer="PRIORITY HEALTH", filing_indicator="12"))) == ["priority-nonma"]
    assert ids(matched(denial(payer="PRIORITY HEALTH", filing_indicator="16"))) == ["priority-ma"]


def test_a_persons_word_overrides_the_filing_indicator():
    event = denial(payer="PRIORITY HEALTH", filing_indicator="12")

    assert ids(matched(event, line_of_business="medicare_advantage")) == ["priority-ma"]


def test_an_unknown_line_of_business_is_ambiguous_and_named():
    found = matched(denial(payer="PRIORITY HEALTH"))

    assert ids(found) == ["default"]
    assert found.ambiguous
    assert found.missing == ("line_of_business",)


def test_two_programs_with_different_clocks_stand_side_by_side():
    found = matched(denial(payer="UNITED HEALTHCARE INSURANCE COMPANY", filing_indicator="12"))

    assert set(ids(found)) == {"uhc-admit", "uhc-comm-update"}


def test_a_rule_is_not_in_force_before_its_day():
    from datetime import date

    early = denial(payer="UHC", filing_indicator="12", service_from=date(2025, 8, 31))

    assert ids(matched(early)) == ["uhc-comm-update"]


def test_two_programs_with_the_same_clock_are_ambiguous():
    other = SOUND.replace("plan-a", "plan-a-too")
    both = load_policies({"a.toml": SOUND.encode(), "b.toml": other.encode()})

    found = both.match(denial(payer="PLAN A"), NO_FACTS)

    assert found.ambiguous
    assert found.by_default
    assert not found.policies


def test_an_unknown_payer_gets_the_default():
    found = matched(denial(payer="NO SUCH PLAN"))

    assert ids(found) == ["default"]
    assert found.by_default
    assert not found.ambiguous


def test_a_named_delegate_comes_before_the_payer():
    found = matched(denial(payer="PRIORITY HEALTH", filing_indicator="12"), delegate="Cohere")

    assert ids(found) == ["cohere", "priority-nonma"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ('amount = "5OO"', "denial.amount: '5OO' is none; write dollars like"),
        ('amount = "-5.00"', "denial.amount: '-5.00' is none"),
        ('amount = "NaN"', "denial.amount: 'NaN' is none"),
        ("amount = 500", "denial.amount: expected `str`"),
        ('reason = "1977"', "denial.reason: '1977' is no published reason code"),
        ('group = "C0"', "denial.group: 'C0' is no group code; it takes CO, PR"),
        ('remarks = ["M6Z"]', "denial.remarks: 'M6Z' is no published remark code"),
        ('remarks = "M62"', "denial.remarks: expected `array`"),
        ('claim_status = "denied"', "denial.claim_status: 'denied' is none"),
        ('filing_indicator = "Medicaid"', "denial.filing_indicator: 'Medicaid' is none"),
        ('facility_type = "ER"', "denial.facility_type: 'ER' is none"),
        ('procedure = "992"', "denial.procedure: '992' is none"),
        ('revenue_code = "ER"', "denial.revenue_code: 'ER' is none"),
        ('drg = "knee"', "denial.drg: 'knee' is none"),
        ("service_to = 2026-02-01", "denial.service_to: lies before service_from"),
        ('first_told = "May"', "denial.first_told:"),
        ('proceedure = "99213"', "denial.proceedure is no known key: did you mean procedure?"),
    ],
)
def test_what_is_mistyped_in_the_denial_of_a_worked_example_is_named_by_line_and_key(key, words):
    found = mistakes(SOUND.replace("denial = {", f"denial = {{ {key},"))

    assert "1 mistake(s)" in found
    assert f"line 25: examples[1].{words}" in found


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ('permitted = "maybe"', "clocks[1].permitted:"),
        ('permitted = true, shown = "yes"', "clocks[1].shown: expected `bool`"),
        ('permitted = true, missing = ["letter"]', "clocks[1].missing: 'letter' is no kind of fact"),
        ('permitted = true, kynd = "appeal"', "clocks[1].kynd is no known key"),
    ],
)
def test_what_is_mistyped_in_an_expected_clock_is_named_by_line_and_key(key, words):
    found = mistakes(SOUND.replace("permitted = true", key))

    assert "1 mistake(s)" in found
    assert f"line 26: examples[1].{words}" in found


def test_what_was_published_before_these_checks_is_still_in_force():
    text = SOUND.replace("denial = {", 'denial = { reason = "1977",').encode()
    asked: list[str] = []

    assert read_policy(text, asked) is None
    assert asked
    assert read_published(text).id == "plan-a"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('lines_of_business = ["medicade"]', "line 10: match.lines_of_business: 'medicade' is none; it takes com"),
        ('filing_indicators = ["Medicaid"]', "line 10: match.filing_indicators: 'Medicaid' is none; write CLP06"),
    ],
)  # fmt: skip
def test_a_match_that_no_claim_could_meet_is_named(line, words):
    assert words in mistakes(SOUND.replace('names = ["Plan A"]', f'names = ["Plan A"]\n{line}'))


def test_a_mistyped_date_of_a_worked_example_is_named_by_line_and_key():
    text = policy_texts()["cigna-emerg.toml"]
    found: list[str] = []

    read_policy(text.replace(b'"2026-03-09T23:59:59-04:00"', b'"31 March"', 1), found)

    assert len(found) == 1
    assert "line 46" in found[0]
    assert "deadline: '31 March' is no instant" in found[0]
