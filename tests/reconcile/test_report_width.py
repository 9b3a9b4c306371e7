"""A report in a pipe is as wide as its tables: ids stay whole, and sentences are no wider than what they sum up."""

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from services.reconcile.report import show

ID = "0b9d6bd4-9b43-4a2e-8f4b-3a0c6a9f7c5e"


@pytest.mark.parametrize("columns", [2, 5])
def test_tables_in_a_pipe_are_whole_and_sentences_no_wider(capsys: pytest.CaptureFixture[str], columns: int):
    table = Table(*(f"column {number}" for number in range(columns)))
    table.add_row(*[ID] * columns)

    show(Group(table, Text("one word after the other " * 20)))

    lines = capsys.readouterr().out.splitlines()
    assert any(line.count(ID) == columns for line in lines)
    assert max(map(len, lines)) <= max(80, *(len(line) for line in lines if ID in line))


def test_a_report_without_tables_is_80_columns_wide(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("COLUMNS", raising=False)

    show(Text("one word after the other " * 20))

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
