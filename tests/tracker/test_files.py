"""The files of a case: taken whole or not at all, sealed, opened by few, removed for good, and nobody else's."""

import asyncio
from datetime import timedelta
from hashlib import sha256
from urllib.parse import quote
from uuid import uuid4

import pytest

from services.tracker.store import files as store
from services.tracker.store.files import clear_loose
from services.tracker.store.retention import empty_claims
from shared.errors import UnavailableError
from shared.postgres import transaction
from shared.storage.vault import CHUNK_BYTES
from tests.tracker.site import CASE_BYTES_MAX, FILE_BYTES_MAX, only
from tests.tracker.test_steps_api import SUBMIT, made, told

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 900
NAME = "Jane Quiltington's notes, März.pdf"
NOTES = "Missing: notes"


@pytest.fixture
async def case(site, deny):
    """The path of a case."""
    await deny(documents=("From the remittance: all", NOTES, "Missing: order"))
    return f"/v1/cases/{(await only(site))['case_id']}"


async def attach(
    client, case, content=PDF, *, status=201, kind="application/pdf", name=NAME, documents=(), **more
):
    headers = {
        "Content-Type": kind,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    answer = await client.post(
        f"{case}/files", content=content, params={"document": list(documents)}, headers=headers | more
    )
    assert answer.status_code == status, answer.text
    return answer


async def listed(client, case, **asked):
    answer = await client.get(f"{case}/files", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def objects(site):
    return [path for path in site.vault.objects.folder.rglob("*") if path.is_file()]


async def loose(select, site):
    return await select("select * from tracker.loose_objects", site.organization)


async def test_a_file_comes_back_as_it_was_attached(site, case, select):
    answer = (await attach(site["biller"], case, documents=[NOTES])).json()
    file = answer["file"]
    got = await site["biller"].get(f"{case}/files/{file['file_id']}/content")

    assert got.content == PDF
    assert got.headers["content-type"] == "application/pdf"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-length"] == str(len(PDF))
    assert got.headers["content-disposition"].startswith("attachment; filename=")
    assert quote(NAME, safe="") in got.headers["content-disposition"]
    assert (file["name"], file["size_bytes"]) == ("•••", len(PDF))
    assert file["sha256"] == sha256(PDF).hexdigest()
    [row] = await select("select * from tracker.steps", site.organization)
    assert (row.kind, row.body["sha256"], row.body["documents"]) == (
        "file_attached",
        file["sha256"],
        [NOTES],
    )
    assert await loose(select, site) == []


async def test_a_file_lies_sealed_and_its_name_nowhere_in_the_clear(site, case, select):
    await attach(site["biller"], case)

    [kept] = objects(site)
    assert b"PDF" not in kept.read_bytes()
    assert kept.stat().st_size > len(PDF)
    for table in ("files", "steps", "audit_log", "cases", "idempotency"):
        rows = await select(
            f"select cast(to_jsonb(t) as text) as said from tracker.{table} t", site.organization
        )
        assert not [one for one in rows if "Quiltington" in one.said], table
    assert "Quiltington" not in str(await told(select, site.organization))
    for path in (case, f"{case}/timeline", f"{case}/steps", f"{case}/files", "/v1/events", "/v1/cases.csv"):
        assert "Quiltington" not in (await site["biller"].get(path)).text, path


async def test_a_paper_with_a_file_counts_as_there_until_the_file_is_removed(site, case):
    file = (await attach(site["biller"], case, documents=[NOTES])).json()["file"]
    with_it = (await site["viewer"].get(case)).json()
    removal = {"kind": "file_removed", "file_id": file["file_id"], "reason": "another patient's"}
    await made(site["biller"], case, removal)
    without = (await site["viewer"].get(case)).json()

    assert [(one["state"], one["file_ids"]) for one in with_it["documents"]] == [
        ("on_the_remittance", []),
        ("attached", [file["file_id"]]),
        ("missing", []),
    ]
    assert (with_it["documents_complete"], without["documents_complete"]) == (0.67, 0.33)
    assert [one["state"] for one in without["documents"]] == ["on_the_remittance", "missing", "missing"]


async def test_the_same_bytes_are_one_file_which_may_be_several_papers(site, case, select):
    first = (await attach(site["biller"], case, documents=[NOTES])).json()
    again = (await attach(site["admin"], case, documents=[NOTES], name="other.pdf", status=200)).json()
    further = (await attach(site["biller"], case, documents=["Missing: order"])).json()
    await clear_loose(site_engine(site), site.vault)

    assert first["file"]["file_id"] == again["file"]["file_id"] == further["file"]["file_id"]
    assert further["file"]["documents"] == [NOTES, "Missing: order"]
    assert (first["case"]["version"], again["case"]["version"], further["case"]["version"]) == (2, 2, 3)
    assert len(await select("select 1 from tracker.files", site.organization)) == 1
    assert len(objects(site)) == 1
    assert await loose(select, site) == []


def site_engine(site):
    return site.keyring._engine


async def test_the_same_file_sent_at_once_by_many_is_one(site, case, select):
    answers = await asyncio.gather(
        *(
            site["biller"].post(f"{case}/files", content=PDF, headers={"Content-Type": "application/pdf"})
            for _ in range(4)
        )
    )
    await clear_loose(site_engine(site), site.vault)

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len(await select("select 1 from tracker.steps", site.organization)) == 1
    assert len(objects(site)) == 1


async def test_a_repeated_key_gives_the_kept_answer_and_another_file_under_it_is_refused(site, case, select):
    key = {"Idempotency-Key": "k-1"}
    first = await attach(site["biller"], case, **key)
    again = await attach(site["biller"], case, **key)
    await attach(site["biller"], case, PDF + b"x", status=422, **key)
    await clear_loose(site_engine(site), site.vault)

    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(objects(site)) == 1


async def test_every_opening_is_in_the_audit_log(site, case, select):
    file = (await attach(site["biller"], case)).json()["file"]
    await listed(site["biller"], case)
    [shown] = await listed(site["biller"], case, reveal=True)
    await site["supervisor"].get(f"{case}/files/{file['file_id']}/content")
    rows = await select("select action, detail from tracker.audit_log order by entry_id", site.organization)

    assert (shown["name"], shown["revealed"]) == (NAME, True)
    assert [row.action for row in rows] == ["step_made", "identifiers_opened", "file_opened"]
    assert rows[-1].detail == {"file_id": file["file_id"]}


@pytest.mark.parametrize("role", ["viewer", "auditor"])
async def test_who_only_reads_sees_that_there_is_a_file_and_nothing_of_it(site, case, select, role):
    file = (await attach(site["biller"], case)).json()["file"]

    [shown] = await listed(site[role], case)
    opened = await site[role].get(f"{case}/files/{file['file_id']}/content")
    named = await site[role].get(f"{case}/files", params={"reveal": True})
    await attach(site[role], case, status=403)

    assert (shown["name"], shown["size_bytes"]) == ("•••", len(PDF))
    assert (opened.status_code, named.status_code) == (403, 403)
    rows = await select("select action from tracker.audit_log", site.organization)
    assert [row.action for row in rows] == ["step_made"]


async def test_another_organization_learns_nothing_of_a_file(site, case, deny):
    file = (await attach(site["biller"], case)).json()["file"]
    stranger = site["stranger"]
    nobodys = f"/v1/cases/{uuid4()}"

    for place in (f"/files/{file['file_id']}/content", "/files"):
        theirs, unknown = [await stranger.get(path + place) for path in (case, nobodys)]
        assert theirs.status_code == unknown.status_code == 404
        assert theirs.json()["detail"] == unknown.json()["detail"]
    await attach(stranger, case, status=404)
    await deny(claim_number="B-2")
    [other] = [
        one["case_id"]
        for one in (await site["viewer"].get("/v1/cases")).json()["data"]
        if one["case_id"] not in case
    ]
    elsewhere = await site["biller"].get(f"/v1/cases/{other}/files/{file['file_id']}/content")
    assert elsewhere.status_code == 404  # a file of another case


async def test_what_is_removed_is_gone_for_good_and_its_trace_stays(site, case, select):
    file = (await attach(site["biller"], case)).json()["file"]
    removal = {"kind": "file_removed", "file_id": file["file_id"], "reason": "another patient's"}
    await made(site["biller"], case, removal)
    gone = await site["biller"].get(f"{case}/files/{file['file_id']}/content")
    [row] = await select("select * from tracker.files", site.organization)
    cleared = await clear_loose(site_engine(site), site.vault)
    [shown] = await listed(site["biller"], case, reveal=True)

    assert gone.status_code == 409
    assert (row.wrapped_key, row.sealed_name) == (None, None)
    assert (cleared, objects(site)) == (1, [])
    assert (shown["name"], shown["sha256"]) == (None, file["sha256"])
    assert shown["removed_at"] == shown["shredded_at"] != None  # noqa: E711
    steps = (await site["viewer"].get(f"{case}/steps")).json()["data"]
    assert [one["kind"] for one in steps] == ["file_attached", "file_removed"]
    await made(site["biller"], case, removal, status=422)
    assert (await attach(site["biller"], case)).json()["file"]["file_id"] != file["file_id"]


async def test_what_was_sent_names_its_files_and_only_a_leader_removes_those(site, case):
    file = (await attach(site["biller"], case)).json()["file"]
    await made(site["biller"], case, {**SUBMIT, "files": [str(uuid4())]}, status=422)
    sent = (await made(site["biller"], case, {**SUBMIT, "files": [file["file_id"]]})).json()
    removal = {"kind": "file_removed", "file_id": file["file_id"], "reason": "another patient's"}

    refused = await made(site["biller"], case, removal, status=403)
    await made(site["supervisor"], case, removal)

    assert sent["step"]["told"]["files"] == [file["file_id"]]
    assert "sent to the payer" in refused.json()["detail"]


async def test_nobody_says_that_a_file_is_there_without_its_bytes(site, case):
    step = {
        "kind": "file_attached",
        "file_id": str(uuid4()),
        "sha256": "0" * 64,
        "media_type": "application/pdf",
        "size_bytes": 7,
    }
    await made(site["biller"], case, step, status=422)


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("application/pdf", b"<html><script>", 415),
        ("application/pdf", b"%PD", 415),
        ("text/html", b"<html>", 415),
        ("application/zip", b"PK\x03\x04", 415),
        ("", PDF, 415),
        ("text/plain", b"MZ\x00\x01", 415),
        ("application/pdf", b"", 422),
        ("application/pdf", b"%PDF-" + bytes(FILE_BYTES_MAX), 413),
        ("image/png", b"\x89PNG\r\n\x1a\nx", 201),
        ("image/tiff", b"MM\0*x", 201),
        ("image/jpeg; q=1", b"\xff\xd8\xff\xe0", 201),
        ("TEXT/plain; charset=utf-8", "März".encode(), 201),
    ],
)
async def test_only_what_it_says_it_is_and_not_too_much_of_it_is_kept(
    site, case, select, kind, content, status
):
    await attach(site["biller"], case, content, kind=kind, status=status)
    await clear_loose(site_engine(site), site.vault)

    assert len(objects(site)) == len(await select("select 1 from tracker.files", site.organization))
    assert await loose(select, site) == []


async def test_a_body_without_an_announced_length_ends_at_the_limit(site, case, select):
    sent = 0

    async def endless():
        nonlocal sent
        yield b"%PDF-"
        while True:
            sent += CHUNK_BYTES
            yield bytes(CHUNK_BYTES)

    await attach(site["biller"], case, endless(), status=413)

    assert sent < FILE_BYTES_MAX + 3 * CHUNK_BYTES
    await clear_loose(site_engine(site), site.vault)
    assert (objects(site), await loose(select, site)) == ([], [])


async def test_the_files_of_a_case_have_a_limit_together(site, case, select):
    half = CASE_BYTES_MAX // 2
    bodies = [b"%PDF-" + bytes([number]) * (half - 5) for number in range(3)]
    await attach(site["biller"], case, bodies[0])
    answers = await asyncio.gather(
        *(
            site["biller"].post(f"{case}/files", content=one, headers={"Content-Type": "application/pdf"})
            for one in bodies[1:]
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201, 413]
    [kept] = await select("select sum(size_bytes) as bytes from tracker.files", site.organization)
    assert kept.bytes == 2 * half
    await attach(site["biller"], case, bodies[0], status=200)  # of a full case, too


async def test_a_name_may_be_anything_and_a_paper_must_be_on_the_list(site, case, select):
    await attach(site["biller"], case, name="../../etc/passwd\u202egnp.exe")
    await attach(site["biller"], case, b"%PDF-2", name="")
    await attach(site["biller"], case, b"%PDF-3", documents=["no such paper"], status=422)

    names = [one["name"] for one in await listed(site["biller"], case, reveal=True)]
    assert names == ["passwd gnp.exe.pdf", "document.pdf"]


async def test_who_looked_at_an_old_version_attaches_nothing(site, case, select):
    await made(site["biller"], case, SUBMIT)
    await attach(site["biller"], case, status=412, **{"If-Match": '"1"'})

    assert objects(site) == []


async def test_an_upload_that_is_killed_anywhere_leaves_a_file_or_nothing(site, case, select, monkeypatch):
    """Killed: not even the last words are said, and the sweep of a day later is all that comes."""

    async def killed(*_, **__):
        raise UnavailableError("killed")

    monkeypatch.setattr(store, "give_up", killed)
    engine = site_engine(site)

    async def a_day_later():
        await select(
            "update tracker.loose_objects set due_at = due_at - cast(:day as interval) returning 1",
            site.organization,
            day=timedelta(days=1),
        )
        await clear_loose(engine, site.vault)

    # before its bytes are there
    with monkeypatch.context() as broken:
        broken.setattr("services.tracker.api.files.seal_stream", killed)
        await attach(site["biller"], case, status=503)
    assert len(await loose(select, site)) == 1
    # with its bytes and without its row
    with monkeypatch.context() as broken:
        broken.setattr(store, "add_file", killed)
        await attach(site["biller"], case, status=503)
    assert (len(objects(site)), len(await loose(select, site))) == (1, 2)
    await clear_loose(engine, site.vault)  # too early
    assert len(objects(site)) == 1
    await a_day_later()
    assert (objects(site), await loose(select, site)) == ([], [])
    assert await select("select 1 from tracker.steps", site.organization) == []
    # with both
    file = (await attach(site["biller"], case)).json()["file"]
    await a_day_later()
    assert (await site["biller"].get(f"{case}/files/{file['file_id']}/content")).content == PDF


async def test_bytes_that_the_sweep_has_taken_never_become_a_file(site, case, select, monkeypatch):
    real = store.add_file

    async def late(connection, *given, **named):
        await connection.execute(store._GIVE_UP, {"storage_key": named["stored"].storage_key})
        await real(connection, *given, **named)

    monkeypatch.setattr(store, "add_file", late)
    refused = await attach(site["biller"], case, status=503)

    assert "too slowly" in refused.json()["detail"]
    assert await select("select 1 from tracker.files", site.organization) == []


async def test_a_purge_takes_the_files_with_their_claim(site, case, select, engine):
    file = (await attach(site["biller"], case)).json()["file"]
    [row] = await select("select * from tracker.cases", site.organization)
    async with transaction(engine, organizations=[site.organization]) as connection:
        await empty_claims(connection, [row.claim_key])
    await clear_loose(engine, site.vault)

    [shown] = await listed(site["biller"], case, reveal=True)
    opened = await site["biller"].get(f"{case}/files/{file['file_id']}/content")
    assert objects(site) == []
    assert (shown["name"], shown["removed_at"], shown["documents"]) == (None, None, [])
    assert shown["shredded_at"] is not None
    assert "purged" in opened.json()["detail"]
    await attach(site["biller"], case, status=409)


async def test_a_file_whose_bytes_were_touched_does_not_open(site, case):
    file = (await attach(site["biller"], case)).json()["file"]
    [kept] = objects(site)
    sealed = kept.read_bytes()
    kept.write_bytes(bytes([sealed[0] ^ 1]) + sealed[1:])

    answer = await site["biller"].get(f"{case}/files/{file['file_id']}/content")

    assert answer.status_code == 422
    assert "changed or moved" in answer.json()["detail"]
