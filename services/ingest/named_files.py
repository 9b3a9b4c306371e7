"""Which 835 files a person means by the paths of a command: files, folders and patterns."""

from collections.abc import Sequence
from pathlib import Path

STANDARD_INPUT = "-"
MEANT = "835 files, or folders of them; - reads standard input."
_UNFINISHED = (".tmp", ".part", ".partial")  # what others still write


def expand(paths: Sequence[Path]) -> list[Path]:
    """Give each file once, those of a folder, or of a pattern that no shell has expanded, in its place."""
    found: list[Path] = []
    for path in paths:
        if str(path) != STANDARD_INPUT and path.is_dir():
            inside = sorted(one for one in path.rglob("*") if _is_meant(one, path))
        elif set(str(path)) & set("*?[") and not path.exists():
            inside = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
        else:
            inside = []
        found += inside or [path]
    return list(dict.fromkeys(found))


def _is_meant(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    linked = file.is_symlink()  # what a folder links to lies elsewhere, and nobody named it
    return not hidden and not linked and file.suffix.lower() not in _UNFINISHED and file.is_file()
