"""Lists under a name: one's own are one's own, shared ones are everybody's of the organization."""

from uuid import uuid4


async def keep(client, **told):
    return await client.put("/v1/views", json=told)


async def names(client) -> list[str]:
    return [one["name"] for one in (await client.get("/v1/views")).json()["data"]]


async def test_a_view_is_kept_changed_under_its_name_and_deleted(site):
    biller = site["biller"]
    first = await keep(
        biller, name="Soon", filters={"state": ["open"], "amount_at_least": "100"}, sort="deadline"
    )
    again = await keep(biller, name="Soon", filters={"tag": "wave"})
    view = again.json()

    assert first.json()["filters"] == {"state": ["open"], "amount_at_least": "100"}
    assert (view["view_id"], view["filters"], view["yours"]) == (
        first.json()["view_id"],
        {"tag": "wave"},
        True,
    )
    assert await names(biller) == ["Soon"]
    assert (await biller.get("/v1/cases", params=view["filters"])).status_code == 200
    assert (await biller.delete(f"/v1/views/{view['view_id']}")).status_code == 204
    assert await names(biller) == []


async def test_others_see_what_is_shared_and_only_who_may_shares(site):
    await keep(site["biller"], name="mine")
    shared = (await keep(site["supervisor"], name="ours", shared=True)).json()

    assert await names(site["viewer"]) == ["ours"]
    assert await names(site["biller"]) == ["mine", "ours"]
    assert await names(site["stranger"]) == []
    assert (await keep(site["biller"], name="x", shared=True)).status_code == 403
    path = f"/v1/views/{shared['view_id']}"
    assert [(await site[one].delete(path)).status_code for one in ("biller", "stranger")] == [404, 404]
    assert (await site["admin"].delete(path)).status_code == 204
    assert (await site["admin"].delete(f"/v1/views/{uuid4()}")).status_code == 404


async def test_a_view_holds_no_person_and_only_what_lists_take(site):
    for filters in (
        {"member_id": "M1"},
        {"patient_last_name": "Byron"},
        {"stat": "open"},
        {"claim_number": "A"},
    ):
        assert (await keep(site["biller"], name="x", filters=filters)).status_code == 422
