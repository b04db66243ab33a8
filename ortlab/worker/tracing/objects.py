"""Cuts a trace that is not one event per line into its events, by matching brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ortlab.worker.tracing.source import MAX_EVENT_BYTES

# Strings first, so that brackets in names do not count; the last branch is a string that
# does not end within what was read.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]|"', re.DOTALL)


class Objects:
    """Cuts a stream into the objects of its list by matching brackets, whatever the layout.

    Keeps only the object that is open. Of one longer than `MAX_EVENT_BYTES`, which is no
    event, only the first bracket comes out.
    """

    def __init__(self, *, first_line: int) -> None:
        self.list_ended = False
        self._line = first_line
        self._buffer = b""
        self._position = 0
        self._depth = 0
        self._start = 0

    @property
    def open(self) -> bool:
        """Whether an object has begun and not ended."""
        return self._depth > 0

    def feed(self, piece: bytes) -> Iterator[tuple[bytes, int]]:
        """Objects that are complete now."""
        self._buffer += piece
        while match := _TOKEN.search(self._buffer, self._position):
            token = match.group() if match.end() - match.start() == 1 else b""
            if token == b'"':
                # A string that goes on in the next piece.
                self._position = match.start()
                break
            self._position = match.end()
            if token and self._step(token, match.start()):
                yield self._buffer[self._start : self._position], self._line
                self._line += self._buffer.count(b"\n", self._start, self._position)
                self._start = self._position
            if self.list_ended and not self._depth:
                return
        else:
            self._position = len(self._buffer)
        yield from self._oversized()
        self._trim()

    def rest(self) -> Iterator[tuple[bytes, int]]:
        """The object that was still open at the end."""
        if self._depth:
            yield self._buffer, self._line

    def skip(self, lines: int) -> None:
        """Leave out a block with this many line ends, that was read in another way."""
        self._line += lines

    def _step(self, token: bytes, at: int) -> bool:
        """Follow one bracket; whether it closes an object of the list."""
        if not self._depth:
            self.list_ended = token == b"]" or self.list_ended
            if token == b"{":
                self._line += self._buffer.count(b"\n", self._start, at)
                self._start, self._depth = at, 1
            return False
        self._depth += 1 if token in b"{[" else -1
        return not self._depth

    def _oversized(self) -> Iterator[tuple[bytes, int]]:
        if len(self._buffer) - self._start > MAX_EVENT_BYTES and self._depth:
            yield b"{", self._line
            self._line += self._buffer.count(b"\n", self._start)
            self._start = self._position = len(self._buffer)
            self._depth = 0

    def _trim(self) -> None:
        """Forget what lies before the open object."""
        keep = self._start if self._depth else self._position
        if not self._depth:
            self._line += self._buffer.count(b"\n", self._start, keep)
        self._buffer = self._buffer[keep:]
        self._position -= keep
        self._start = 0
