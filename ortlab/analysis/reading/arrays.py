"""Small operations on columns of events that several readers of a trace share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ortlab.domain.trace import NOT_TOLD

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]


def whole_column(file: Any, name: str, *, absent: int = NOT_TOLD) -> Ints:
    """One column of an open Parquet file as 64-bit integers, `absent` where it is null.

    One column at a time, because Arrow's form of all of them takes as much again.
    """
    return numbers(file.read(columns=[name])[name], absent=absent)


def numbers(column: Any, *, absent: int = NOT_TOLD) -> Ints:
    """A column of Arrow's whole numbers as 64-bit integers, `absent` where it is null."""
    filled = (chunk.fill_null(absent) if chunk.null_count else chunk for chunk in column.chunks)
    pieces = [_in_place(chunk) for chunk in filled]
    joined = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
    return joined.astype(np.int64, copy=False)


def _in_place(chunk: Any) -> Any:
    # Arrow's own way to numpy imports pandas where it is there: 45 MB and a quarter of a second.
    if not len(chunk):
        return np.empty(0, np.int64)
    values = np.frombuffer(chunk.buffers()[1], f"i{chunk.type.bit_width // 8}")
    return values[chunk.offset : chunk.offset + len(chunk)]


def combined(first: Ints, second: Ints) -> Ints:
    """Codes from 0 for pairs of codes: equal exactly where both are equal."""
    width = int(second.max(initial=0)) + 1
    return dense(first * width + second)


def dense(codes: Ints) -> Ints:
    """The same codes, numbered from 0 without gaps, in their order."""
    numbered: Ints = np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return numbered
