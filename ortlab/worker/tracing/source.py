"""The bytes of a trace: unpacked, bounded, and cut where its events begin and end."""

from __future__ import annotations

import errno
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from msgspec import Struct

from ortlab.errors import TraceError

# Measured: 256 KB blocks decode as fast as larger ones and stay in the processor's cache.
BLOCK_BYTES = 256 << 10
# ORT's longest events (nodes with hundreds of inputs) have some 100 kB.
MAX_EVENT_BYTES = 4 << 20
# A gzip file can grow a thousandfold; an honest trace of 10 M events has 9 GB.
MAX_UNPACKED_BYTES = 10 << 30

_OBJECT_START = re.compile(rb'\s*\{[^\[\]]{0,4096}?"traceEvents"\s*:\s*\[')
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Shape(Struct, frozen=True):
    """How a trace is laid out: where its list starts, and whether each line is one event."""

    start: int
    one_per_line: bool
    wrapped: bool
    first_line: int


def open_trace(path: Path) -> BinaryIO:
    """The unpacked bytes of the file, gzip or not.

    Raises:
        TraceError: the file has no bytes.
        OSError: it cannot be opened.
    """
    stream = path.open("rb")
    magic = stream.read(2)
    stream.seek(0)
    if not magic:
        stream.close()
        _refuse_empty(f"'{path.name}' is empty: 0 bytes")
    if magic == b"\x1f\x8b":
        # The file object of gzip has the same methods; it closes the file beneath it.
        unpacked = gzip.GzipFile(fileobj=stream)
        unpacked.myfileobj = stream  # type: ignore[assignment]
        return cast(BinaryIO, unpacked)
    return stream


def _refuse_empty(what: str) -> NoReturn:
    raise TraceError(
        f"The trace {what}.",
        hint="ONNX Runtime writes its profile only at the end. The profiled process was probably "
        "killed; call end_profiling(), or let it exit by itself.",
        kind="empty_trace",
    )


def check_head(head: bytes) -> None:
    """Refuse what is not text at all.

    Raises:
        TraceError: the first block holds no text, or text in two bytes per letter.
    """
    if not head.strip():
        _refuse_empty("is empty: it holds only white space")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TraceError(
            "The trace is text in UTF-16, which ONNX Runtime never writes.",
            hint="Save it again as UTF-8; PowerShell's > does this to a file.",
            kind="not_a_trace",
        )
    if b"\0" in head:
        raise TraceError(
            f"This is not a trace but a binary file; it begins with {head[:8].hex(' ')}.",
            hint="An ORT profile is a JSON file with a name like onnxruntime_profile__….json.",
            kind="not_a_trace",
        )


def shape(head: bytes) -> Shape:
    """How the trace that begins with this block is laid out."""
    start, wrapped = 0, False
    if match := _OBJECT_START.match(head):
        start, wrapped = match.end(), True
    lines = [line.strip(b" \t\r,[]") for line in head[start:].split(b"\n")]
    # The block may end within its last line.
    whole = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line]
    single = sum(_is_one_event(line) for line in whole[:200])
    # ORT writes a bare list; in an object anything may follow the list on its last line.
    one_per_line = not wrapped and 2 * single > min(len(whole), 200)
    return Shape(start, one_per_line, wrapped, 1 + head[:start].count(b"\n"))


def _is_one_event(line: bytes) -> bool:
    # Two phases on one line are two events; none is a name with a line break in it.
    return line.startswith(b"{") and b'"name"' in line and line.count(b'"ph"') < 2


class Tail:
    """Remembers, while a stream goes by, how it ended and how long it was."""

    def __init__(self) -> None:
        self.cut = False
        self.bytes_read = 0
        self._last = b""

    @property
    def ends_list(self) -> bool:
        """Whether the last thing in the file is the closing bracket of a list."""
        return not self.cut and self._last == b"]"

    def pieces(self, stream: BinaryIO) -> Iterator[bytes]:
        """The stream in pieces, up to its end or to where a packed file breaks off.

        Raises:
            TraceError: there is more than `MAX_UNPACKED_BYTES`.
        """
        while piece := self._next(stream):
            self.bytes_read += len(piece)
            if self.bytes_read > MAX_UNPACKED_BYTES:
                raise TraceError(
                    f"The trace holds more than {MAX_UNPACKED_BYTES >> 30} GiB of text.",
                    hint="Profile fewer runs: a million events are about 0.9 GB.",
                    kind="trace_too_large",
                )
            self._last = piece.rstrip()[-1:] or self._last
            yield piece

    def _next(self, stream: BinaryIO) -> bytes:
        try:
            # read1 hands out what was unpacked before a packed file breaks off; read loses it.
            return stream.read1(BLOCK_BYTES)  # type: ignore[attr-defined, no-any-return]
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self.cut = True
            return b""


def line_blocks(pieces: Iterable[bytes], *, first_line: int) -> Iterator[tuple[bytes, int]]:
    """Blocks of whole lines, each with the number of its first line.

    A line longer than `MAX_EVENT_BYTES` comes in parts: it is no event.
    """
    rest, line = b"", first_line
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        short = len(rest) + len(piece) < BLOCK_BYTES
        if short or (not end and len(rest) < MAX_EVENT_BYTES):
            rest += piece
            continue
        block, rest = rest + piece[:end], piece[end:]
        yield block, line
        line += block.count(b"\n")
    if rest.strip():
        yield rest, line


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


def is_write_error(error: OSError) -> bool:
    """Whether the error is about the place the events are written to, not about the trace."""
    return error.errno in _FULL_DISK
