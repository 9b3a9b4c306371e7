"""The policies that Reprieve ships, and the reading of policy files from a folder."""

import re
from collections.abc import Mapping, Sequence
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
    if folder is None:
        return texts_in(SHIPPED)
    return over_shipped(texts_at([folder]))


def over_shipped(own: Mapping[str, bytes]) -> dict[str, bytes]:
    """Add policy files to the shipped ones; those of the same id are replaced."""
    replaced = _ids(own)
    kept = {name: text for name, text in texts_in(SHIPPED).items() if replaced.isdisjoint(_ids({name: text}))}
    return {**kept, **own}


def texts_at(places: Sequence[Path]) -> dict[str, bytes]:
    """Read policy files, and the .toml files of folders, by their names with the folder's before them."""
    found: dict[str, bytes] = {}
    for place in places:
        if place.is_dir():
            own = texts_in(place)
            if not own:
                raise InvalidInputError(
                    f"There is no policy file in {place}.", remedy="Name a folder that holds .toml files."
                )
            found |= {f"{place.name}/{name}": text for name, text in own.items()}
        else:
            try:
                found[str(place)] = place.read_bytes()
            except OSError as error:
                raise InvalidInputError(
                    f"{place} cannot be read: {error.strerror}.", remedy="Name a policy file or a folder."
                ) from error
    return found


def texts_in(folder: Path) -> dict[str, bytes]:
    """Read the .toml files of one folder, in order of their names."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.toml"))}


def _ids(texts: Mapping[str, bytes]) -> set[bytes]:
    return {found[1] for text in texts.values() if (found := _ID.search(text))}
