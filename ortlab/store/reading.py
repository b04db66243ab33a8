"""A trace that is being read, in a child process that starts before anything else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from ortlab.errors import TraceError
from ortlab.sandbox.limits import default_limits
from ortlab.sandbox.outcome import ChildFailedError, as_error
from ortlab.sandbox.spawn import READER_PROGRAM, Child
from ortlab.settings import Settings
from ortlab.store.folders import private_folder

Stamp: TypeAlias = tuple[str, int, int, int]
"""Path, inode, size and time of change of a file: equal while nobody wrote to it."""


class Reading:
    """A file of `size` bytes, and the child that reads it into `folder`."""

    def __init__(self, path: Path, *, size: int, stamp: Stamp, folder: Path, child: Child) -> None:
        self.path = path
        self.size = size
        self.stamp = stamp
        self.folder = folder
        self._child = child

    @cached_property
    def trace_id(self) -> str:
        """The id of the content; hashing it takes its time, while the child reads."""
        return content_id(self.path)

    def stop(self) -> None:
        """End the child: what it reads is known already."""
        self._child.kill()

    def finish(self, *, timeout_s: float) -> None:
        """Wait until the folder holds everything.

        Raises:
            TraceError: the file holds nothing of ONNX Runtime.
        """
        try:
            self._child.receive(timeout_s=timeout_s)
        except ChildFailedError as failure:
            raise as_error(failure) from failure


def stamp_of(path: Path) -> Stamp:
    """What tells that a file is the one it was.

    Raises:
        OSError: there is no such file.
    """
    found = path.stat()
    return str(path.absolute()), found.st_ino, found.st_size, found.st_mtime_ns


def content_id(path: Path) -> str:
    """The id of a trace with this content."""
    with path.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").digest()
    return base64.b32encode(content).decode().lower()[:10]


@contextmanager
def reading(path: Path, settings: Settings) -> Iterator[Reading]:
    """A child that reads the trace at `path`; it and its folder are gone at the end.

    This needs no database, whose library takes as long to import as the child to start.

    Raises:
        TraceError: the file is not there, or too large.
    """
    size = _size(path, limit=settings.trace_limit_bytes)
    stamp = stamp_of(path)
    limits = default_limits(memory_bytes=settings.memory_limit_bytes)
    with (
        private_folder(settings.home, purpose="trace") as folder,
        Child(folder, limits=limits, program=READER_PROGRAM) as child,
    ):
        child.send("read", {"path": str(path.absolute()), "into": str(folder)})
        yield Reading(path, size=size, stamp=stamp, folder=folder, child=child)


def _size(path: Path, *, limit: int) -> int:
    try:
        if not path.is_file():
            raise TraceError(
                f"'{str(path)[:300]}' is not a file.", hint="Give the .json that ORT wrote."
            )
        size = path.stat().st_size
        if size > limit:
            raise _too_large(path, size, limit)
        with path.open("rb"):
            return size
    except OSError as error:
        raise TraceError(
            f"'{str(path)[:300]}' cannot be read: {error.strerror}.",
            hint="Check its name and its rights.",
        ) from None


def _too_large(path: Path, size: int, limit: int) -> TraceError:
    return TraceError(
        f"'{path.name}' has {size:,} bytes; the limit for a trace is {limit:,}.",
        hint="Profile fewer runs, or raise ORTLAB_TRACE_LIMIT_BYTES.",
        kind="trace_too_large",
    )
