"""What the data folder promises before anything runs in it."""

import json
import os
from pathlib import Path

import pytest

from services.embedded.addresses import HOST, USUAL_PORTS, choose_ports
from services.embedded.folder import DataFolder
from shared.errors import ConflictError, UnreadableError


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    folder = DataFolder.at(tmp_path / "data")
    made = folder.secrets()

    assert folder.secrets() == made
    assert (folder.path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert len(set(json.loads((folder.path / "secrets.json").read_text()).values())) == 6


def test_a_database_without_its_secrets_is_refused_rather_than_locked_out(tmp_path: Path) -> None:
    folder = DataFolder.at(tmp_path)
    folder.pg.mkdir()

    with pytest.raises(UnreadableError, match="Restore it from a backup"):
        folder.secrets()


def test_damaged_secrets_are_refused_and_left_alone(tmp_path: Path) -> None:
    folder = DataFolder.at(tmp_path)
    (tmp_path / "secrets.json").write_text('{"master_key": "x"')

    with pytest.raises(UnreadableError):
        folder.secrets()
    assert (tmp_path / "secrets.json").read_text() == '{"master_key": "x"'


def test_two_do_not_work_on_one_folder(tmp_path: Path) -> None:
    folder = DataFolder.at(tmp_path)

    with folder.held(), pytest.raises(ConflictError, match=str(os.getpid())), folder.held():
        pass
    with folder.held():
        pass


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(UnreadableError, match="--data-dir"):
        DataFolder.at(tmp_path / "data")


def test_ports_of_the_last_run_are_kept_and_taken_ones_are_avoided() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        last = {name: 31_000 + number for number, name in enumerate(USUAL_PORTS)} | {
            "ingest-api": taken.getsockname()[1]
        }
        chosen = choose_ports(last)

    assert chosen["ingest-api"] != last["ingest-api"]
    assert {name: port for name, port in chosen.items() if name != "ingest-api"} == {
        name: port for name, port in last.items() if name != "ingest-api"
    }
    assert len(set(chosen.values())) == len(USUAL_PORTS)


def test_ports_may_begin_elsewhere_and_the_last_run_still_counts_first() -> None:
    first, *others = USUAL_PORTS

    chosen = choose_ports({first: 31_100}, ports_from=31_200)

    assert chosen == {first: 31_100} | {name: 31_201 + number for number, name in enumerate(others)}
