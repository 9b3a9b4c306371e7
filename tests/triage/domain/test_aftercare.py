"""A decision carries what the payer's policy says about the time after a request went out."""

from datetime import date

from services.triage.domain.decide import decide
from shared.calendars import Calendar
from shared.contracts.decision import Contact, FollowUp
from tests.triage.domain.denials import denial
from tests.triage.domain.test_clock_rules import THIRTY, policy

HEAD = (
    'follow_up_days = 10\nholidays = "usual"\nstates = ["TX"]\nclosed_days = [2026-03-20]\n'
    'contacts = [{ purpose = "authorizations", where = "fax 555-0100" }]\n'
)


def test_the_interval_the_days_off_and_the_contacts_are_the_policys():
    found = decide(denial(payer="PLAN A"), (), policy(THIRTY, head=HEAD), Calendar(), date(2026, 3, 21))

    assert found.contacts == (Contact(purpose="authorizations", where="fax 555-0100"),)
    assert found.follow_up == FollowUp(days=10, usual_only=True, states=("TX",), closed=(date(2026, 3, 20),))


def test_where_no_policy_knows_the_payer_there_is_neither():
    found = decide(denial(payer="PLAN X"), (), policy(THIRTY, head=HEAD), Calendar(), date(2026, 3, 21))

    assert (found.contacts, found.follow_up) == ((), None)
