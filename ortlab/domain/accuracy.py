"""How far one set of outputs is from another."""

from __future__ import annotations

from msgspec import Struct


class OutputError(Struct, frozen=True):
    """One output against the baseline's; figures are None where they mean nothing."""

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
    """

    max_abs_error: float | None = None
    max_rel_error: float | None = None
    cosine: float | None = None
    sqnr_db: float | None = None
    top1_agreement: float | None = None
    identical: bool = False
    outputs: tuple[OutputError, ...] = ()
    note: str = ""
