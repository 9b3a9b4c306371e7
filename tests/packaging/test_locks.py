"""What the locks promise: see docs/decisions/0001-pip-locks.md."""

import re
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LOCKS = ("server.txt", "embedded.txt", "dev.txt")
PIN = re.compile(r"^([a-z0-9][a-z0-9-]*)==(\S+)", re.MULTILINE)


def lock(name: str) -> str:
    return (PROJECT / "locks" / name).read_text()


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall(lock(name)))


def required(*extras: str) -> set[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    return {re.split(r"[\[=<>!; ]", line, maxsplit=1)[0].lower() for line in lines}


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash(name: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", lock(name), flags=re.MULTILINE)[1:]

    # A package may be pinned twice, for older and newer Pythons.
    assert len(blocks) == len(PIN.findall(lock(name)))
    assert all("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_host_or_a_place_on_a_machine(name: str) -> None:
    assert not re.search(r"https?:|--index-url|--find-links|file:|@ ", lock(name))


def test_the_locks_agree_with_one_another() -> None:
    server, embedded, dev = (pins(name) for name in LOCKS)

    assert server.items() <= embedded.items()
    assert embedded.items() <= dev.items()


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("server.txt", ["build"]),
        ("embedded.txt", ["build", "embedded"]),
        ("dev.txt", ["build", "embedded", "dev"]),
    ],
)
def test_what_pyproject_asks_for_is_locked(name: str, extras: list[str]) -> None:
    assert required(*extras) <= pins(name).keys()


def test_the_server_carries_no_embedded_database_or_broker() -> None:
    assert not (required("embedded") - required()) & pins("server.txt").keys()
