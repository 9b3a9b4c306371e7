"""`reprieve codes`: the one table, whole or in part."""

import json

import pytest
import typer
from typer.testing import CliRunner

from services.triage.code_table import all_rows, codes
from services.triage.domain.code_lists import CARC_DEACTIVATED, RARC_ALERT


def run(*arguments, columns=160):
    app = typer.Typer()
    app.command()(codes)
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns)})


def rows(*arguments):
    result = run(*arguments, "--format", "json")
    return [json.loads(text) for text in result.stdout.splitlines()]


def test_codes_are_found_alone_or_with_their_group():
    assert [row["code"] for row in rows("CO-197")] == ["CO", "197"]
    assert [row["code"] for row in rows("n351")] == ["N351"]


@pytest.mark.parametrize("name", ["authorization_expired", "authorization-expired"])
def test_a_category_is_filtered(name):
    assert {row["code"] for row in rows("--category", name)} == {"302", "N351"}


def test_a_route_is_filtered():
    found = rows("--category", "timely_filing")

    assert found
    assert {row["route"] for row in found} == {"timely_filing"}


@pytest.mark.parametrize(
    ("code", "day", "status"),
    [
        ("38", "2012-12-31", "current"),
        ("38", "2013-01-01", "deactivated"),
        ("242", "2012-06-02", "not yet"),
        ("242", "2012-06-03", "current"),
        ("197", "2026-11-21", "current"),
        ("63", "2003-10-15", "current"),
        ("63", "2003-10-16", "deactivated"),
        ("113", "2026-11-21", "deactivated"),
    ],
)
def test_the_status_is_that_of_the_day(code, day, status):
    assert [row["status"] for row in rows(code, "--as-of", day)] == [status]


def test_a_retired_code_is_in_the_table_with_its_last_day_and_successor_as_far_as_they_were_found():
    printed = {code for code in CARC_DEACTIVATED if rows(code)}
    [of_113], [of_a4] = rows("113"), rows("A4")

    assert printed == CARC_DEACTIVATED
    assert (of_113["until"], of_113["successor"]) == ("2007-06-30", "157, 158 or 159")
    assert (of_113["category"], of_113["action"]) == ("unclear", "review_by_hand")
    assert (of_a4["until"], of_a4["successor"]) == (None, "")


def test_a_day_that_is_none_is_refused():
    result = run("--as-of", "yesterday")

    assert result.exit_code == 2
    assert "is no day" in result.output


def test_an_unknown_code_is_told_and_fails():
    result = run("ZZ9")

    assert result.exit_code == 1
    assert "unclear" in result.output


def test_the_table_prints_all_kinds():
    printed = run().stdout

    assert "Group codes" in printed
    assert "Remarks that only support" in printed


def test_no_alert_carries_a_category():
    assert not [row.code for row in all_rows() if row.code in RARC_ALERT and row.category]


def test_no_words_of_the_table_break_the_page():
    assert not [row.code for row in all_rows() if "|" in row.why or "\n" in row.why]


def test_the_table_fits_eighty_columns_with_words_to_read():
    shown = run("197", columns=80).stdout

    assert max(map(len, shown.splitlines())) <= 80
    assert "precertification" in shown
    assert "search existing" in shown
