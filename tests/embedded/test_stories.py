"""
Five denials from the file to their ends, over all services as a person runs them.

One is won, and tells the same story in its timeline, in the audit log and in the events. Its sad twins: too
late, not permitted, paid and taken back, denied twice.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.postgres import create_engine, rows, transaction
from tests.support.stack import Up, machine_folder, wait_until

pytestmark = pytest.mark.slow

CLAIMS = ("WON", "LATE", "FORBIDDEN", "TAKEN", "TWICE")
RETRO = {"request": "retro_authorization"}


def remittance(number: int, on: str, paid: int, *claims: str, plb: str = "") -> bytes:
    """An 835 of one payment; `on` is a day as X12 writes it."""
    body = (
        "ST*835*0001~"
        f"BPR*I*{paid}*C*ACH*CCP*01*111000025*DA*1*1990000009**01*111000025*DA*2*{on}~"
        f"TRN*1*STORY{number}*1990000009~DTM*405*{on}~"
        "N1*PR*COBBLESTONE MUTUAL*XV*SIM02~N3*1 QUARRY ROAD~N4*LANSING*MI*48933~PER*BL*DESK*TE*8005550100~"
        "N1*PE*LANTERN VALLEY CLINIC*XX*1234567893~LX*1~" + "".join(claims) + plb
    )
    return (
        f"ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *{on[2:]}*0600*^*00501*"
        f"{number:09}*0*P*:~GS*HP*SENDER*RECEIVER*{on}*0600*{number}*X*005010X221A1~"
        f"{body}SE*{body.count('~') + 1}*0001~GE*1*{number}~IEA*1*{number:09}~"
    ).encode()


def claim(name: str, *, status: int = 1, charge: int = 480, paid: int = 0, cas: str = "CO*197*480") -> str:
    owed = sum(int(one.split("*")[2]) for one in cas.split() if one.startswith("PR"))
    return (
        f"CLP*ST-{name}*{status}*{charge}*{paid}*{owed or ''}*HM*26110{CLAIMS.index(name):05}*11*1~"
        f"NM1*QC*1*QUILTOR*{name}****MI*SIM{CLAIMS.index(name):09}~"
        f"SVC*HC:70551:26*{charge}*{paid}**1~DTM*472*20261001~"
        + "".join(f"CAS*{one}~" for one in cas.split())
    )


class Office:
    """Who works there, at the tracker's API."""

    def __init__(self, up: Up) -> None:
        self.up = up

    def call(
        self, method: str, service: str, path: str, role: str = "biller", **given: Any
    ) -> httpx2.Response:
        content = self.up.up_file
        headers = {"Authorization": f"Bearer {content['keys'][role]}"} | given.pop("headers", {})
        return httpx2.request(method, content[f"{service}_url"] + path, headers=headers, timeout=60, **given)

    def arrives(self, file: bytes) -> None:
        feed = self.up.up_file["feed"]
        headers = {"Content-Type": "application/edi-x12"}
        answer = self.call(
            "POST", "ingest", f"/v1/remittances?feed={feed}", "submitter", content=file, headers=headers
        )
        assert answer.status_code in (200, 202), answer.text

    def case(self, name: str) -> dict[str, Any]:
        found = self.call("GET", "tracker", "/v1/cases", params={"claim_number": f"ST-{name}"}).json()["data"]
        return found[0] if found else {"state": None, "closed_reason": None}

    def becomes(self, name: str, state: str, reason: str | None = None) -> dict[str, Any]:
        """Wait until the remittances have moved the case there."""

        def there() -> dict[str, Any] | None:
            case = self.case(name)
            return case if (case["state"], case["closed_reason"]) == (state, reason) else None

        return wait_until(there, seconds=120, what=f"{name} is {state}")

    def does(
        self, name: str, kind: str, *, role: str = "biller", status: int = 201, **told: Any
    ) -> dict[str, Any]:
        path = f"/v1/cases/{self.case(name)['case_id']}/steps"
        answer = self.call("POST", "tracker", path, role, json={"kind": kind, **told})
        assert answer.status_code == status, answer.text
        return answer.json()

    def types(self, *words: str) -> str:
        return self.up.run("cases", *words).stdout

    def papers(self, name: str) -> list[dict[str, Any]]:
        path = f"/v1/cases/{self.case(name)['case_id']}"
        return self.call("GET", "tracker", path).json()["documents"]

    def timeline(self, name: str) -> list[dict[str, Any]]:
        path = f"/v1/cases/{self.case(name)['case_id']}/timeline"
        return self.call("GET", "tracker", path, "auditor").json()["data"]

    def events(self, name: str) -> list[dict[str, Any]]:
        told = self.call("GET", "tracker", "/v1/events", params={"limit": 200}).json()["data"]
        return [one for one in told if one["data"]["case_id"] == self.case(name)["case_id"]]

    def audited(self, name: str) -> list[str]:
        case_id = self.case(name)["case_id"]

        async def read() -> list[Any]:
            engine = create_engine(self.up.up_file["admin_database_url"], name="test")
            try:
                async with transaction(
                    engine, organizations=[self.up.up_file["organization_id"]]
                ) as connection:
                    return await rows(
                        connection,
                        "select action, detail from tracker.audit_log where subject_id = :id order by entry_id",
                        id=case_id,
                    )
            finally:
                await engine.dispose()

        return [row.detail.get("kind", row.action) for row in asyncio.run(read())]

    def attaches(self, name: str, content: bytes) -> str:
        """Attach a file of plain text, and give its id."""
        answer = self.call(
            "POST",
            "tracker",
            f"/v1/cases/{self.case(name)['case_id']}/files",
            content=content,
            headers={"Content-Type": "text/plain"},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["file"]["file_id"]


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with machine_folder() as folder:
        up = Up(folder)
        try:
            up.wait_until_ready()
            office = Office(up)
            office.arrives(remittance(1, "20261104", 0, *(claim(name) for name in CLAIMS)))
            for name in CLAIMS:
                office.becomes(name, "open")
            yield office
        finally:
            up.end()


def test_a_denial_is_won(office: Office, tmp_path: Path) -> None:
    case_id = office.case("WON")["case_id"]

    # A biller puts the request together and sends it.
    assert "The case is in preparation" in office.types("prepare", case_id, "retro_authorization")
    paper = next(one for one in office.papers("WON") if one["state"] == "missing")
    notes = tmp_path / "Quiltor, Won.pdf"
    notes.write_bytes(b"%PDF-1.7 notes of the visit")
    assert "Attached as" in office.types("attach", case_id, str(notes), "--document", paper["document"])
    [there] = [one for one in office.papers("WON") if one["state"] == "attached"]
    [file_id] = there["file_ids"]
    assert notes.name not in office.types("files", case_id)
    assert notes.name in office.types("files", case_id, "--reveal")
    sent = office.does(
        "WON", "submit", **RETRO, on="2026-11-06", channel="portal", reference="REF-2041", files=[file_id]
    )
    assert sent["case"]["follow_up_on"] == "2026-11-20"
    # The payer wants to know more, and gets it.
    asked = office.does(
        "WON", "information_requested", **RETRO, on="2026-11-09", what="report", due_on="2026-11-20"
    )
    assert asked["case"]["information_due_at"].startswith("2026-11-21")  # its day ends later than ours
    office.does("WON", "information_sent", **RETRO, on="2026-11-10", channel="fax")
    # It approves. That is no payment.
    approved = office.does(
        "WON", "determine", **RETRO, on="2026-11-11", outcome="approved", authorization_number="AUTH-77"
    )
    assert (approved["case"]["state"], approved["case"]["recovered_payer_amount"]) == ("approved", "0.00")
    office.does("WON", "close", reason="recovered", status=409)
    # The claim goes out again, and a later remittance pays it.
    office.does("WON", "corrected_claim_sent", on="2026-11-11")
    paid = claim("WON", paid=300, cas="CO*45*100 PR*2*80")
    office.arrives(remittance(2, "20261116", 300, paid))

    won = office.becomes("WON", "closed", "recovered")
    assert (won["recovered_payer_amount"], won["recovered_patient_amount"]) == ("300.00", "80.00")
    office.types("download", case_id, file_id, "--to", str(tmp_path / "again.pdf"))
    assert (tmp_path / "again.pdf").read_bytes() == notes.read_bytes()
    steps = [
        ("prepare", "in_preparation"),
        ("file_attached", "in_preparation"),
        ("submit", "submitted"),
        ("information_requested", "information_requested"),
        ("information_sent", "submitted"),
        ("determine", "approved"),
        ("corrected_claim_sent", "corrected_claim_sent"),
    ]
    timeline = [
        (entry["step"]["kind"] if entry["step"] else entry["kind"], entry["state"])
        for entry in office.timeline("WON")
        if entry["state"]
    ]
    moved = [one for one in steps if one[0] != "file_attached"]
    assert timeline == [("decision", "open"), *moved, ("remittance", "closed")]
    told = [kind for kind, _ in steps]
    assert office.audited("WON") == [*told[:2], "identifiers_opened", *told[2:], "file_opened"]
    assert [(one["data"].get("step"), one["data"]["state"]) for one in office.events("WON")] == [
        (None, "open"),
        *steps,
        (None, "closed"),
    ]
    assert [one["data"]["version"] for one in office.events("WON")] == list(range(1, 10))
    assert office.events("WON")[-1]["type"] == "CaseClosed"
    shown = office.types("show", case_id)
    assert "recovered: $300.00 paid, $80.00 left to the patient" in shown
    assert "request: retro authorization: approved, reference REF-2041" in shown


def test_a_denial_whose_time_ran_out_is_closed_by_a_person_and_by_nobody_else(office: Office) -> None:
    assert office.case("LATE")["state"] == "open"

    office.does("LATE", "close", reason="written_off", note="too late", status=403)
    closed = office.does("LATE", "close", reason="expired", note="nobody looked in time")

    assert (closed["case"]["state"], closed["case"]["closed_reason"]) == ("closed", "expired")
    assert office.timeline("LATE")[-1]["closed_reason"] == "expired"
    assert office.audited("LATE") == ["close"]
    assert office.events("LATE")[-1]["data"]["closed_reason"] == "expired"


def test_a_payer_that_grants_no_such_request_ends_it_until_somebody_knows_better(office: Office) -> None:
    wrong = office.attaches("FORBIDDEN", b"the notes of somebody else")
    assert (
        "now possible"
        in office.types(
            "remove-file", office.case("FORBIDDEN")["case_id"], wrong, "another patient's"
        ).lower()
    )
    office.does("FORBIDDEN", "close", reason="not_permitted", note="the plan takes none")
    reopened = office.does("FORBIDDEN", "reopen", note="the appeal lane is open")
    appealed = office.does("FORBIDDEN", "submit", request="appeal", on="2026-11-10", channel="mail")
    twice = office.does("FORBIDDEN", "submit", request="appeal", on="2026-11-11", channel="fax", status=409)

    assert (reopened["case"]["state"], appealed["case"]["state"]) == ("open", "submitted")
    assert "submitted for this claim before, on 2026-11-10" in twice["detail"]
    steps = ["file_attached", "file_removed", "close", "reopen", "submit"]
    assert office.audited("FORBIDDEN") == steps
    assert [one["step"]["kind"] for one in office.timeline("FORBIDDEN") if one["step"]] == steps
    assert [one["data"].get("step") for one in office.events("FORBIDDEN")] == [None, *steps]


def test_money_that_is_taken_back_opens_the_case_again(office: Office) -> None:
    office.does("TAKEN", "submit", **RETRO, on="2026-11-06", channel="portal")
    office.arrives(remittance(3, "20261117", 480, claim("TAKEN", paid=480, cas="")))
    office.becomes("TAKEN", "closed", "recovered")

    reversal = claim("TAKEN", status=22, charge=-480, paid=-480, cas="")
    office.arrives(remittance(4, "20261118", 0, reversal, plb="PLB*1234567893*20261231*FB:STTAKEN*-480~"))

    again = office.becomes("TAKEN", "open")
    assert (again["recovered_payer_amount"], again["closed_at"]) == ("0.00", None)
    states = [entry["state"] for entry in office.timeline("TAKEN") if entry["state"]]
    assert states == ["open", "submitted", "closed", "open"]
    assert [one["data"]["state"] for one in office.events("TAKEN")] == states


def test_a_claim_that_is_denied_twice_is_one_case_with_its_history(office: Office) -> None:
    office.does("TWICE", "submit", **RETRO, on="2026-11-06", channel="portal")
    office.does("TWICE", "determine", **RETRO, on="2026-11-12", outcome="denied", reason="no urgency")
    office.arrives(remittance(5, "20261119", 0, claim("TWICE")))

    again = office.becomes("TWICE", "open")
    assert again["denied_on"] == "2026-11-19"
    detail = office.call("GET", "tracker", f"/v1/cases/{again['case_id']}").json()
    assert [(one["kind"], one["state"]) for one in detail["requests"]] == [("retro_authorization", "denied")]
    assert [one["payer_date"] for one in detail["observations"]] == ["2026-11-04", "2026-11-19"]
    office.does("TWICE", "submit", **RETRO, on="2026-11-20", channel="fax", status=409)
    office.does(
        "TWICE", "submit", **RETRO, on="2026-11-20", channel="fax", duplicate_reason="denied a second time"
    )


def test_the_audit_logs_chain_holds_after_all_this(office: Office) -> None:
    assert office.up.run("audit", "verify").returncode == 0
