"""What a disk does not take, as it is full or gone, is one error that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import StorageError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what writes a file. Raises: StorageError where the system refuses."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def unwritable(path: Path | str, why: str) -> StorageError:
    """The error that says so, and what to do."""
    return StorageError(
        f"{path} cannot be written: {why}; make room there, or mend the disk. Nothing that was"
        " written before is lost"
    )
