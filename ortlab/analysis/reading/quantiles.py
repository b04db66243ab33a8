"""Quantiles of many groups at once: observed values, never interpolated ones."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Floats, Ints

# Below this many values no pair of order statistics encloses the median with 95 %.
MIN_FOR_INTERVAL = 6
_NORMAL_95 = 1.96
_INT64_BITS = 63


class Groups(Struct, frozen=True):
    """The values of each group, sorted, one group after the other."""

    values: Ints
    begin: Ints
    counts: Ints

    def quantile(self, part: float) -> Floats:
        """Per group the value at this part by nearest rank; nan for an empty group."""
        return self._at(np.maximum(np.ceil(part * self.counts).astype(np.int64) - 1, 0))

    def smallest(self) -> Floats:
        """Per group its smallest value; nan for an empty group."""
        return self._at(np.zeros(len(self.counts), np.int64))

    def largest(self) -> Floats:
        """Per group its largest value; nan for an empty group."""
        return self._at(np.maximum(self.counts - 1, 0))

    def median_interval(self) -> tuple[Floats, Floats]:
        """Per group a 95 % interval of its median from order statistics; nan below 6 values.

        Source: the sign test's normal form, ranks (n ± 1.96 √n) / 2.
        """
        half = _NORMAL_95 * np.sqrt(self.counts)
        low = np.floor((self.counts - half) / 2).astype(np.int64)
        high = np.ceil((self.counts + half) / 2).astype(np.int64)
        enough = self.counts >= MIN_FOR_INTERVAL
        lows = self._at(np.clip(low - 1, 0, None))
        highs = self._at(np.clip(high, 0, np.maximum(self.counts - 1, 0)))
        return np.where(enough, lows, np.nan), np.where(enough, highs, np.nan)

    def _at(self, rank: Ints) -> Floats:
        if not len(self.values):
            return np.full(len(self.counts), np.nan)
        at = np.minimum(self.begin + rank, len(self.values) - 1)
        return np.where(self.counts > 0, self.values[at].astype(np.float64), np.nan)


def groups(key: Ints, value: Ints, count: int) -> Groups:
    """Values by group; `key` is from 0 to `count` - 1, values are not negative."""
    counts = np.bincount(key, minlength=count).astype(np.int64)
    begin = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64) if count else counts
    bits = int(value.max(initial=0)).bit_length()
    if bits + max(count, 1).bit_length() <= _INT64_BITS:
        # One sort of whole numbers is ten times as fast as one by two keys.
        packed = np.sort((key << bits) | value)
        return Groups(packed & ((1 << bits) - 1), begin, counts)
    return Groups(value[np.lexsort((value, key))], begin, counts)


def sums(key: Ints, values: Ints, count: int) -> Ints:
    """Sum per group, exact beyond 2**53 too, where counting in floating point is not."""
    total = np.zeros(count, np.int64)
    np.add.at(total, key, values)
    return total
