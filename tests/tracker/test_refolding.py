"""Cases that an older release recorded get what a newer one knows of them."""

from services.refolding import refold
from shared.contracts.claim_denied import DeniedAdjustment
from shared.postgres import create_engine
from tests.tracker.support import line

LOOKED_FOR = "facility, rendering_npi, service_code, further_service_codes"


async def test_what_came_with_a_later_release_is_filled_in_and_nothing_else_changes(
    site, deny, select, database
):
    denied = tuple(
        DeniedAdjustment(line_number=number, group="CO", reason="197", amount=number) for number in (1, 2)
    )
    await deny(
        claim_number="old", denied=denied, lines=(line(1, "99213"), line(2, "70553")), rendering_npi="1"
    )
    await deny(claim_number="as it is", lines=())
    cases = f"select case_id, version, state, {LOOKED_FOR} from tracker.cases order by claim_number"
    further = "select case_id, service_code from tracker.case_services"
    before = await select(cases, site.organization), await select(further, site.organization)
    await select(
        "update tracker.cases set facility = null, rendering_npi = null, service_code = null,"
        " further_service_codes = '{}' where claim_number = 'old' returning 1",
        site.organization,
    )
    await select("delete from tracker.case_services returning 1", site.organization)
    owner = create_engine(database.owner, name="test")

    first = await refold(owner, show=lambda _: None)
    again = await refold(owner, show=lambda _: None)
    await owner.dispose()

    after = await select(cases, site.organization), await select(further, site.organization)
    assert (first, again) == (1, 0)
    assert [tuple(row)[2:] for row in after[0]] == [tuple(row)[2:] for row in before[0]]
    assert [row.version - was.version for row, was in zip(after[0], before[0], strict=True)] == [0, 1]
    assert after[1] == before[1]
    assert [row.service_code for row in after[1]] == ["99213"]
