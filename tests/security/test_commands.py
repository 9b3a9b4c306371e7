"""The operators' commands do what they say, and a key that they made opens a door."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer import Typer
from typer.testing import CliRunner

from services.audit import verdicts
from services.operations import db
from shared.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from shared.postgres import create_engine, rows, transaction
from shared.security.api_keys import new_api_key
from shared.security.commands import keys, orgs, submitters
from shared.security.payee_numbers import check_npi
from shared.security.people_commands import people
from shared.security.principals import Authenticator, Principal
from tests.support.database import Database

MASTER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

Command = Callable[..., list[Any]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, fresh_database: Database) -> Command:
    """Run one command on a fresh database, give its JSON lines."""
    monkeypatch.setenv("REPRIEVE_ADMIN_DATABASE_URL", fresh_database.owner)
    monkeypatch.setenv("REPRIEVE_MASTER_KEY", MASTER_KEY)

    def run(app: Typer, *words: str) -> list[Any]:
        result = CliRunner().invoke(app, words)
        if result.exception is not None:
            raise result.exception
        return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]

    return run


@pytest.fixture
def fresh_database(postgres_server):
    fresh = asyncio.run(postgres_server.fresh())
    yield fresh
    asyncio.run(postgres_server.server.execute(f'drop database "{fresh.name}" with (force)'))


def who(database: Database, key: str) -> Principal:
    async def ask() -> Principal:
        engine = create_engine(database.url("reprieve_tracker"), name="test")
        try:
            return await Authenticator(engine).authenticate(f"Bearer {key}")
        finally:
            await engine.dispose()

    return asyncio.run(ask())


def test_creating_an_organization_twice_gives_the_same_one(command: Command):
    first = command(
        orgs,
        "create",
        "Lakeside Clinic",
        "--time-zone",
        "America/Chicago",
        "--payee",
        "1234567893",
        "--format",
        "json",
    )
    again = command(orgs, "create", "Lakeside  Clinic ", "--time-zone", "America/Chicago", "--format", "json")
    assert first == again == command(orgs, "list", "--format", "json")
    assert first[0]["payees"] == ["1234567893"]
    with pytest.raises(ConflictError, match="America/Chicago"):
        command(orgs, "create", "Lakeside Clinic", "--time-zone", "UTC")


def test_a_payee_belongs_to_one_organization(command: Command):
    command(orgs, "create", "One")
    command(orgs, "create", "Two")
    command(orgs, "payee", "add", "One", "12-3456789", "*")
    command(orgs, "payee", "add", "One", "123456789")
    assert command(orgs, "list", "--format", "json")[0]["payees"] == ["*", "123456789"]
    with pytest.raises(ConflictError, match="another organization"):
        command(orgs, "payee", "add", "Two", "123456789")
    with pytest.raises(InvalidInputError, match="no payee identifier"):
        command(orgs, "payee", "add", "Two", "JOHN DOE")
    with pytest.raises(NotFoundError):
        command(orgs, "payee", "add", "Three", "999999999")


def test_a_payee_is_moved_and_the_chained_log_says_by_what_steps(command: Command, fresh_database: Database):
    (one,) = command(orgs, "create", "One", "--payee", "1234567893", "--format", "json")
    (two,) = command(orgs, "create", "Two", "--format", "json")
    command(orgs, "payee", "remove", "One", "1234567893")
    with pytest.raises(NotFoundError, match="not registered for the organization"):
        command(orgs, "payee", "remove", "One", "1234567893")
    command(orgs, "payee", "add", "Two", "1234567893")
    command(orgs, "payee", "add", "Two", "1234567893")

    async def ask() -> tuple[list[tuple[str, str, str | None]], list[Any]]:
        engine = create_engine(fresh_database.owner, name="test")
        async with transaction(engine) as connection:
            found = await rows(connection, "select * from access.operations_log order by position")
        judged = [one async for one in verdicts(engine) if one.log == "access.operations_log"]
        await engine.dispose()
        said = [(row.action, row.detail["organization_id"], row.detail.get("payee")) for row in found]
        return said, judged

    said, judged = asyncio.run(ask())
    assert said == [
        ("organization_created", one["organization_id"], None),
        ("payee_added", one["organization_id"], "1234567893"),
        ("organization_created", two["organization_id"], None),
        ("payee_removed", one["organization_id"], "1234567893"),
        ("payee_added", two["organization_id"], "1234567893"),
    ]
    assert [(verdict.entries, verdict.fault) for verdict in judged] == [(5, None)]
    assert [found["payees"] for found in command(orgs, "list", "--format", "json")] == [[], ["1234567893"]]


def test_an_npi_with_a_wrong_check_digit_is_refused_with_a_remedy(command: Command):
    command(orgs, "create", "One")
    with pytest.raises(InvalidInputError, match="check digit") as refused:
        command(orgs, "payee", "add", "One", "1234567892")
    assert "registry" in (refused.value.remedy or "")


@given(st.integers(10**8, 10**9 - 1))
def test_each_npi_has_one_right_check_digit(first_nine: int):
    right = []
    for last in range(10):
        with suppress(InvalidInputError):
            check_npi(f"{first_nine}{last}")
            right.append(last)
    assert len(right) == 1


def test_a_key_opens_until_it_is_revoked(command: Command, fresh_database: Database):
    (organization,) = command(orgs, "create", "One", "--format", "json")
    (key,) = command(
        keys, "create", "--role", "biller", "--name", "desk", "--organization", "One", "--format", "json"
    )
    principal = who(fresh_database, key["text"])
    assert (principal.role, str(principal.organization_id)) == ("biller", organization["organization_id"])

    command(keys, "revoke", key["prefix"])
    command(keys, "revoke", key["prefix"])
    with pytest.raises(UnauthenticatedError):
        who(fresh_database, key["text"])
    (listed,) = command(keys, "list", "--format", "json")
    assert listed["revoked_at"] is not None
    assert listed["organization"] == "One"
    with pytest.raises(NotFoundError):
        command(keys, "revoke", "nosuchprefix")


def test_a_second_key_for_the_same_name_is_the_same_principal(command: Command):
    command(submitters, "create", "Relay Health")
    making = (
        "create",
        "--role",
        "submitter",
        "--name",
        "feed",
        "--submitter",
        "Relay Health",
        "--format",
        "json",
    )
    (first,), (second,) = command(keys, *making), command(keys, *making)
    assert first["principal_id"] == second["principal_id"]
    assert first["text"] != second["text"]
    assert len(command(submitters, "list", "--format", "json")) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--role", "biller"],
        ["--role", "operator", "--organization", "One"],
        ["--role", "submitter", "--organization", "One"],
        ["--role", "emperor", "--organization", "One"],
    ],
)
def test_a_key_is_bound_to_the_place_that_its_role_demands(command: Command, words: list[str]):
    command(orgs, "create", "One")
    with pytest.raises(InvalidInputError, match=r"bound to|no such role"):
        command(keys, "create", "--name", "x", *words)


def test_tables_show_whole_ids_and_no_secret(command: Command, fresh_database: Database, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (organization,) = command(orgs, "create", "Lakeshore Orthopedics", "--format", "json")
    made = CliRunner().invoke(keys, ["create", "--role", "operator", "--name", "root"])
    text = made.stdout.strip()
    assert who(fresh_database, text).role == "operator"
    assert "shown once" in made.stderr
    listed = CliRunner().invoke(orgs, ["list"]).stdout
    assert organization["organization_id"] in listed
    assert max(map(len, listed.splitlines())) <= 80
    shown = CliRunner().invoke(keys, ["list"]).stdout
    assert text.split("_")[1] in shown
    assert text.split("_", 2)[2] not in shown


def test_missing_settings_are_told_all_at_once_without_values(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("REPRIEVE_ADMIN_DATABASE_URL", raising=False)
    monkeypatch.delenv("REPRIEVE_MASTER_KEY", raising=False)
    result = CliRunner().invoke(orgs, ["create", "x", "--data-dir", str(tmp_path)])
    assert isinstance(result.exception, InvalidInputError)
    assert "REPRIEVE_ADMIN_DATABASE_URL is missing; REPRIEVE_MASTER_KEY is missing" in str(result.exception)
    assert "--data-dir" in str(result.exception)


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_database: Database) -> Path:
    """The folder of a running `reprieve up`, and an environment that names nothing."""
    monkeypatch.delenv("REPRIEVE_ADMIN_DATABASE_URL", raising=False)
    monkeypatch.delenv("REPRIEVE_MASTER_KEY", raising=False)
    told = {"admin_database_url": fresh_database.owner, "master_key": MASTER_KEY, "feed": "local"}
    (tmp_path / "up.json").write_text(json.dumps(told))
    return tmp_path


def test_beside_a_running_up_the_commands_need_no_environment(up: Path):
    for app, words in (
        (orgs, ["create", "One"]),
        (orgs, ["payee", "add", "One", "1234567893"]),
        (orgs, ["list"]),
        (submitters, ["create", "Relay Health"]),
        (submitters, ["list"]),
        (keys, ["create", "--role", "operator", "--name", "root"]),
        (keys, ["list"]),
        (db, ["upgrade"]),
    ):
        result = CliRunner().invoke(app, [*words, "--data-dir", str(up)])
        assert result.exit_code == 0, (words, result.exception)


def test_the_environment_and_up_json_are_not_mixed(up: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REPRIEVE_ADMIN_DATABASE_URL", "postgresql+asyncpg://x:x@127.0.0.1:1/elsewhere")
    result = CliRunner().invoke(orgs, ["create", "One", "--data-dir", str(up)])
    assert "REPRIEVE_MASTER_KEY is missing" in str(result.exception)


def test_a_database_that_is_not_there_is_told_without_a_traceback(up: Path):
    told = {"admin_database_url": "postgresql+asyncpg://x:x@127.0.0.1:1/none", "master_key": MASTER_KEY}
    (up / "up.json").write_text(json.dumps(told))
    for app, words in ((db, ["upgrade"]), (db, ["downgrade", "base"]), (orgs, ["list"])):
        result = CliRunner().invoke(app, [*words, "--data-dir", str(up)])
        assert isinstance(result.exception, UnavailableError), (words, result.exception)


def test_a_damaged_up_json_is_told_with_its_remedy(up: Path):
    (up / "up.json").write_text("{")
    result = CliRunner().invoke(orgs, ["list", "--data-dir", str(up)])
    assert isinstance(result.exception, InvalidInputError)
    assert "reprieve up" in str(result.exception)


def test_people_are_listed_by_the_names_that_their_issuer_gives_them(
    command: Command, fresh_database: Database
):
    command(orgs, "create", "General", "--format", "json")
    place = ("dana", "--issuer", "https://id.example", "--role", "biller")
    command(people, "add", *place, "--organization", "General", "--name", "Dana")
    (one,) = command(people, "list", "--format", "json")
    assert (one["subject"], one["role"], one["organization"]) == ("dana", "biller", "General")
    command(people, "remove", "dana", "--issuer", "https://id.example")
    (one,) = command(people, "list", "--format", "json")
    assert one["removed_at"]


def test_what_operators_do_to_keys_and_people_is_in_the_chained_log(
    command: Command, fresh_database: Database
):
    command(orgs, "create", "General", "--format", "json")
    command(orgs, "retention", "General", "--days", "90")
    command(submitters, "create", "House", "--format", "json")
    (key,) = command(keys, "create", "--role", "operator", "--name", "ops", "--format", "json")
    command(keys, "revoke", key["prefix"])
    place = ("dana", "--issuer", "https://id.example", "--role", "operator", "--name", "Dana")
    command(people, "add", *place)

    async def logged() -> list[str]:
        engine = create_engine(fresh_database.owner, name="test")
        async with transaction(engine) as connection:
            found = await rows(
                connection, "select action, detail from access.operations_log order by position"
            )
        await engine.dispose()
        assert key["text"] not in str(found)
        return [one.action for one in found]

    assert asyncio.run(logged()) == [
        "organization_created",
        "retention_set",
        "submitter_created",
        "key_created",
        "key_revoked",
        "person_added",
    ]


def test_the_key_that_reads_the_metrics_is_let_in_by_the_migration_and_stays_revoked(
    command: Command, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
):
    key = new_api_key()
    monkeypatch.setenv("REPRIEVE_ALERTS_METRICS_KEY", key.text)
    command(db, "upgrade")
    command(db, "upgrade")
    assert who(fresh_database, key.text).role == "operator"

    command(keys, "revoke", key.prefix)
    command(db, "upgrade")

    with pytest.raises(UnauthenticatedError):
        who(fresh_database, key.text)
