"""What `reprieve explain`, `codes` and `policies` print."""

import csv
import io
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console
from typer.testing import CliRunner

from services.triage.code_table import classification_page
from services.triage.commands import policies
from services.triage.policies import shipped_policies
from services.triage.render import CSV_COLUMNS, explain_rows, render
from shared.contracts.claim import Party
from shared.contracts.denial_triaged import DenialTriaged
from tests.triage.domain.denials import denial, line, refused

DAY = date(2026, 3, 21)
DOCS = Path(__file__).parents[2] / "docs"


def office(code="197", **changes):
    one = line(qualifier="HC", code="64483", service_from=date(2026, 3, 2))
    return denial(refused(code), lines=[one], facility_type="11", filing_indicator="12", **changes)


EVENTS = (
    office("29", payer="AETNA", claim_number="LATE"),
    office(payer="PRIORITY HEALTH", claim_number="SAVED"),
    office("ZZ9", payer="AETNA", claim_number="RIDDLE"),
)


def printed(style, *events, width=100):
    console = Console(file=io.StringIO(), width=width)
    count = render(explain_rows(events or EVENTS, shipped_policies(), DAY), style, console=console, as_of=DAY)
    return console.file.getvalue(), count


def test_json_is_one_denial_a_line_for_every_denied_claim():
    text, count = printed("json")

    rows = [msgspec.json.decode(one, type=DenialTriaged) for one in text.splitlines()]
    assert count == 3
    assert [row.claim_number for row in rows] == ["LATE", "SAVED", "RIDDLE"]
    assert [row.auth_related for row in rows] == [False, True, False]


def test_decisions_are_made_one_at_a_time():
    def endless():
        while True:
            yield EVENTS[1]

    rows = list(islice(explain_rows(endless(), shipped_policies(), DAY), 3))

    assert len(rows) == 3


def test_csv_has_a_row_per_denial_and_dates_a_program_can_read():
    text, _ = printed("csv")

    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert rows[1]["deadline_at"] == "2026-05-24T23:59:59-04:00"
    assert rows[1]["days_left"] == "64"
    assert rows[1]["recommended_action"] == "request_retro_authorization"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_csv_never_hands_a_formula_to_a_spreadsheet(start):
    text, _ = printed("csv", office(payer=f"{start}cmd|' /C calc'!A0", claim_number=f"{start}1+1"))

    row = next(csv.DictReader(io.StringIO(text)))
    assert row["payer"].startswith(f"'{start}")
    assert row["claim_number"].startswith(f"'{start}")


def test_csv_leaves_negative_money_a_number():
    event = replace(EVENTS[1], denied=(refused("197", "-5.00"),))

    row = next(csv.DictReader(io.StringIO(printed("csv", event)[0])))
    assert Decimal(row["amount_at_stake"]) == Decimal("-5.00")


def test_csv_writes_money_with_two_places():
    event = denial(refused("197", "42000"), lines=[line(charge="42000")])
    row = next(csv.DictReader(io.StringIO(printed("csv", event)[0])))

    assert (row["charge_amount"], row["amount_at_stake"]) == ("42000.00", "42000.00")


@pytest.mark.parametrize("width", [80, 100, 132, 200])
def test_the_table_fits_its_terminal(width):
    text, _ = printed("table", width=width)

    assert max(map(len, text.splitlines())) <= width


def test_the_table_tells_what_a_biller_asks():
    text = " ".join(printed("table", width=200)[0].split())

    for words in (
        "PRIORITY HEALTH",
        "SAVED",
        "$500.00",
        "authorization absent",
        "until 2026-05-31, 71 days left",
        "Ask the payer for a retroactive authorization",
        "CO-197",
        "unconfirmed",
    ):
        assert words in text


def test_the_table_shows_authorization_first():
    text, _ = printed("table")

    assert text.index("SAVED") < text.index("RIDDLE") < text.index("LATE")


def test_the_last_line_sums_up():
    text, _ = printed("table", width=200)

    assert text.splitlines()[-1] == (
        "3 denials, 1 about authorization, $500.00 in denied charges with a clock still open, "
        "next deadline in 64 days (2026-05-24)."
    )


def test_the_last_day_is_today():
    console = Console(file=io.StringIO(), width=200)
    day = date(2026, 5, 31)
    render(explain_rows(EVENTS[1:2], shipped_policies(), day), "table", console=console, as_of=day)

    text = " ".join(console.file.getvalue().split())
    assert "until 2026-05-31, today" in text
    assert "next deadline today (2026-05-31)." in text
    assert "0 days" not in console.file.getvalue().splitlines()[-1]


def test_money_without_a_dated_clock_is_not_said_to_have_one():
    undated = replace(EVENTS[1], payer=Party(name="NO SUCH PLAN"))
    console = Console(file=io.StringIO(), width=200)
    day = date(2026, 9, 30)
    render(explain_rows([undated], shipped_policies(), day), "table", console=console, as_of=day)

    assert (
        console.file.getvalue()
        .splitlines()[-1]
        .endswith("$0.00 in denied charges with a clock still open, no deadline known.")
    )


def test_nothing_denied_is_said():
    console = Console(file=io.StringIO(), width=80)

    assert render(iter(()), "table", console=console, as_of=DAY) == 0
    assert console.file.getvalue().strip() == "0 denials, 0 about authorization."


@pytest.mark.parametrize("name", ["\x1b[31mRED\x1b[0m", "[bold]PLAN[/bold]", "\x07BELL\x9b2J"])
def test_a_payers_name_cannot_command_the_terminal(name):
    text, _ = printed("table", replace(EVENTS[1], payer=Party(name=name)))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\x9b" not in text
    if name.startswith("["):
        assert "[bold]PLAN[/bold]" in text


def test_the_page_on_codes_is_printed_from_the_table():
    assert (DOCS / "classification.md").read_text() == classification_page()


def test_the_policy_in_the_docs_is_sound(tmp_path):
    page = (DOCS / "policies.md").read_text()
    (tmp_path / "plan.toml").write_text(page.split("```toml\n")[1].split("```")[0])

    result = CliRunner().invoke(policies, ["check", str(tmp_path)])

    assert result.exit_code == 0, result.output


def test_policies_check_finds_the_shipped_ones_sound():
    result = CliRunner().invoke(policies, ["check"])

    assert result.exit_code == 0
    assert "worked examples are sound" in result.stdout


def test_policies_check_names_mistakes_and_fails(tmp_path):
    (tmp_path / "plan.toml").write_text('id = "plan"\ncolour = "red"\n')

    result = CliRunner().invoke(policies, ["check", str(tmp_path)])

    assert result.exit_code == 1
    assert "plan.toml: line 2: colour is no known key" in result.output


def test_policies_list_names_every_program():
    result = CliRunner().invoke(policies, ["list"])

    assert result.exit_code == 0
    assert "hpsj-medical" in result.stdout
