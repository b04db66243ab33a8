"""How far one set of outputs is from another."""

from __future__ import annotations

from msgspec import Struct


class OutputError(Struct, frozen=True):
    """One output against the baseline's; figures are None where they mean nothing.

    `note` says why: other shapes, NaN in only one of the two, values that are no floats and
    differ. Whole numbers, booleans and texts are equal (errors of 0) or have no distance.
    """

    name: str
    max_abs_error: float | None
    max_rel_error: float | None
    cosine: float | None
    sqnr_db: float | None
    note: str = ""


class Accuracy(Struct, frozen=True, kw_only=True):
    """All outputs against the baseline's on the same feeds: the worst of each figure.

    `sqnr_db` is None when the outputs are identical (the ratio is infinite) or cannot be
    compared; `identical` tells the two apart. `max_rel_error` is against the largest
    magnitude of the baseline's output, so that values near zero do not dominate.
    `top1_agreement` is the share of rows whose largest score is at the same place, where an
    output looks like class scores. NaN at the same places in both counts as equal and is told
    in `note`; NaN or infinity in only one of the two leaves every figure None.
    """

    max_abs_error: float | None = None
    max_rel_error: float | None = None
    cosine: float | None = None
    sqnr_db: float | None = None
    top1_agreement: float | None = None
    identical: bool = False
    outputs: tuple[OutputError, ...] = ()
    note: str = ""
