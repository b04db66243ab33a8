"""The stored timeline: one file of sorted arrays that a window of any size is cut out of.

Events lie row by row (a row is a thread or stream at one nesting depth), in order of start, and
those of one row do not overlap. So the events that touch a window are one slice per row, found
by bisection; and the time of each operator up to any moment is the sum that was stored for the
last whole block of events, plus a part of a block. Two such sums give the exact time in any
bucket of any width: no level of a pyramid is missing, and none has to be chosen.
"""

from __future__ import annotations

import mmap
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Ints
from ortlab.domain.timeline import Contents
from ortlab.errors import TraceError

MAGIC = b"ortlab timeline\n"
VERSION = 2
"""Of the layout; raise `SUMMARY_VERSION` with it, so that stored ones are made anew."""
BLOCK = 64
"""Events between two stored sums: 5 million events and 32 kinds make 20 MB of sums, and the
rest of a block is read in 10 µs."""
GROUP = 16
"""Events of which the longest is stored, and the longest of so many of those."""
MAX_KINDS = 32
"""Kinds (operator on a provider) that have a colour and a sum of their own."""
_ALIGNED_BYTES = 64
# Files that pages have open; each costs address space and a descriptor, no memory of its own.
_OPEN_FILES = 16


class Place(Struct, frozen=True, array_like=True):
    """Where one array lies, in bytes after the header."""

    dtype: str
    offset: int
    shape: tuple[int, ...]


class Header(Struct, frozen=True, kw_only=True):
    """The beginning of the file."""

    version: int
    origin_us: int
    """What the stored times count from."""
    contents: Contents
    row_lane: tuple[int, ...] = ()
    row_at: tuple[int, ...] = (0,)
    """First event of each row, and the count of events."""
    places: dict[str, Place] = {}


class TimelineFile(Struct, frozen=True):
    """An open timeline: its header, and its arrays as they lie in the file."""

    header: Header
    arrays: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name]

    def texts(self, name: str, numbers: Ints) -> list[str]:
        """Some texts of a stored list of texts."""
        at, whole = self.arrays[f"{name}_at"], self.arrays[f"{name}_bytes"]
        bounds = zip(at[numbers].tolist(), at[numbers + 1].tolist(), strict=True)
        return [bytes(whole[begin:end]).decode("utf-8", "replace") for begin, end in bounds]


def opened(path: Path) -> TimelineFile:
    """The timeline stored at `path`; the files asked for last stay open.

    Raises:
        TraceError: it is not there, or not one of this version.
    """
    try:
        seen = path.stat()
        return _opened(path, seen.st_mtime_ns, seen.st_size, seen.st_ino)
    except (OSError, ValueError, KeyError, msgspec.MsgspecError) as error:
        raise TraceError(
            f"The stored timeline of this trace cannot be read: {error}",
            hint="Open the trace again.",
        ) from None


def save(path: Path, header: Header, arrays: dict[str, Any]) -> None:
    """Write the header and the arrays, each with the narrowest type that holds it."""
    places: dict[str, Place] = {}
    offset = 0
    for name, values in arrays.items():
        places[name] = Place(values.dtype.str, offset, values.shape)
        offset += -(-values.nbytes // _ALIGNED_BYTES) * _ALIGNED_BYTES
    head = msgspec.json.encode(msgspec.structs.replace(header, places=places))
    begin = len(MAGIC) + 8 + len(head)
    with path.open("wb") as out:
        out.write(MAGIC + len(head).to_bytes(8, "little") + head)
        out.write(bytes(-begin % _ALIGNED_BYTES))
        for values in arrays.values():
            out.write(np.ascontiguousarray(values).data if values.size else b"")
            out.write(bytes(-values.nbytes % _ALIGNED_BYTES))


def narrow(values: Ints) -> Any:
    """The same numbers, none below 0, in the narrowest unsigned type that leaves room above."""
    largest = int(values.max(initial=0))
    for dtype in (np.uint8, np.uint16, np.uint32):
        if largest < np.iinfo(dtype).max:
            return values.astype(f"<u{np.dtype(dtype).itemsize}")
    return values.astype("<i8")


def texts(name: str, values: list[str]) -> dict[str, Any]:
    """The arrays that hold a list of texts."""
    encoded = [value.encode("utf-8", "replace") for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {
        f"{name}_bytes": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}_at": narrow(ends),
    }


@lru_cache(maxsize=_OPEN_FILES)
def _opened(path: Path, *_seen: int) -> TimelineFile:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < len(MAGIC) + 8:
            raise ValueError("it is too short")
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    begin = len(MAGIC) + 8
    if bytes(whole[: len(MAGIC)]) != MAGIC:
        raise ValueError("it is no timeline of ortlab")
    length = int.from_bytes(whole[len(MAGIC) : begin], "little")
    header = msgspec.json.decode(whole[begin : begin + length], type=Header)
    if header.version != VERSION:
        raise ValueError(f"it has version {header.version}, and version {VERSION} is needed")
    data = -(-(begin + length) // _ALIGNED_BYTES) * _ALIGNED_BYTES
    return TimelineFile(header, {n: _array(whole, data, p) for n, p in header.places.items()})


def _array(whole: memoryview, data: int, place: Place) -> Any:
    count = int(np.prod(place.shape, dtype=np.int64))
    found = (
        np.frombuffer(whole, place.dtype, count, data + place.offset)
        if count
        else np.empty(0, place.dtype)
    )
    return found.reshape(place.shape)
