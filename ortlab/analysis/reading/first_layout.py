"""Stored events as ortlab 0.1 wrote them: every text in every row, and no signatures.

A trace that a person opened is kept as stored events only, so its old form stays readable.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from ortlab.analysis.reading.arrays import Ints, combined, dense, whole_column
from ortlab.domain.trace import Signature

_TEXTS = ("name", "op_type", "provider", "input_shapes", "output_shapes", "parent")
_NUMBERS = ("node_index", "parameter_size", "activation_size", "output_size")
_ABSENT = -1


def columns(file: Any) -> tuple[tuple[Signature, ...], list[list[int]], dict[str, Ints]]:
    """Signatures, lanes as (process, thread), and the columns of today's layout."""
    category = whole_column(file, "cat")
    texts = {name: _texts(file, name) for name in _TEXTS}
    numbers = {name: whole_column(file, name, absent=_ABSENT) for name in _NUMBERS}
    codes = [category, *(codes for codes, _ in texts.values()), *map(dense, numbers.values())]
    sig = reduce(combined, codes)
    _, first = np.unique(sig, return_index=True)
    signatures = tuple(_signature(at, category, texts, numbers) for at in first.tolist())
    process, thread = whole_column(file, "pid"), whole_column(file, "tid")
    lane = combined(dense(process), dense(thread))
    _, at = np.unique(lane, return_index=True)
    lanes = [[int(process[i]), int(thread[i])] for i in at.tolist()]
    start, duration = whole_column(file, "ts"), whole_column(file, "dur")
    return signatures, lanes, {"sig": sig, "ts": start, "dur": duration, "lane": lane}


def _signature(
    at: int,
    category: Ints,
    texts: dict[str, tuple[Ints, list[str | None]]],
    numbers: dict[str, Ints],
) -> Signature:
    told = {name: values[codes[at]] for name, (codes, values) in texts.items()}
    sizes = {name: int(values[at]) for name, values in numbers.items()}
    known = {name: None if size == _ABSENT else size for name, size in sizes.items()}
    return Signature(
        category=int(category[at]),
        name=told["name"] or "",
        op_type=told["op_type"],
        provider=told["provider"],
        node_index=known["node_index"],
        parameter_bytes=known["parameter_size"],
        activation_bytes=known["activation_size"],
        output_bytes=known["output_size"],
        input_shapes=told["input_shapes"],
        output_shapes=told["output_shapes"],
        parent=told["parent"],
    )


def _texts(file: Any, name: str) -> tuple[Ints, list[str | None]]:
    """Codes into distinct texts; the last of them is the absent one."""
    known: dict[str | None, int] = {}
    parts = []
    for chunk in file.read(columns=[name])[name].chunks:
        encoded = chunk.dictionary_encode()
        values = [*encoded.dictionary.to_pylist(), None]
        numbers = np.array([known.setdefault(value, len(known)) for value in values], np.int64)
        indices = encoded.indices.fill_null(len(values) - 1)
        parts.append(numbers[np.asarray(indices)])
    codes = np.concatenate(parts) if parts else np.empty(0, np.int64)
    return codes, list(known)
