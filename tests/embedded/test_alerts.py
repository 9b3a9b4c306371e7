"""What `reprieve alerts` says where there is nothing to show."""

import pytest
from typer.testing import CliRunner

from services import alerts


@pytest.mark.parametrize(
    ("channels", "why"),
    [([], "there is no channel yet"), ([{"channel_id": "a", "name": "b"}], "no alert is open")],
)
def test_a_preview_of_nothing_says_why(monkeypatch: pytest.MonkeyPatch, channels: list, why: str):
    answers = {"/v1/alerts/channels": {"data": channels}, "/v1/alerts/preview": {"data": []}}
    monkeypatch.setattr(alerts, "_get", lambda _, path, **__: answers[path])

    told = CliRunner().invoke(alerts.alerts, ["preview"])

    assert told.stdout.startswith(f"Nothing would go out: {why}")
