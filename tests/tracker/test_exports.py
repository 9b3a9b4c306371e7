"""Lists as files: whole, harmless in a spreadsheet, masked, and audited."""

import csv
import io
import zipfile
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.api import exports
from services.tracker.domain.spreadsheets import XlsxWriter, csv_lines, defused
from shared.contracts.claim import Party
from tests.tracker.site import page

NS = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    ["=1+1", "＝1+1", "＋1", "－1", "＠SUM(A1)", "\t=1", "\r=1"]
)
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")


def sheet(content: bytes) -> ET.Element:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        for name in file.namelist():
            ET.fromstring(file.read(name))  # noqa: S314  our own
        return ET.fromstring(file.read("xl/worksheets/sheet1.xml"))  # noqa: S314


def cells(content: bytes) -> list[list[str]]:
    return [
        ["".join(cell.itertext()) for cell in row] for row in sheet(content).iterfind("s:sheetData/s:row", NS)
    ]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_what_is_written_as_csv_is_read_back_and_begins_no_formula(rows):
    read = list(csv.reader(io.StringIO(csv_lines(rows), newline="")))

    assert read == [[defused(one) for one in row] for row in rows]
    assert not [one for row in read for one in row if one.startswith(FORMULAS)]


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_a_sheet_is_xml_whatever_stands_in_it_and_begins_no_formula(rows):
    writer = XlsxWriter(["a", "b"])
    writer.add(rows)
    writer.end()

    read = cells(writer.taken())

    assert len(read) == len(rows) + 1
    assert not [one for row in read[1:] for one in row if one.startswith(FORMULAS)]


def test_dollars_have_their_cents_in_a_csv_as_in_the_api():
    written = csv_lines([[Decimal(2480), Decimal("1E+3"), Decimal("-12.5"), Decimal("0.125"), 7]])

    assert written == "2480.00,1000.00,-12.50,0.125,7\r\n"


def test_a_sheet_has_a_frozen_header_and_numbers_that_count():
    writer = XlsxWriter(["amount"])
    writer.add([[Decimal("-12.50")], [Decimal("1E+3")]])
    writer.end()
    written = writer.taken()

    pane = sheet(written).find("s:sheetViews/s:sheetView/s:pane", NS)
    assert pane is not None
    assert (pane.get("state"), pane.get("ySplit")) == ("frozen", "1")
    assert cells(written)[1:] == [["-12.50"], ["1000"]]


def test_an_export_is_written_while_it_is_read():
    writer = XlsxWriter(["a"])
    largest = 0
    for _ in range(50):
        writer.add([[f"{number * 7919 % 104729}-{number}"] for number in range(500)])
        largest = max(largest, len(writer.taken()))
    writer.end()

    assert 0 < largest < 100_000


async def test_a_csv_has_the_whole_filtered_list_over_its_pages(site, deny, monkeypatch):
    monkeypatch.setattr(exports, "PAGE_ROWS", 3)
    for number in range(8):
        await deny(claim_number=f"C{number}", priority=number, payer=Party(name="=cmd()"), charge="12.50")
    await deny(claim_number="other", charge=9)

    answer = await site["viewer"].get("/v1/cases.csv", params={"amount_at_least": 10, "bom": True})
    sheet_answer = await site["viewer"].get("/v1/cases.xlsx", params={"amount_at_least": 10})

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    told = rows_of(answer.content.decode("utf-8-sig"))
    assert [one["claim_number"] for one in told] == [f"C{number}" for number in reversed(range(8))]
    assert {one["payer_name"] for one in told} == {"'=cmd()"}
    assert {one["amount_at_stake"] for one in told} == {"12.50"}
    assert len(cells(sheet_answer.content)) == 9
    assert (await page(site["viewer"]))["has_more"] is False


async def test_names_are_masked_unless_a_role_that_may_asks_and_each_is_audited(site, deny, select):
    await deny(patient=await site.sealed())

    masked = await site["biller"].get("/v1/cases.csv")
    opened = await site["biller"].get("/v1/cases.csv", params={"reveal": True})
    refused = await site["auditor"].get("/v1/cases.csv", params={"reveal": True})
    audited = await select(
        "select action, detail from tracker.audit_log order by entry_id", organization=site.organization
    )

    [hidden], [seen] = rows_of(masked.text), rows_of(opened.text)
    assert (hidden["patient_name"], hidden["member_id"]) == ("•••", "•••")
    assert (seen["patient_name"], seen["member_id"]) == ("Byron, Ada", "MEMBER-77")
    assert refused.status_code == 403
    assert [(row.action, row.detail) for row in audited] == [
        ("cases_exported", {"form": "csv", "revealed": False}),
        ("cases_exported", {"form": "csv", "revealed": True}),
        ("identifiers_opened", {"by": "export"}),
    ]


async def test_an_export_breaks_off_when_its_key_is_revoked(site, deny, database, select, monkeypatch):
    monkeypatch.setattr(exports, "PAGE_ROWS", 1)
    monkeypatch.setattr("shared.security.principals.REMEMBERED_SECONDS", 0.0)
    for number in range(3):
        await deny(claim_number=f"C{number}", patient=await site.sealed())
    find_cases = exports.find_cases

    async def revoked_meanwhile(*asked, **more):
        found = await find_cases(*asked, **more)
        await database.server.execute("update access.api_keys set revoked_at = now()", database=database.name)
        return found

    monkeypatch.setattr(exports, "find_cases", revoked_meanwhile)
    with pytest.raises(AssertionError):  # the client's: what came is no whole answer
        await site["biller"].get("/v1/cases.csv", params={"reveal": True})

    opened = await select(
        "select 1 from tracker.audit_log where action = 'identifiers_opened'", organization=site.organization
    )
    assert len(opened) == 1


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_another_organization_exports_nothing(site, deny, form):
    await deny(claim_number="SECRET-1")

    answer = await site["stranger"].get(f"/v1/cases.{form}")

    assert answer.status_code == 200
    assert b"SECRET-1" not in answer.content
