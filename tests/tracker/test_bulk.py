"""One step on many cases: each succeeds or fails alone, and each tells."""

from uuid import uuid4

from tests.tracker.site import page


async def case_ids(site) -> dict[str, dict]:
    return {one["claim_number"]: one for one in (await page(site["viewer"]))["data"]}


async def bulk(client, items, step, **headers):
    return await client.post("/v1/cases/bulk", json={"items": items, "step": step}, headers=headers)


async def test_each_item_has_its_own_result_and_what_fails_changes_nothing(site, deny, select):
    for name in ("a", "b", "c"):
        await deny(claim_number=name)
    known = await case_ids(site)
    items = [
        {"case_id": known["a"]["case_id"], "version": known["a"]["version"]},
        {"case_id": str(uuid4())},
        {"case_id": known["b"]["case_id"], "version": 99},
        {"case_id": known["c"]["case_id"]},
    ]

    told = (await bulk(site["supervisor"], items, {"kind": "tag", "tag": "wave-1"})).json()
    after = await case_ids(site)

    assert [one["status"] for one in told["data"]] == [201, 404, 412, 201]
    assert (told["done"], told["failed"]) == (2, 2)
    assert {name: one["tags"] for name, one in after.items()} == {"a": ["wave-1"], "b": [], "c": ["wave-1"]}
    assert told["data"][0]["version"] == after["a"]["version"]
    assert all(one["detail"] and one["remedy"] for one in told["data"][1:3])
    assert len(await select("select 1 from tracker.steps", organization=site.organization)) == 2


async def test_a_bulk_repeated_under_its_key_has_its_effect_once(site, deny, select):
    await deny(claim_number="a")
    items = [{"case_id": (await case_ids(site))["a"]["case_id"]}]
    step = {"kind": "note", "note": "called"}

    first = await bulk(site["supervisor"], items, step, **{"Idempotency-Key": "k1"})
    again = await bulk(site["supervisor"], items, step, **{"Idempotency-Key": "k1"})

    assert first.json() == again.json()
    assert len(await select("select 1 from tracker.steps", organization=site.organization)) == 1


async def test_a_case_that_is_named_twice_takes_the_step_once(site, deny, select):
    await deny(claim_number="a")
    item = {"case_id": (await case_ids(site))["a"]["case_id"]}

    stale = {**item, "version": 7}

    told = (await bulk(site["supervisor"], [stale, item, item], {"kind": "note", "note": "called"})).json()

    assert [one["status"] for one in told["data"]] == [412, 201, 409]
    assert (told["done"], told["failed"]) == (1, 2)
    assert len(await select("select 1 from tracker.steps", organization=site.organization)) == 1


async def test_a_biller_and_a_stranger_do_nothing_in_bulk(site, deny):
    await deny(claim_number="a")
    items = [{"case_id": (await case_ids(site))["a"]["case_id"]}]
    step = {"kind": "tag", "tag": "x"}

    assert (await bulk(site["biller"], items, step)).status_code == 403
    assert [one["status"] for one in (await bulk(site["stranger"], items, step)).json()["data"]] == [404]
    assert (await bulk(site["supervisor"], items * 101, step)).status_code == 422
