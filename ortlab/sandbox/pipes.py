"""The pipes between a process and its child, beyond stdin, stdout and stderr.

POSIX passes file descriptors. Windows passes handles by an explicit list and cannot wait for a
pipe, so there a thread reads it. The Windows half was written from the documentation of
`subprocess.STARTUPINFO.lpAttributeList` and has not been run yet.
"""

from __future__ import annotations

import os
import queue
import select
import subprocess
import sys
import threading
from typing import Any, Protocol

CHUNK_BYTES = 1 << 20


class Replies(Protocol):
    """What the child writes."""

    def read(self, timeout_s: float) -> bytes | None:
        """Bytes that have arrived, empty at the end, None when nothing came in time."""

    def close(self) -> None:
        """Give the pipe back. A second time does nothing."""


def replies(descriptor: int) -> Replies:
    """The reader that suits this system; it owns the descriptor."""
    return _Threaded(descriptor) if sys.platform == "win32" else _Polled(descriptor)


def inherited(*descriptors: int) -> tuple[list[int], dict[str, Any]]:
    """The numbers by which a child knows these descriptors, and what `Popen` needs for it."""
    if sys.platform == "win32":
        import msvcrt

        handles = [msvcrt.get_osfhandle(d) for d in descriptors]
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        start = subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles})
        return handles, {"startupinfo": start}
    return list(descriptors), {"pass_fds": descriptors, "start_new_session": True}


class _Polled:
    """Waits with `poll`, which knows no highest descriptor as `select` does."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, timeout_s: float) -> bytes | None:
        if self._descriptor < 0:
            return b""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(timeout_s * 1e3):
            return None
        return os.read(self._descriptor, CHUNK_BYTES)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


class _Threaded:
    """A thread that reads ahead into a queue; it ends with the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ended = False
        arguments = (descriptor, self._chunks)
        threading.Thread(target=_read_ahead, args=arguments, name="replies", daemon=True).start()

    def read(self, timeout_s: float) -> bytes | None:
        if self._ended:
            return b""
        try:
            chunk = self._chunks.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._ended = not chunk
        return chunk

    def close(self) -> None:
        # The thread owns the descriptor: closing it under a read that waits would hang.
        self._ended = True


def _read_ahead(descriptor: int, chunks: queue.SimpleQueue[bytes]) -> None:
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            chunks.put(chunk)
    chunks.put(b"")
