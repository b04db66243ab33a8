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
    chunks = file.read(columns=[name])[name].chunks
    filled = (chunk.fill_null(absent) if chunk.null_count else chunk for chunk in chunks)
    pieces = [np.asarray(chunk) for chunk in filled]
    joined = np.concatenate(pieces) if pieces else np.empty(0, np.int64)
    return joined.astype(np.int64, copy=False)


def combined(first: Ints, second: Ints) -> Ints:
    """Codes from 0 for pairs of codes: equal exactly where both are equal."""
    width = int(second.max(initial=0)) + 1
    return dense(first * width + second)


def dense(codes: Ints) -> Ints:
    """The same codes, numbered from 0 without gaps, in their order."""
    numbered: Ints = np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return numbered
