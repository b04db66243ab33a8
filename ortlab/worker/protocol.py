"""The child's side of the pipes: requests in, phases, progress and replies out.

Plain JSON lines and the standard library only, so that a worker runs under any Python.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class Context:
    """What a task may use: its private folder, and a way to say where it is."""

    def __init__(self, *, reply_fd: int, folder: Path) -> None:
        self.folder = folder
        self.state: dict[str, Any] = {}
        """Kept between the requests of one conversation (an open session, for example)."""
        self._reply_fd = reply_fd
        self._phase = ""

    def phase(self, name: str) -> None:
        """Announce the next step before taking it: load, session, warm-up, run, profile."""
        # A turn announces itself every few milliseconds; only the first one is news.
        if name != self._phase:
            self.write({"type": "phase", "phase": name})
        self._phase = name

    def progress(self, **fields: Any) -> None:
        """Tell the parent something on the way to the answer."""
        self.write({"type": "progress", **fields})

    def write(self, message: Message) -> None:
        """Send one message to the parent."""
        line = json.dumps(message).encode() + b"\n"
        while line:
            line = line[os.write(self._reply_fd, line) :]


def descriptor(number: int) -> int:
    """The file descriptor that the parent passed on; Windows passes a handle instead."""
    if sys.platform != "win32":
        return number
    import msvcrt

    return msvcrt.open_osfhandle(number, os.O_BINARY)


def requests(fd: int) -> Iterator[Message]:
    """Every request until the parent closes the pipe."""
    with os.fdopen(fd, "rb", buffering=1 << 16) as stream:
        for line in stream:
            yield json.loads(line)
