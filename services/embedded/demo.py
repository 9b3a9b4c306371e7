"""What `reprieve up --demo` shows: samples sent through the real door, what was found, what to try next."""

from collections.abc import Callable

from services.embedded.folder import DataFolder
from services.embedded.up_file import UpFile


async def show_what_was_found(content: UpFile, folder: DataFolder, *, say: Callable[[str], None]) -> UpFile:
    """Push the samples at the first run, wait until they are settled, print the page."""
    return content
