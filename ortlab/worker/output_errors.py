"""The distance between two sets of outputs, summed block by block.

Standard library and numpy only.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import IO, Any

import numpy as np

from ortlab.errors import MeasurementError
from ortlab.worker.feeding.types import as_float

Array = np.ndarray[Any, Any]
# Elements compared at a time: 2 MiB in float64.
BLOCK_ELEMENTS = 1 << 18
# An output of 2 or 3 axes whose last has this many values is taken for class scores.
_CLASSES = range(2, 100_001)
_SCORE_RANKS = (2, 3)


@dataclass
class Stored:
    """One array in an outputs file; its values are read in blocks, its header at once."""

    name: str
    element: int
    note: str
    archive: zipfile.ZipFile
    member: str

    @cached_property
    def header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and stored type.

        Raises:
            MeasurementError: the array is not in the file, or not a plain array.
        """
        with self._stream() as stream:
            return self._read_header(stream)

    @property
    def is_float(self) -> bool:
        """Whether its values are of a floating type, numpy's or not."""
        return bool(self.element) or self.header[1].kind == "f"

    def blocks(self, elements: int) -> Iterator[Array]:
        """The values in order, at most so many at a time, floats as floats."""
        with self._stream() as stream:
            shape, dtype = self._read_header(stream)
            left = math.prod(shape)
            while left > 0:
                count = min(left, elements)
                content = stream.read(count * dtype.itemsize)
                if len(content) != count * dtype.itemsize:
                    raise MeasurementError(f"The kept output '{self.name}' is cut off.")
                yield as_float(np.frombuffer(content, dtype), self.element)
                left -= count

    def _stream(self) -> IO[bytes]:
        return self.archive.open(self.member)

    def _read_header(self, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise MeasurementError(f"The kept output '{self.name}' holds Python objects.")
        return shape, dtype


@dataclass
class Compared:
    """One output against the baseline's, as `ortlab.domain.accuracy.OutputError` and more."""

    name: str
    max_abs_error: float | None = None
    max_rel_error: float | None = None
    cosine: float | None = None
    sqnr_db: float | None = None
    note: str = ""
    identical: bool = False
    top1_agreement: float | None = None
    unknown: bool = False
    """No distance can be given, so that the worst of all outputs is unknown as well."""


@dataclass
class _Sums:
    """What one pass over both arrays adds up."""

    differing: int = 0
    shared_nan: int = 0
    lone_nan: int = 0
    lone_infinite: int = 0
    max_error: float = 0.0
    max_reference: float = 0.0
    product: float = 0.0
    reference_square: float = 0.0
    candidate_square: float = 0.0
    error_square: float = 0.0
    rows: int = 0
    agreeing_rows: int = 0
    classes: int = 0

    def add(self, reference: Array, candidate: Array) -> None:
        """Count in one block of floats."""
        r, c = reference.astype(np.float64), candidate.astype(np.float64)
        if self.classes:
            self._add_rows(r.reshape(-1, self.classes), c.reshape(-1, self.classes))
        nan_r, nan_c = np.isnan(r), np.isnan(c)
        self.shared_nan += int((nan_r & nan_c).sum())
        self.lone_nan += int((nan_r ^ nan_c).sum())
        same = (r == c) | (nan_r & nan_c)
        self.differing += int(r.size - same.sum())
        finite = np.isfinite(r) & np.isfinite(c)
        self.lone_infinite += int((~finite & ~same & ~nan_r & ~nan_c).sum())
        if not finite.all():
            r, c = r[finite], c[finite]
        if r.size:
            self._add_finite(r, c)

    def _add_finite(self, r: Array, c: Array) -> None:
        # Squares of the largest doubles overflow; the figure is then withheld, not wrong.
        with np.errstate(over="ignore", invalid="ignore"):
            error = c - r
            self.max_error = max(self.max_error, float(np.abs(error).max()))
            self.max_reference = max(self.max_reference, float(np.abs(r).max()))
            self.product += float(r @ c)
            self.reference_square += float(r @ r)
            self.candidate_square += float(c @ c)
            self.error_square += float(error @ error)

    def _add_rows(self, r: Array, c: Array) -> None:
        self.rows += len(r)
        self.agreeing_rows += int((r.argmax(1) == c.argmax(1)).sum())


def compared(reference: Stored, candidate: Stored | None) -> Compared:
    """One output of the candidate against the baseline's of the same name."""
    name = reference.name
    if candidate is None:
        return Compared(name, note="The candidate does not return this output.", unknown=True)
    if reference.note or candidate.note:
        return _without_values(reference, candidate)
    shape, other = reference.header[0], candidate.header[0]
    if shape != other:
        told = f"The shapes differ: {list(shape)} in the baseline, {list(other)} here."
        return Compared(name, note=told)
    if reference.is_float and candidate.is_float:
        return _floats(reference, candidate)
    return _exact(reference, candidate)


def _without_values(reference: Stored, candidate: Stored) -> Compared:
    same = reference.note == candidate.note == "none"
    note = "" if same else f"Not compared: {reference.note or candidate.note}."
    return Compared(reference.name, note=note, identical=same, unknown=not same)


def _exact(reference: Stored, candidate: Stored) -> Compared:
    """Whole numbers, booleans and texts: equal or not."""
    differing = 0
    pairs = zip(reference.blocks(BLOCK_ELEMENTS), candidate.blocks(BLOCK_ELEMENTS), strict=True)
    for ours, theirs in pairs:
        differing += int((ours != theirs).sum())
    total = math.prod(reference.header[0])
    if differing == 0:
        return Compared(reference.name, max_abs_error=0.0, max_rel_error=0.0, identical=True)
    note = (
        f"{differing:,} of {total:,} values differ; they are not floats, so only equality counts."
    )
    return Compared(reference.name, note=note)


def _floats(reference: Stored, candidate: Stored) -> Compared:
    shape = reference.header[0]
    scores = len(shape) in _SCORE_RANKS and shape[-1] in _CLASSES
    sums = _Sums(classes=shape[-1] if scores else 0)
    # Whole rows in every block, so that the largest score of each can be found.
    elements = max(BLOCK_ELEMENTS // shape[-1], 1) * shape[-1] if scores else BLOCK_ELEMENTS
    for ours, theirs in zip(reference.blocks(elements), candidate.blocks(elements), strict=True):
        sums.add(ours, theirs)
    return _figures(reference.name, sums)


def _figures(name: str, sums: _Sums) -> Compared:
    """What the sums mean."""
    if sums.lone_nan or sums.lone_infinite:
        return Compared(name, note=_lone(sums), unknown=True)
    note = ""
    if sums.shared_nan:
        note = f"{sums.shared_nan:,} values are NaN in both, at the same places; counted as equal."
    top1 = sums.agreeing_rows / sums.rows if sums.rows else None
    identical = sums.differing == 0
    return Compared(
        name,
        max_abs_error=_finite(sums.max_error),
        max_rel_error=_relative(sums),
        cosine=1.0 if identical else _cosine(sums),
        sqnr_db=None if identical else _sqnr(sums),
        note=note,
        identical=identical,
        top1_agreement=top1,
    )


def _lone(sums: _Sums) -> str:
    parts = []
    if sums.lone_nan:
        parts.append(f"{sums.lone_nan:,} values are NaN in only one of the two")
    if sums.lone_infinite:
        parts.append(f"{sums.lone_infinite:,} values are infinite in only one of the two")
    return " and ".join(parts) + ", so no distance is given."


def _relative(sums: _Sums) -> float | None:
    """The largest error as part of the largest magnitude of the baseline."""
    if sums.max_error == 0:
        return 0.0
    return _finite(sums.max_error / sums.max_reference) if sums.max_reference else None


def _cosine(sums: _Sums) -> float | None:
    norms = math.sqrt(sums.reference_square) * math.sqrt(sums.candidate_square)
    if norms == 0 or not math.isfinite(norms) or not math.isfinite(sums.product):
        return None
    return max(-1.0, min(1.0, sums.product / norms))


def _sqnr(sums: _Sums) -> float | None:
    """Signal to quantization noise, dB: 10 log10 of the power ratio."""
    if sums.error_square == 0 or sums.reference_square == 0:
        return None
    ratio = sums.reference_square / sums.error_square
    return 10 * math.log10(ratio) if math.isfinite(ratio) and ratio > 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def accuracy(rows: list[Compared], *, extra: list[str]) -> dict[str, Any]:
    """All outputs together: the worst of each figure, as plain data of `Accuracy`."""
    notes = [f"{row.name}: {row.note}" for row in rows if row.note]
    notes += [f"{name}: The baseline does not return this output." for name in extra]
    scores = [row.top1_agreement for row in rows if row.top1_agreement is not None]
    return {
        "max_abs_error": _worst(max, rows, "max_abs_error"),
        "max_rel_error": _worst(max, rows, "max_rel_error"),
        "cosine": _worst(min, rows, "cosine"),
        "sqnr_db": _worst(min, rows, "sqnr_db"),
        "top1_agreement": min(scores, default=None),
        "identical": not extra and all(row.identical for row in rows),
        "outputs": [_as_output(row) for row in rows],
        "note": " ".join(notes),
    }


def _worst(pick: Callable[[list[float]], float], rows: list[Compared], figure: str) -> float | None:
    """The worst of one figure; None when an output without a distance makes it unknown."""
    values = [value for row in rows if (value := getattr(row, figure)) is not None]
    return pick(values) if values and not any(row.unknown for row in rows) else None


def _as_output(row: Compared) -> dict[str, Any]:
    kept = asdict(row)
    return {key: kept[key] for key in
            ("name", "max_abs_error", "max_rel_error", "cosine", "sqnr_db", "note")}  # fmt: skip
