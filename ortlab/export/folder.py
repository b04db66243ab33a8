"""The folder that an export is written into."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ortlab.errors import RequestError, StoreError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Makes the folder when missing; what cannot be written into it becomes a sentence.

    Raises:
        RequestError: the folder cannot be made, or a file in it not be written.
        StoreError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoreError(
                f"The disk is full: '{folder}' could not be written.",
                hint="Free some space, or choose a folder on another disk.",
                kind="disk_full",
            ) from None
        raise RequestError(
            f"'{folder}' cannot be written: {error.strerror}.", hint="Choose another folder."
        ) from None
