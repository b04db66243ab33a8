"""Files kept by the hash of what is in them. A name tells whether the content is still right."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ortlab.errors import StoreError
from ortlab.store.database import as_store_errors

_BLOCK_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
# A file this young may be waiting for the row that will refer to it.
_GRACE_S = 3600.0


class Artifacts:
    """`put` a file, get its digest; ask with the digest, get the same bytes or an error."""

    def __init__(self, folder: Path) -> None:
        self._checked: dict[str, tuple[int, int, int]] = {}
        self.folder = folder / "sha256"

    def put(self, source: Path) -> str:
        """The digest of a copy of `source`: temporary name, fsync, rename."""
        with source.open("rb") as stream:
            return self.put_stream(stream)

    def put_stream(self, stream: BinaryIO) -> str:
        """The digest of what `stream` holds, once it is safely on disk."""
        with as_store_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f".{secrets.token_hex(8)}.part"
            try:
                digest = _copy(stream, temporary)
                self._place(temporary, digest)
            finally:
                temporary.unlink(missing_ok=True)
        return digest

    def take(self, source: Path) -> str:
        """The digest of `source`, which is moved into the store when the disk is the same."""
        with as_store_errors(self.folder):
            with source.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                if os.name != "nt":  # Windows flushes only what was opened for writing
                    os.fsync(stream.fileno())
            try:
                self._place(source, digest)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self.put(source)
                source.unlink()
        return digest

    def path(self, digest: str) -> Path:
        """Where the artifact is, its content checked against its name.

        Checked once per process as long as the file keeps its size and time: a view of a long
        trace must not hash a hundred megabytes for every click.

        Raises:
            StoreError: there is none (kind `artifact_missing`), or it changed on disk
                (kind `artifact_damaged`).
        """
        found = self._path(digest)
        with as_store_errors(found), _found(found).open("rb") as stream:
            status = os.fstat(stream.fileno())
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._checked.get(digest) == state:
                return found
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
        _check(actual, digest, found)
        self._checked[digest] = state
        return found

    def read(self, digest: str) -> bytes:
        """The whole artifact, checked; for small ones."""
        found = self._path(digest)
        with as_store_errors(found):
            content = _found(found).read_bytes()
        _check(hashlib.sha256(content).hexdigest(), digest, found)
        return content

    def copy_to(self, digest: str, target: Path) -> None:
        """Make `target` a real copy, checked on the way. Never a link: workers see through."""
        found = self._path(digest)
        with as_store_errors(target), _found(found).open("rb") as stream:
            actual = _copy(stream, target)
        if actual != digest:
            target.unlink()
        _check(actual, digest, found)

    def remove(self, digest: str, *, grace_s: float = _GRACE_S) -> None:
        """Remove an artifact nobody refers to, unless it was put there just now."""
        found = self._path(digest)
        with contextlib.suppress(FileNotFoundError):
            if time.time() - found.stat().st_mtime >= grace_s:
                found.unlink()

    def digests(self) -> Iterator[str]:
        """Every artifact there is."""
        for found in self.folder.glob("??/??/*"):
            name = found.parent.parent.name + found.parent.name + found.name
            if _DIGEST.fullmatch(name):
                yield name

    def remove_parts(self, *, grace_s: float = _GRACE_S) -> None:
        """Remove what killed processes left half written."""
        for part in self.folder.glob(".*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime >= grace_s:
                    part.unlink()

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StoreError(f"'{digest}' is not the name of an artifact.", kind="artifact_missing")
        return self.folder / digest[:2] / digest[2:4] / digest[4:]

    def _place(self, temporary: Path, digest: str) -> None:
        target = self._path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
        _sync_folder(target.parent)


def _copy(stream: BinaryIO, target: Path) -> str:
    """The digest of what was copied; on disk when this returns."""
    digest = hashlib.sha256()
    with target.open("xb") as copy:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _found(path: Path) -> Path:
    if not path.is_file():
        raise StoreError(
            f"The artifact '{path}' is missing.",
            hint="It may have been deleted by hand. Measure again to make a new one.",
            kind="artifact_missing",
        )
    return path


def _check(actual: str, expected: str, path: Path) -> None:
    if actual != expected:
        raise StoreError(
            f"The artifact '{path}' changed on disk: its content no longer has this name.",
            hint="Delete that file and measure again; check the disk.",
            kind="artifact_damaged",
        )
