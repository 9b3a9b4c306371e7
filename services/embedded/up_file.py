"""
`up.json`: where this machine's processes answer and the development keys to them. Scripts and the CLI read
it.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from services.embedded.folder import write_private


class Running(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process of the stack; `url` is where it answers, host:port for the broker."""

    pid: int | None = None
    url: str | None = None


class UpFile(msgspec.Struct, frozen=True, kw_only=True):
    """
    Readable by its owner only: the keys open everything on this machine.

    `starting`: what it names does not answer yet; commands say so.
    """

    ingest_url: str
    triage_url: str
    tracker_url: str
    kafka_bootstrap_servers: str
    admin_database_url: str
    master_key: str
    organization_id: UUID
    submitter_id: UUID
    feed: str
    keys: Mapping[str, str]
    processes: Mapping[str, Running]
    demo_pushed_on: date | None = None
    starting: bool = False

    def __repr__(self) -> str:
        return "<UpFile>"

    def ports(self) -> dict[str, int]:
        """The port of each process, by name."""
        found = {
            name: urlsplit(f"//{one.url.rpartition('/')[2]}").port
            for name, one in self.processes.items()
            if one.url
        }
        return {name: port for name, port in found.items() if port}

    def pids(self) -> list[int]:
        return [one.pid for one in self.processes.values() if one.pid]


def read_up_file(path: Path) -> UpFile | None:
    """Give what the last run left, or None: whatever is missing or damaged is made anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=UpFile)
    except (OSError, msgspec.MsgspecError):
        return None


def write_up_file(path: Path, content: UpFile) -> None:
    """Replace the file in one step."""
    write_private(path, msgspec.json.format(msgspec.json.encode(content), indent=2))
