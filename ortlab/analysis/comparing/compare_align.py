"""Two stretches of nodes without common names, aligned by what the nodes do."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from ortlab.analysis.comparing.compare_names import Names
from ortlab.domain.trace import NodeRow

# Ways back through 40 M cells take 10 MB and a second; longer stretches without a common name
# are no models that anybody compares.
MAX_CELLS = 40_000_000
# A pair of the same family always counts more than any likeness of names can.
_FAMILY = 100
# Names deeper than that agree anyway when they agree so far.
_MODULE_DEPTH = 5

Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]
Node = tuple[Names, NodeRow]
Trait = Callable[[Names, NodeRow], Hashable]


def _module(depth: int) -> Trait:
    return lambda names, row: names.modules[:depth]


_LIKENESS: tuple[tuple[int, Trait], ...] = (
    (8, lambda names, row: row.op_type),
    (4, lambda names, row: names.first_input),
    (4, lambda names, row: names.scope),
    *((2, _module(depth)) for depth in range(1, _MODULE_DEPTH + 1)),
)
"""What makes one of several possible pairs the better one, with its weight."""


def aligned(base: Sequence[Node], other: Sequence[Node]) -> list[tuple[int, int]]:
    """Positions of the pairs of the alignment that is best in all, in order on both sides.

    Only nodes of the same operator family, with outputs of the same sizes, are a pair; so a
    surplus node on one side shifts nobody.
    """
    scores = _Scores(base, other)
    best = np.zeros(len(other) + 1, np.int32)
    # Per row, packed: whether a cell is as good without the node of `base`, or of `other`.
    without_base, without_other = [], []
    for i in range(len(base)):
        here = best.copy()
        np.maximum(here[1:], best[:-1] + scores.row(i), out=here[1:])
        np.maximum.accumulate(here, out=here)
        without_base.append(np.packbits(here[1:] == best[1:]))
        without_other.append(np.packbits(here[1:] == here[:-1]))
        best = here
    return _way_back(without_base, without_other, columns=len(other))


def _way_back(
    without_base: list[NDArray[np.uint8]],
    without_other: list[NDArray[np.uint8]],
    *,
    columns: int,
) -> list[tuple[int, int]]:
    """The pairs on the best way, read from its end."""
    pairs = []
    i, j = len(without_base) - 1, columns - 1
    while i >= 0 and j >= 0:
        byte, mask = j >> 3, 128 >> (j & 7)
        if without_base[i][byte] & mask:
            i -= 1
        elif without_other[i][byte] & mask:
            j -= 1
        else:
            pairs.append((i, j))
            i, j = i - 1, j - 1
    return pairs[::-1]


class _Scores:
    """How alike each two nodes are, a row at a time."""

    def __init__(self, base: Sequence[Node], other: Sequence[Node]) -> None:
        # A body runs inside another node, and never stands for one that does not.
        self._work = _codes(base, other, lambda names, row: (names.family, bool(names.scope)))
        self._output = _codes(base, other, lambda names, row: names.first_output)
        self._unknown = [
            np.array([names.first_output is None for names, _ in side]) for side in (base, other)
        ]
        self._traits = [(weight, _codes(base, other, trait)) for weight, trait in _LIKENESS]

    def row(self, i: int) -> Ints:
        """Scores of one node of `base` with every node of `other`; zero where it is no pair."""
        possible = self._work[1] == self._work[0][i]
        if not self._unknown[0][i]:
            possible &= (self._output[1] == self._output[0][i]) | self._unknown[1]
        score = np.full(len(possible), _FAMILY, np.int32)
        for weight, (base, other) in self._traits:
            score += weight * (other == base[i])
        return np.where(possible, score, 0).astype(np.int32)


def _codes(base: Sequence[Node], other: Sequence[Node], trait: Trait) -> tuple[Ints, Ints]:
    """A number per node on both sides: equal numbers, equal trait."""
    known: dict[Hashable, int] = {}
    sides = [
        np.array([known.setdefault(trait(*node), len(known)) for node in side], np.int32)
        for side in (base, other)
    ]
    return sides[0], sides[1]
