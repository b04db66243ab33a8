"""Protobuf's wire format, read field by field from bytes that may be hostile.

Every length is checked against the message that holds it, counts are bounded, and a fault
names its byte.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from ortlab.errors import ModelError

Buffer = mmap.mmap | bytes

# Forty fields for each of the 200,000 nodes; 1 GB of two-byte fields would otherwise take minutes.
MAX_FIELDS = 8_000_000
MAX_NAME_BYTES = 1 << 16
# Longer integer lists (Constant nodes can hold weights this way) are stepped over.
MAX_LIST_BYTES = 1 << 16

Field = tuple[int, int, int, int]
"""Number, wire type, then the value and 0 for wire type 0, else start and end of the content."""


class Reader:
    """Fields of messages in one buffer, within one budget."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.fields_left = MAX_FIELDS

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Each field of the message at `start`, in file order."""
        buffer, position = self.buffer, start
        while position < end:
            self.fields_left -= 1
            if self.fields_left < 0:
                raise too_large("protobuf fields", MAX_FIELDS)
            key = buffer[position]
            position += 1
            if key > 127:
                key, position = self._varint(position - 1, end)
            wire = key & 7
            if key < 8:
                raise corrupt(position - 1, "a field with the number 0")
            if wire == 2:
                if position >= end:
                    raise self._cut(position, end)
                size = buffer[position]
                position += 1
                if size > 127:
                    size, position = self._varint(position - 1, end)
                stop = position + size
                if stop > end:
                    raise self._overrun(position, size, end)
                yield key >> 3, 2, position, stop
                position = stop
            elif wire == 0:
                if position >= end:
                    raise self._cut(position, end)
                number = buffer[position]
                position += 1
                if number > 127:
                    number, position = self._varint(position - 1, end)
                yield key >> 3, 0, number, 0
            else:
                position = self._fixed(key, wire, position, end)
                yield key >> 3, wire, position - (4 if wire == 5 else 8), position

    def _fixed(self, key: int, wire: int, position: int, end: int) -> int:
        if wire not in (1, 5):
            raise corrupt(position - 1, f"wire type {wire} in field {key >> 3}")
        stop = position + (4 if wire == 5 else 8)
        if stop > end:
            raise self._cut(position, end)
        return stop

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """A number of several bytes, and the position behind it."""
        value = shift = 0
        start = position
        while position < end:
            byte = self.buffer[position]
            position += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & 0xFFFFFFFFFFFFFFFF, position
            shift += 7
            if shift > 63:
                raise corrupt(start, "a number of more than ten bytes")
        raise self._cut(start, end)

    def _cut(self, position: int, end: int) -> ModelError:
        if end == len(self.buffer):
            return cut_off(end, f"in the middle of the field at byte {position:,}")
        return corrupt(position, "a field that runs beyond its message")

    def _overrun(self, position: int, size: int, end: int) -> ModelError:
        if position + size > len(self.buffer):
            return cut_off(
                len(self.buffer), f"but the field at byte {position:,} says it has {size:,} bytes"
            )
        return corrupt(position, f"a field of {size:,} bytes that runs beyond its message")

    def text(self, start: int, end: int) -> str:
        """A name; bytes that are not UTF-8 are escaped, as ONNX Runtime takes them too."""
        if end - start > MAX_NAME_BYTES:
            raise corrupt(start, f"a name of {end - start:,} bytes")
        return str(self.buffer[start:end], "utf-8", "backslashreplace")

    def packed(self, start: int, end: int) -> list[int]:
        """A packed list of integers; empty when it is too long to be a shape or an index."""
        if end - start > MAX_LIST_BYTES:
            return []
        values = []
        while start < end:
            value, start = self._varint(start, end)
            values.append(signed(value))
        return values


def signed(value: int) -> int:
    """The number as protobuf's int64 means it."""
    return value - (1 << 64) if value >= 1 << 63 else value


def cut_off(end: int, why: str) -> ModelError:
    """The file ends too early."""
    return ModelError(
        f"The model is cut off: the file ends at byte {end:,}, {why}.",
        hint="Download or copy it again; a finished copy has the byte count of its source.",
        kind="cut_off",
    )


def corrupt(position: int, what: str) -> ModelError:
    """The bytes are no model."""
    return ModelError(
        f"This is not a readable ONNX model: byte {position:,} holds {what}.",
        hint="The file may be damaged, or not ONNX at all. Export or download it again.",
        kind="not_onnx",
    )


def too_large(what: str, limit: int) -> ModelError:
    """A limit was passed."""
    return ModelError(
        f"The model holds more than {limit:,} {what}; ortlab stops there.",
        hint="No graph ONNX Runtime can open in reasonable time is this large; simplify it first.",
        kind="too_large",
    )
