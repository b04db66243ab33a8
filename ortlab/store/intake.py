"""A private folder for one worker: real copies of a model and of exactly the data it declares.

Never hard links: ONNX Runtime follows one to whatever it shares content with, and a job that
writes to its copy must not reach the artifact.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

from ortlab.domain.files import data_path
from ortlab.domain.model import ModelInfo
from ortlab.errors import ModelError, StoreError

_CHUNK_BYTES = 64 << 20
# _IOW(0x94, 9, int): share the blocks of a file on btrfs, XFS and bcachefs; a real copy to all.
_FICLONE = 0x40049409
_NO_SUCH_CALL = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM,
                 errno.ENOTTY, errno.EBADF, errno.ETXTBSY}  # fmt: skip


def private_copy(info: ModelInfo, source: Path, folder: Path) -> Path:
    """The model inside `folder`, with the external data files that `info` names.

    Args:
        info: what inspecting `source` told.
        source: the model file; it and its data may be links as far as ONNX Runtime allows.
        folder: made when missing; nothing else is put into it.

    Raises:
        ModelError: a file is gone, not a regular file, or outside the model's folder.
        StoreError: the disk is full.
    """
    target = folder / source.name
    copy_file(source.resolve(), target)
    for data in info.external_data:
        path = data_path(source, data.location)
        if data.bytes is not None and path.resolve() != source.resolve():
            copy_file(path.resolve(), folder / data.location)
    return target


def copy_file(source: Path, target: Path) -> None:
    """Make `target` a real copy of the regular file `source`, sharing blocks where possible.

    Raises:
        ModelError: `source` is missing, a link, a device or a pipe.
        StoreError: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        reader = os.open(source, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise _unreadable(source, error) from None
    try:
        size = _regular_bytes(source, reader)
        with target.open("wb") as writer:
            _copy(reader, writer.fileno(), size)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise _unwritable(target, error) from error
    finally:
        os.close(reader)


def _regular_bytes(source: Path, reader: int) -> int:
    status = os.fstat(reader)
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"'{source}' is not a regular file.", hint="Give the model file itself.")
    return status.st_size


def _copy(reader: int, writer: int, size: int) -> None:
    if _shared(reader, writer):
        return
    done = 0
    while done < size:
        moved = _move(reader, writer)
        if moved == 0:
            return
        done += moved


def _shared(reader: int, writer: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
        return False
    return True


def _move(reader: int, writer: int) -> int:
    """Bytes copied from where both files stand, inside the kernel where it can."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(reader, writer, _CHUNK_BYTES)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
    block = os.read(reader, 1 << 20)
    view = memoryview(block)
    while view:
        view = view[os.write(writer, view) :]
    return len(block)


def _unreadable(source: Path, error: OSError) -> ModelError:
    if error.errno == errno.ELOOP:
        return ModelError(f"'{source}' is a link.", hint="Give the file it points to.")
    return ModelError(
        f"'{source}' cannot be read: {error.strerror}.", hint="Check the path and its rights."
    )


def _unwritable(target: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"The disk is full: '{target.name}' could not be copied.",
            hint="Free some space, or set ORTLAB_HOME to a folder on a larger disk.",
            kind="disk_full",
        )
    return StoreError(f"'{target}' cannot be written: {error.strerror}.")
