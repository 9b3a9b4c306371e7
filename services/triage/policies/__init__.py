"""The policies that Reprieve ships, and the reading of policy files from a folder."""

from pathlib import Path

from services.triage.domain.policies import Policies, load_policies

SHIPPED = Path(__file__).parent


def shipped_policies(folder: Path | None = None) -> Policies:
    """Load the shipped policies; files in `folder` are added and replace those of the same id."""
    texts = {path.name: path.read_bytes() for path in sorted(SHIPPED.glob("*.toml"))}
    if folder is not None:
        texts |= {path.name: path.read_bytes() for path in sorted(folder.glob("*.toml"))}
    return load_policies(texts)
