"""Private folders: made fresh, gone afterwards, and swept when their process was killed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_NAME = "tmp"


@contextmanager
def private_folder(home: Path, *, purpose: str) -> Iterator[Path]:
    """A new folder that only this user can read, under `home`, removed at the end."""
    folder = home / _NAME / f"{os.getpid()}-{purpose}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(home: Path) -> list[str]:
    """Remove the folders of processes that are gone; their names."""
    removed = []
    for folder in (home / _NAME).glob("*"):
        owner = folder.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed
