"""What another set of policies would change of one denial."""

from datetime import date

from services.triage.domain.decide import decide
from services.triage.domain.policies import load_policies
from services.triage.domain.what_if import difference
from services.triage.policies import policy_texts
from shared.calendars import Calendar
from tests.triage.domain.denials import denial, refused
from tests.triage.policies import policy_text

SHIPPED = load_policies(policy_texts())
WITH_ITS_PAYER = load_policies(policy_texts() | {"invented.toml": policy_text().encode()})


def changed(reason):
    event = denial(refused(reason), payer="INVENTED HEALTH PLAN")
    before, after = (
        decide(event, [], policies, Calendar(), date(2026, 3, 21)) for policies in (SHIPPED, WITH_ITS_PAYER)
    )
    assert (before.payer_match, after.payer_match) == (None, "invented")
    return difference(event, before, after)


def test_a_denial_that_no_policy_has_a_clock_for_would_not_change():
    # A publication leaves it alone as well: only the name of its payer's policy would be another.
    assert changed("29") is None


def test_a_denial_whose_clocks_are_the_policys_would_change():
    found = changed("197")

    assert found is not None
    assert found.policy_after == "invented"
