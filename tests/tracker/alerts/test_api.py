"""The API of alerts: roles and walls, rules with versions and previews, routes, silences, maintenance."""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from services.tracker.alerts.domain.defaults import INSTALLATION
from services.tracker.alerts.domain.rules import KINDS
from services.tracker.alerts.store import channels
from services.tracker.alerts.workers.evaluating import look_at
from services.tracker.api import alert_routes, alert_rules
from shared import clock
from shared.postgres import transaction
from tests.tracker.alerts.test_evaluating import near

CLOCK = {"name": "Near", "settings": {"kind": "clock", "tiers": [{"hours": 48, "severity": "error"}]}}


async def look(site, engine):
    return await look_at(engine, site.organization, at=clock.now())


async def test_changes_that_are_repeated_under_their_key_have_their_effect_once(site, record, engine):
    await record(near(0.5, organization_id=site.organization))
    await look(site, engine)
    [alert, *_] = (await site["viewer"].get("/v1/alerts", params={"kind": "clock"})).json()["data"]
    [rule, *_] = (await site["viewer"].get("/v1/alerts/rules")).json()["data"]
    new = {name: rule[name] for name in ("name", "settings", "only")}
    tomorrow = (clock.now() + timedelta(days=1)).isoformat()
    silence = await site["admin"].post(
        "/v1/alerts/maintenance", json={"reason": "a move", "ends_at": tomorrow}
    )
    view = await site["admin"].put("/v1/views", json={"name": "v"}, headers={"Idempotency-Key": "view"})
    seen = {"If-Match": f'"{rule["version"]}"'}
    calls = [
        ("PUT", "/v1/views", {"json": {"name": "w"}}, 200, 200),
        ("DELETE", f"/v1/views/{view.json()['view_id']}", {}, 204, 404),
        ("PUT", f"/v1/alerts/rules/{rule['rule_id']}", {"json": new, "headers": seen}, 200, 412),
        ("DELETE", f"/v1/alerts/rules/{rule['rule_id']}", {}, 204, 404),
        ("PUT", "/v1/alerts/routes", {"json": {"routing": {"route": {"name": "all"}}}}, 200, 200),
        ("DELETE", f"/v1/alerts/silences/{silence.json()['silence_id']}", {}, 204, 404),
        ("POST", f"/v1/alerts/{alert['alert_id']}/acknowledgment", {}, 204, 204),
        ("DELETE", f"/v1/alerts/{alert['alert_id']}/acknowledgment", {}, 204, 204),
    ]

    for number, (method, path, told, expected, without_key) in enumerate(calls):
        headers = {**told.pop("headers", {}), "Idempotency-Key": f"key {number}".replace(" ", "-")}
        first, second = [await site["admin"].request(method, path, headers=headers, **told) for _ in "12"]
        bare = await site["admin"].request(
            method, path, headers={k: v for k, v in headers.items() if k == "If-Match"}, **told
        )
        assert (first.status_code, second.status_code) == (expected, expected), (
            path,
            first.text,
            second.text,
        )
        assert (first.text, first.headers.get("ETag")) == (second.text, second.headers.get("ETag")), path
        assert second.headers["Idempotency-Replayed"] == "true", path
        assert bare.status_code == without_key, (path, bare.text)


async def test_alerts_are_listed_page_by_page_and_acknowledged(site, record, engine):
    await record(*(near(0.5, organization_id=site.organization) for _ in range(3)))
    await look(site, engine)

    page = (await site["viewer"].get("/v1/alerts", params={"kind": "clock", "limit": 2})).json()
    rest = (
        await site["viewer"].get(
            "/v1/alerts", params={"kind": "clock", "limit": 2, "cursor": page["next_cursor"]}
        )
    ).json()
    assert len({one["alert_id"] for one in (*page["data"], *rest["data"])}) == 3
    assert not rest["has_more"]
    assert page["data"][0]["runbook"] == "docs/runbooks/clock.md"
    assert page["data"][0]["runbook_url"] == "http://127.0.0.1:8083/runbooks/clock.md"

    path = f"/v1/alerts/{page['data'][0]['alert_id']}/acknowledgment"
    assert (await site["viewer"].post(path)).status_code == 403
    assert (await site["biller"].post(path)).status_code == 204
    (found,) = [
        one
        for one in (await site["viewer"].get("/v1/alerts")).json()["data"]
        if one["alert_id"] == page["data"][0]["alert_id"]
    ]
    assert found["acknowledged_at"]


async def test_an_acknowledgment_is_told_at_the_next_look_that_may(site, record, engine, select):
    add = (
        "insert into tracker.channels (organization_id, channel_id, name, kind, settings)"
        " values (:organization, :channel, 'p', 'pagerduty', '{}')"
    )
    async with transaction(engine, organizations=[site.organization]) as connection:
        await connection.execute(text(add), {"organization": site.organization, "channel": uuid4()})
    route = {"name": "all", "channels": "all", "group_wait_seconds": 0, "group_interval_seconds": 15}
    chosen = await site["admin"].put(
        "/v1/alerts/routes", json={"routing": {"route": route}, "calendar": {}}, headers={"If-Match": '"0"'}
    )
    assert chosen.status_code == 200, chosen.text
    await record(near(0.5, organization_id=site.organization))
    memory, at = {}, clock.now() - timedelta(minutes=2)
    for seconds in (0, 15, 30):
        await look_at(engine, site.organization, at=at + timedelta(seconds=seconds), memory=memory)
    for one in (await site["viewer"].get("/v1/alerts")).json()["data"]:
        await site["biller"].post(f"/v1/alerts/{one['alert_id']}/acknowledgment")
    for seconds in (150, 165, 180):
        await look_at(engine, site.organization, at=at + timedelta(seconds=seconds), memory=memory)

    told = await select(
        "select kind, content from tracker.notifications where kind <> 'digest' order by position",
        organization=site.organization,
    )
    firing, update = [row for row in told if row.content["runbook"] == "catch_up"]
    assert (firing.kind, update.kind, update.content["acknowledged"]) == ("firing", "update", True)


async def test_nobody_sees_or_touches_another_organizations_alerts(site, record, engine):
    await record(near(0.5, organization_id=site.organization))
    await look(site, engine)
    (one, *_) = (await site["viewer"].get("/v1/alerts")).json()["data"]
    (rule, *_) = (await site["viewer"].get("/v1/alerts/rules")).json()["data"]

    for role in ("stranger", "operator"):
        assert (await site[role].get("/v1/alerts")).json()["data"] == []
        assert (await site[role].post(f"/v1/alerts/{one['alert_id']}/acknowledgment")).status_code == 404
        assert (await site[role].delete(f"/v1/alerts/rules/{rule['rule_id']}")).status_code == 404


async def test_rules_are_created_changed_by_version_and_audited(site, select):
    made = await site["supervisor"].post("/v1/alerts/rules", json=CLOCK, headers={"Idempotency-Key": "k"})
    again = await site["supervisor"].post("/v1/alerts/rules", json=CLOCK, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201
    assert again.json() == made.json()
    path = f"/v1/alerts/rules/{made.json()['rule_id']}"
    changed = {**CLOCK, "enabled": False}

    assert (await site["biller"].put(path, json=changed)).status_code == 403
    assert (await site["admin"].put(path, json=changed, headers={"If-Match": '"1"'})).status_code == 200
    assert (await site["admin"].put(path, json=CLOCK, headers={"If-Match": '"1"'})).status_code == 412
    assert (await site["admin"].delete(path)).status_code == 204
    assert (await site["admin"].put(path, json=CLOCK)).status_code == 404
    rules = (await site["viewer"].get("/v1/alerts/rules")).json()["data"]
    assert {one["settings"]["kind"] for one in rules} <= set(KINDS)
    audited = await select(
        "select action from tracker.audit_log where action like 'alert%' order by entry_id",
        organization=site.organization,
    )
    assert [row.action for row in audited] == [
        "alert_rule_changed",
        "alert_rule_changed",
        "alert_rule_removed",
    ]


async def test_a_rule_that_makes_no_sense_is_refused_with_its_place(site):
    for wrong in (
        {"name": "x", "settings": {"kind": "clock", "tiers": []}},
        {"name": "x", "settings": {"kind": "clock", "tiers": [{"severity": "info"}]}},
        {"name": "x", "settings": {"kind": "unheard_of"}},
        {"name": "x", "settings": {"kind": "consumer_lag"}},
        {"name": "x", "settings": {"kind": "clock", "colour": "red"}},
        {"name": "x", "settings": {"kind": "morning_digest", "zone": "Mars/Olympus"}},
    ):
        answer = await site["admin"].post("/v1/alerts/rules", json=wrong)
        assert answer.status_code == 422, wrong


async def test_the_operator_sets_rules_of_the_pipeline_only(site, select):
    rules = (await site["operator"].get("/v1/alerts/rules")).json()["data"]
    assert {KINDS[one["settings"]["kind"]].about for one in rules} == {"pipeline"}

    assert (await site["operator"].post("/v1/alerts/rules", json=CLOCK)).status_code == 422
    lag = {"name": "Lag", "settings": {"kind": "consumer_lag", "above": 5}}
    assert (await site["operator"].post("/v1/alerts/rules", json=lag)).status_code == 201


async def test_a_preview_tells_what_a_rule_would_have_sent(site, record):
    await record(*(near(0.5, organization_id=site.organization) for _ in range(3)))

    always = {"name": "x", "settings": {"kind": "new_case", "amount_at_least": "1.00"}}
    found = (await site["viewer"].post("/v1/alerts/rules/preview", json=always)).json()
    assert (found["alerts"], found["cases"], found["truncated"]) == (3, 3, False)
    assert found["said"].startswith("This rule would have sent ")

    nothing = {**always, "only": {"amount_at_least": "1000000.00"}}
    quiet = (await site["viewer"].post("/v1/alerts/rules/preview", json=nothing)).json()
    assert (quiet["alerts"], quiet["messages"]) == (0, 0)


async def test_a_preview_of_each_kind_tells_what_is_known_and_says_what_is_not(site, record, engine):
    today = clock.now().date()
    denials = [(8 + 3 * n) for n in range(18)] + [n % 5 for n in range(25)]
    await record(
        *(near(90, organization_id=site.organization, on=today - timedelta(days=days)) for days in denials)
    )

    async def preview(kind: str, role: str = "viewer", **given) -> dict:
        rule = {"name": "x", "settings": {"kind": kind, **given}}
        answer = await site[role].post("/v1/alerts/rules/preview", json=rule)
        assert answer.status_code == 200, answer.text
        return answer.json()

    every_day = await preview("morning_digest", weekdays=list(range(7)), zone="UTC")
    assert 27 <= every_day["messages"] == len(every_day["by_day"]) <= 30
    assert 0 < (await preview("morning_digest", weekdays=[0]))["messages"] <= 5
    for kind in ("clock", "unowned", "deadline_missed", "follow_up", "information_request", "denial_jump"):
        assert (await preview(kind))["messages"] == 0, kind  # all of it is new since this minute
    assert (await preview("clock"))["left_out"].startswith("Deadlines are those of today")

    for agrees in (False, True, False):
        await site["operator"].put("/v1/alerts/reconciliation", json={"agrees": agrees})
    failed = await preview("reconciliation_failed", "operator")
    assert failed["alerts"] == 2
    unknown = await preview("consumer_lag", "operator", above=10)
    assert unknown["messages"] is None
    assert unknown["said"].endswith("cannot be told.")
    assert (await preview("channel_failing"))["alerts"] == 0


async def test_routes_and_calendar_are_replaced_whole(site):
    before = await site["viewer"].get("/v1/alerts/routes")
    assert before.json()["version"] == 0
    routing = {
        "route": {"name": "all", "channels": "all", "routes": [{"name": "a", "channels": [str(uuid4())]}]}
    }
    calendar = {"zone": "America/Chicago", "closes": "17:00:00", "closed": ["2026-12-24"]}

    answer = await site["admin"].put(
        "/v1/alerts/routes", json={"routing": routing, "calendar": calendar}, headers={"If-Match": '"0"'}
    )
    assert answer.status_code == 200
    stored = (await site["viewer"].get("/v1/alerts/routes")).json()
    assert stored["version"] == 1
    assert stored["calendar"]["zone"] == "America/Chicago"
    assert stored["calendar"]["closed"] == ["2026-12-24"]
    assert stored["calendar"]["weekdays"] == [0, 1, 2, 3, 4]
    stale = await site["admin"].put(
        "/v1/alerts/routes", json={"routing": routing}, headers={"If-Match": '"0"'}
    )
    assert stale.status_code == 412
    for wrong in ({"zone": "Mars"}, {"country": "XX"}, {"opens": "19:00"}, {"subdivision": "QQ"}):
        refused = await site["admin"].put("/v1/alerts/routes", json={"routing": routing, "calendar": wrong})
        assert refused.status_code == 422, wrong


def routes_of_depth(depth: int) -> dict:
    route: dict = {"name": "leaf", "channels": "all"}
    for _ in range(depth):
        route = {"name": "branch", "routes": [route]}
    return {"routing": {"route": route}}


async def test_what_routes_are_kept_can_be_read_again(site):
    admin = site["admin"]
    assert (await admin.put("/v1/alerts/routes", json=routes_of_depth(10))).status_code == 200
    assert (await admin.put("/v1/alerts/routes", json=routes_of_depth(110))).status_code == 422

    assert (await site["viewer"].get("/v1/alerts/routes")).status_code == 200


async def test_nobody_keeps_more_than_a_look_can_go_through(site, monkeypatch):
    monkeypatch.setattr(alert_rules, "RULES_MAX", 1)
    monkeypatch.setattr(alert_routes, "SILENCES_MAX", 0)
    monkeypatch.setattr(channels, "CHANNELS_MAX", 0)
    until = (clock.now() + timedelta(hours=2)).isoformat()
    for path, new, code in (
        ("rules", CLOCK, 409),
        ("silences", {"match": {"kinds": ["clock"]}, "reason": "known", "ends_at": until}, 409),
        ("channels", {"name": "c", "kind": "pagerduty", "secret": "a" * 32}, 409),
        ("rules", {**CLOCK, "only": {"payers": ["p"] * 501}}, 422),
    ):
        answer = await site["admin"].post(f"/v1/alerts/{path}", json=new)
        assert answer.status_code == code, (path, answer.text)


async def test_a_silence_has_an_author_a_reason_and_an_end(site):
    until = (clock.now() + timedelta(hours=2)).isoformat()
    match = {"kinds": ["clock"]}
    for wrong in (
        {"match": match, "ends_at": until},
        {"match": match, "reason": "known"},
        {"match": match, "reason": "known", "ends_at": "2020-01-01T00:00:00Z"},
        {"match": match, "reason": "known", "ends_at": "2999-01-01T00:00:00Z"},
        {"match": {}, "reason": "known", "ends_at": until},
    ):
        answer = await site["admin"].post("/v1/alerts/silences", json=wrong)
        assert answer.status_code == 422, wrong

    new = {"match": match, "reason": "the payer knows", "ends_at": until}
    made = (await site["supervisor"].post("/v1/alerts/silences", json=new)).json()
    assert made["made_by_name"] == "supervisor"
    upkeep = {"reason": "migration", "ends_at": until}
    assert (await site["admin"].post("/v1/alerts/maintenance", json=upkeep)).status_code == 201

    listed = (await site["viewer"].get("/v1/alerts/silences")).json()["data"]
    assert {one["maintenance"]: one["reason"] for one in listed} == {
        False: "the payer knows",
        True: "migration",
    }
    for one in listed:
        path = f"/v1/alerts/silences/{one['silence_id']}"
        assert (await site["viewer"].delete(path)).status_code == 403
        assert (await site["stranger"].delete(path)).status_code == 404
        assert (await site["admin"].delete(path)).status_code == 204
    assert (await site["viewer"].get("/v1/alerts/silences")).json()["data"] == []


async def test_what_would_go_out_now_is_shown_and_not_sent(site, record, engine, select):
    await record(*(near(0.5, organization_id=site.organization) for _ in range(2)))
    await look(site, engine)
    assert (await site["viewer"].get("/v1/alerts/preview")).json()["data"] == []
    async with transaction(engine, organizations=[site.organization]) as connection:
        await connection.execute(
            text(
                "insert into tracker.channels (organization_id, channel_id, name, kind, settings)"
                " values (:id, gen_random_uuid(), 'c', 'webhook', '{}')"
            ),
            {"id": site.organization},
        )
    shown = (await site["viewer"].get("/v1/alerts/preview")).json()["data"]
    assert sum(one["count"] for one in shown) >= 2
    assert any(" left" in line or "today" in line for one in shown for line in one["lines"])  # by the hour

    rules = (await site["viewer"].get("/v1/alerts/rules")).json()["data"]
    digest, *_ = [one for one in rules if one["settings"]["kind"] == "morning_digest"]
    clock_rule, *_ = [one for one in rules if one["settings"]["kind"] == "clock"]
    written = (await site["viewer"].get(f"/v1/alerts/rules/{digest['rule_id']}/digest")).json()
    assert written["lines"][0].startswith("2 new")
    assert written["runbook"] == "docs/runbooks/morning_digest.md"
    assert written["runbook_url"].endswith(":8083/runbooks/morning_digest.md")
    refused = await site["viewer"].get(f"/v1/alerts/rules/{clock_rule['rule_id']}/digest")
    assert refused.status_code == 422
    assert await select("select 1 from tracker.notifications", organization=site.organization) == []


async def test_a_reconciliation_that_fails_is_an_alert_of_the_operator(site, engine):
    async def told(*, agrees: bool):
        answer = await site["operator"].put("/v1/alerts/reconciliation", json={"agrees": agrees})
        assert answer.status_code == 204
        await look_at(engine, INSTALLATION, at=clock.now())
        return [one["kind"] for one in (await site["operator"].get("/v1/alerts")).json()["data"]]

    assert await told(agrees=False) == ["reconciliation_failed"]
    assert await told(agrees=True) == []
    assert (await site["viewer"].put("/v1/alerts/reconciliation", json={"agrees": True})).status_code == 403
