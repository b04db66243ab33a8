"""What a failed file operation means, in a sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ortlab.errors import StoreError

FULL_HINT = "Free some space, or point ORTLAB_HOME at another disk. What was stored is intact."
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def as_file_errors(path: Path) -> Iterator[None]:
    """Turn what the file system says about `path` into a `StoreError`."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, path) from error


def is_full(error: OSError) -> bool:
    """Whether a file operation failed for want of space."""
    return error.errno in _FULL_ERRNOS


def from_os_error(error: OSError, path: Path) -> StoreError:
    """What a failed file operation means for the store."""
    if is_full(error):
        return StoreError(
            f"'{path}' could not be written: the disk is full.", hint=FULL_HINT, kind="disk_full"
        )
    return StoreError(
        f"'{error.filename or path}' cannot be used: {error.strerror or error}.",
        hint="Check that the folder exists and may be written, or set ORTLAB_HOME.",
        kind="unreachable",
    )
