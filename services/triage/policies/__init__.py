"""The policies that Reprieve ships, and the reading of policy files from a folder."""

import re
from collections.abc import Mapping
from pathlib import Path

from services.triage.domain.policies import Policies, load_policies
from shared.errors import InvalidInputError

SHIPPED = Path(__file__).parent

_ID = re.compile(rb'^id\s*=\s*"([^"]*)"', re.MULTILINE)


def shipped_policies(folder: Path | None = None) -> Policies:
    """
    Load the shipped policies. Files of `folder` are added, and replace the shipped ones of the same id.

    Raises InvalidInputError that lists every mistake of every file.
    """
    return load_policies(policy_texts(folder))


def policy_texts(folder: Path | None = None) -> dict[str, bytes]:
    """Give the policy files, as name to bytes."""
    shipped = texts_in(SHIPPED)
    if folder is None:
        return shipped
    own = texts_in(folder)
    if not own:
        raise InvalidInputError(
            f"There is no policy file in {folder}.", remedy="Name a folder that holds .toml files."
        )
    replaced = _ids(own)
    kept = {name: text for name, text in shipped.items() if replaced.isdisjoint(_ids({name: text}))}
    return kept | {f"{folder.name}/{name}": text for name, text in own.items()}


def texts_in(folder: Path) -> dict[str, bytes]:
    """Read the .toml files of one folder, in order of their names."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.toml"))}


def _ids(texts: Mapping[str, bytes]) -> set[bytes]:
    return {found[1] for text in texts.values() if (found := _ID.search(text))}
