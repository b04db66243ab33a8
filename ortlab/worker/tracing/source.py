"""The bytes of a trace: unpacked, bounded, and cut where its events begin and end."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeAlias, cast

from msgspec import Struct

from ortlab.errors import TraceError

# Measured: larger blocks decode no faster, and leave the processor's cache.
BLOCK_BYTES = 512 << 10
# ORT's longest events (nodes with hundreds of inputs) have some 100 kB.
MAX_EVENT_BYTES = 4 << 20
# A gzip file can grow a thousandfold; an honest trace of 10 M events has 9 GB.
MAX_UNPACKED_BYTES = 10 << 30

_OBJECT_START = re.compile(rb'\s*\{[^\[\]]{0,4096}?"traceEvents"\s*:\s*\[')
_FIRST_KEY = re.compile(rb'\{\s*"([^"\\]{1,100})"')
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Shape(Struct, frozen=True):
    """How a trace is laid out."""

    start: int
    """Where its list starts."""
    one_per_line: bool
    commas: bool
    """Whether commas lie between the lines."""
    wrapped: bool
    """Whether the list is the `traceEvents` of an object."""
    first_line: int
    first_key: bytes
    """The first key of its first event."""


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
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") and b'"cat"' not in head:
        raise TraceError(
            "The trace is text in UTF-16, which ONNX Runtime never writes.",
            hint="Save it again as UTF-8; PowerShell's > does this to a file.",
            kind="not_a_trace",
        )
    # Further on in a list it is damage, and costs its line.
    begins_as_text = head.lstrip()[:1] in (b"[", b"{") and b"\0" not in head[:2]
    if b"\0" in head and not begins_as_text and b'"cat"' not in head:
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
    lines = [line.strip(b" \t\r[]") for line in head[start:].split(b"\n")]
    # The block may end within its last line.
    whole = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line]
    single = sum(_is_one_event(line) for line in whole[:200])
    key = _FIRST_KEY.search(head, start)
    return Shape(
        start=start,
        # In other layouts no line holds an event; in this one, some may be broken.
        one_per_line=single > 0 and 4 * single >= min(len(whole), 200),
        commas=len(whole) < 2 or whole[0].endswith(b",") or whole[1].startswith(b","),
        wrapped=wrapped,
        first_line=1 + head[:start].count(b"\n"),
        first_key=key[1] if key else b"cat",
    )


def _is_one_event(line: bytes) -> bool:
    # Two phases on one line are two events; none is a name with a line break in it.
    line = line.lstrip(b",")
    return line.startswith(b"{") and b'"name"' in line and line.count(b'"ph"') < 2


class LineNumbers:
    """Line numbers of places in a stream.

    Only damage is told with its line: the lines of a file are counted when one is asked for,
    by reading it again from where the last was. What is unpacked is counted as it goes by.
    """

    def __init__(self, stream: BinaryIO | None) -> None:
        again = stream and hasattr(os, "pread") and not isinstance(stream, gzip.GzipFile)
        self._descriptor = stream.fileno() if stream and again else None
        self._offset = 0
        self._line = 1

    @property
    def can_wait(self) -> bool:
        """Whether a line can still be told when its block has gone by."""
        return self._descriptor is not None

    def begin(self, offset: int, line: int) -> None:
        """Take note that this line begins here."""
        self._offset, self._line = offset, line

    def pass_by(self, block: Block) -> None:
        """Go beyond a block that is not needed any more."""
        if self._descriptor is None:
            self.begin(self._offset + block.size, self._line + block.line_count)

    def at(self, offset: int) -> int:
        """The line of this place, which is not before the last one."""
        while self._descriptor is not None and self._offset < offset:
            size = min(BLOCK_BYTES, offset - self._offset)
            part = os.pread(self._descriptor, size, self._offset)
            # A file that shrank meanwhile tells no more.
            self.begin(self._offset + size, self._line + part.count(b"\n"))
        return self._line


class Block:
    """A part of the buffer: whole lines, or whole objects, as far as there are any."""

    def __init__(
        self, buffer: bytearray, start: int, stop: int, *, offset: int, lines: LineNumbers
    ) -> None:
        self.size = stop - start
        self._buffer = buffer
        self._start = start
        self._stop = stop
        self._offset = offset
        self._lines = lines
        # Later, what is counted as it goes by would be further on.
        self._line = None if lines.can_wait else lines.at(offset)
        self._replaced: list[tuple[int, int]] = []

    @classmethod
    def of(cls, text: bytes, *, line: int) -> Block:
        """A block of its own with this text."""
        lines = LineNumbers(None)
        lines.begin(0, line)
        buffer = bytearray(b"[" + text + b"]")
        return cls(buffer, 1, 1 + len(text), offset=0, lines=lines)

    @property
    def line(self) -> int:
        """Number of its first line."""
        if self._line is None:
            self._line = self._lines.at(self._offset)
        return self._line

    @property
    def line_count(self) -> int:
        """How many lines end in it."""
        return self._buffer.count(b"\n", self._start, self._stop)

    def listed(self) -> memoryview | None:
        """The block as a JSON list, made in place; None when it is blank."""
        buffer, start, stop = self._buffer, self._start, self._stop
        while start < stop and buffer[start] in b" \t\r\n,[":
            start += 1
        while stop > start and buffer[stop - 1] in b" \t\r\n,]":
            stop -= 1
        if start == stop:
            return None
        for at, bracket in ((start - 1, b"["), (stop, b"]")):
            self._replaced.append((at, buffer[at]))
            buffer[at : at + 1] = bracket
        return memoryview(buffer)[start - 1 : stop + 1]

    def text(self) -> bytes:
        """A copy of the block as the file has it."""
        while self._replaced:
            at, byte = self._replaced.pop()
            self._buffer[at] = byte
        return bytes(self._buffer[self._start : self._stop])


Cut: TypeAlias = Callable[[bytearray, int, int], int]
"""Where the last whole line or object between two places of a buffer ends, or the first place."""


class Blocks:
    """Reads a stream through one buffer, in blocks that end where a line or an object ends.

    An unfinished one stays for the next block; one longer than `MAX_EVENT_BYTES` comes in
    parts: it is no event.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.cut = False
        """Whether a packed file broke off."""
        self.bytes_read = 0
        self._stream = cast(io.BufferedIOBase, stream)
        # One byte before and after what is read, for the brackets of a list.
        self._buffer = bytearray(BLOCK_BYTES + 2)
        self._start = self._end = 1
        self._last = 0
        self._lines = LineNumbers(stream)

    @property
    def ends_list(self) -> bool:
        """Whether the last thing in the file is the closing bracket of a list."""
        return not self.cut and self._last == ord("]")

    def head(self) -> bytes:
        """The first block of the file without a byte-order mark; it is not used up."""
        self._fill()
        if self._buffer.startswith(codecs.BOM_UTF8, self._start):
            self._start += len(codecs.BOM_UTF8)
        return bytes(self._buffer[self._start : self._end])

    def skip(self, count: int) -> None:
        """Use up this many bytes of the head."""
        self._start += count

    def each(self, cut: Cut, *, first_line: int) -> Iterator[Block]:
        """Every block up to the end of the stream; its bytes are gone when the next one comes.

        Raises:
            TraceError: there is more than `MAX_UNPACKED_BYTES`.
        """
        more = True
        self._lines.begin(self._offset, first_line)
        while more:
            more = self._fill()
            stop = cut(self._buffer, self._start, self._end) if more else self._end
            if stop == self._start:
                if more and self._end - self._start < MAX_EVENT_BYTES:
                    self._grow()
                    continue
                stop = self._end
            block = Block(self._buffer, self._start, stop, offset=self._offset, lines=self._lines)
            yield block
            self._lines.pass_by(block)
            self._start = stop

    @property
    def _offset(self) -> int:
        """Place in the stream of the first byte that is not used up."""
        return self.bytes_read - (self._end - self._start)

    def _fill(self) -> bool:
        """Fill the buffer; whether the stream may have more."""
        buffer, end = self._buffer, self._end
        if self._start > 1:
            rest = bytes(buffer[self._start : end])
            end = 1 + len(rest)
            buffer[1:end] = rest
            self._start = 1
        view = memoryview(buffer)
        first = end
        more = True
        while more and end < len(buffer) - 1:
            count = self._read(view[end:-1])
            end += count
            more = count > 0
        self._end = end
        self._note(first)
        return more

    def _read(self, into: memoryview) -> int:
        try:
            # readinto1 hands out what was unpacked before a packed file breaks off.
            return self._stream.readinto1(into)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self.cut = True
            return 0

    def _note(self, first: int) -> None:
        """Count what was read from `first` on, and remember its last letter."""
        self.bytes_read += self._end - first
        if self.bytes_read > MAX_UNPACKED_BYTES:
            raise TraceError(
                f"The trace holds more than {MAX_UNPACKED_BYTES >> 30} GiB of text.",
                hint="Profile fewer runs: a million events are about 0.9 GB.",
                kind="trace_too_large",
            )
        at = self._end - 1
        while at >= first and self._buffer[at] in b" \t\r\n\x0b\x0c":
            at -= 1
        if at >= first:
            self._last = self._buffer[at]

    def _grow(self) -> None:
        larger = bytearray(2 * len(self._buffer))
        larger[: len(self._buffer)] = self._buffer
        self._buffer = larger


def line_end(buffer: bytearray, start: int, end: int) -> int:
    """Where the last whole line ends."""
    return max(buffer.rfind(b"\n", start, end) + 1, start)


# Where an event is longer than this many others are not, reading it object by object will do.
_MAX_TRIES = 50
_BEFORE_OBJECT = re.compile(rb"\}\s*,(\s*\{\s*)$")


def object_end(first_key: bytes) -> Cut:
    """Finds where the last whole object ends, when each begins with this key.

    A false one, inside an event, is seen by what lies before it: that is no whole list.
    """
    key = b'"' + first_key + b'"'

    def cut(buffer: bytearray, start: int, end: int) -> int:
        at = end
        for _ in range(_MAX_TRIES):
            at = buffer.rfind(key, start, at)
            if at < 0:
                break
            match = _BEFORE_OBJECT.search(buffer[max(start, at - 200) : at])
            if match:
                return at - len(match[1])
        return start

    return cut


def is_write_error(error: OSError) -> bool:
    """Whether the error is about the place the events are written to, not about the trace."""
    return error.errno in _FULL_DISK
