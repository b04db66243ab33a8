"""Private folders: made fresh, gone afterwards, and swept when their process was killed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ortlab.store.failures import as_file_errors, from_os_error, is_full

_NAME = "tmp"


@contextmanager
def private_folder(home: Path, *, purpose: str) -> Iterator[Path]:
    """A new folder that only this user can read, under `home`, removed at the end.

    Raises:
        StoreError: the folder cannot be made, or the disk became full while it was in use.
    """
    folder = home / _NAME / f"{os.getpid()}-{purpose}-{secrets.token_hex(4)}"
    with as_file_errors(folder):
        folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    except OSError as error:
        # Whatever was being written here: copies, logs, results.
        if is_full(error):
            raise from_os_error(error, folder) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(home: Path) -> list[str]:
    """Remove the folders of processes that are gone; their names."""
    import psutil

    removed = []
    for folder in (home / _NAME).glob("*"):
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed
