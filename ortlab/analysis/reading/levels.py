"""Where the time of runs changes its level: the end of warm-up, and changes after it.

Log durations are cut into pieces of constant level by least squares with a price per piece,
exactly (optimal partitioning). Of many runs the first stand for themselves, where warm-up is,
and the others in blocks by their medians; each change is then placed to the run. Single slow
runs move no level: they are clipped to their neighbourhood before, and told as outliers after.
"""

from __future__ import annotations

import itertools

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Flags, Floats, Ints

# Runs that stand for themselves, and blocks that stand for all others: 256 steps, 3 ms.
HEAD_POINTS = 128
BLOCKS = 128
# A piece shorter than this is a burst of slow runs, not a level.
MIN_PIECE = 4
# Information criteria ask 2 log n of independent noise; real runs come in correlated stretches.
PRICE_LOGS = 6.0
# A change that matters is larger than what caches and clocks do from minute to minute.
MIN_STEP_SHARE = 0.10
# With fewer runs their spread is not known, so only a large step counts.
FEW_RUNS = 6
MIN_STEP_SHARE_FEW = 0.5
# With not many more, their spread is that of the warm-up too: slower than anything later is
# enough.
SOME_RUNS = 16
# Runs this many (normal-scaled) median deviations above their level are not of it: one in a
# million by chance.
FAR_DEVIATIONS = 5.0
# Even runs have next to no deviation; a fifth above the others is what a reader would notice.
OUTLIER_MIN_SHARE = 0.2
# Two of five runs that take longer are what the model does.
MIN_FOR_OUTLIERS = 8
# Warm-up is a matter of first runs: what lasts longer is a change of the machine or the input.
MAX_WARMUP_SHARE = 1 / 3
_MOST_OF_DRIFT = 0.6
_MAD_TO_SIGMA = 1.4826
# ORT cuts times to whole µs, which makes up this much of their standard deviation.
_ROUNDING_US = 0.3


class Levels(Struct, frozen=True):
    """What the durations of one session's runs say, in the order of their start."""

    warmup: Flags
    outlier: Flags
    """Steady runs far above the level that they belong to."""
    changes: tuple[int, ...]
    """First runs of a new level after warm-up."""
    drift: float
    """Where runs kept getting slower (or faster): last level ÷ first one - 1; else 0."""


def levels(durations: Ints) -> Levels:
    """Warm-up, outliers and changes of level among runs with these durations, µs."""
    count = len(durations)
    if count < FEW_RUNS:
        return _of_few(durations)
    logs = np.log(np.maximum(durations, 1))
    bounds = _pieces(logs, float(np.median(durations)))
    level = np.array([np.median(logs[a:b]) for a, b in itertools.pairwise(bounds)])
    drift = _drift(bounds, level)
    piece = 0 if drift else _first_steady(bounds, level)
    head = max(_warmup_end(logs, bounds, level, piece), _slower_than_all(durations))
    changes = [] if drift else _changes(bounds, level, piece)
    outlier = _outliers(logs, [head, *(bounds[piece + 1 :] if drift else [*changes, count])])
    return Levels(np.arange(count) < head, outlier, tuple(changes), drift)


def _of_few(durations: Ints) -> Levels:
    """Too few runs to know their spread: the first half may be warm-up if it is far slower."""
    count, half = len(durations), len(durations) // 2
    warm = np.zeros(count, bool)
    if half:
        limit = float(np.median(durations[half:])) * (1 + MIN_STEP_SHARE_FEW)
        warm[: _leading(durations[:half] > limit)] = True
    return Levels(warm, np.zeros(count, bool), (), 0.0)


def _slower_than_all(durations: Ints) -> int:
    """Among not many runs, how many first ones are slower than anything in the second half."""
    half = len(durations) // 2
    if len(durations) >= SOME_RUNS:
        return 0
    later = durations[half:]
    limit = max(
        float(np.median(later)) * (1 + MIN_STEP_SHARE_FEW),
        float(later.max()) * (1 + OUTLIER_MIN_SHARE),
    )
    return _leading(durations[:half] > limit)


def _leading(flags: Flags) -> int:
    """How many are set from the first one on."""
    return len(flags) if flags.all() else int(np.argmin(flags))


def _pieces(logs: Floats, median_us: float) -> list[int]:
    """Borders of the pieces of constant level, 0 and the count included."""
    head = len(logs) if len(logs) <= HEAD_POINTS + BLOCKS else HEAD_POINTS
    width = max(1, (len(logs) - head) // BLOCKS)
    edges = np.concatenate((np.arange(head), np.arange(head, len(logs) + 1, width)))
    rounding = _ROUNDING_US / max(median_us, 1.0)
    points, noise = _clipped(logs[:head]), np.full(head, max(_noise(logs[:head]), rounding))
    if head < len(logs):
        blocks = np.median(logs[head : edges[-1]].reshape(-1, width), axis=1)
        points = np.concatenate((points, blocks))
        coarse = max(_noise(blocks), rounding / float(np.sqrt(width)))
        noise = np.concatenate((noise, np.full(len(blocks), coarse)))
    borders = _partition(points, 1 / noise**2, PRICE_LOGS * np.log(max(len(points), 2)))
    return _placed(logs, borders, edges)


def _placed(logs: Floats, borders: list[int], edges: Ints) -> list[int]:
    """Borders between points as borders between runs; inside blocks they are searched for."""
    placed = {0, len(logs)}
    for border in borders[1:-1]:
        begin, end = edges[max(0, border - 2)], edges[min(len(edges) - 1, border + 2)]
        alone = end - begin <= 4
        placed.add(int(edges[border]) if alone else _split(logs, int(begin), int(end)))
    return sorted(placed)


def _clipped(logs: Floats) -> Floats:
    """The values, those far from their five neighbours' median moved to it."""
    padded = np.pad(logs, 2, mode="reflect")
    around: Floats = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    away = logs - around
    far = np.abs(away) > 3 * max(_noise(logs), 1e-9)
    return np.where(far, around, logs)


def _noise(values: Floats) -> float:
    """Standard deviation of the values around their level, from neighbours' differences."""
    steps = np.abs(np.diff(values))
    # A median of zero means that most neighbours are equal, not that none differ.
    middle = float(np.median(steps)) or float(steps.mean()) / 2
    return max(middle * _MAD_TO_SIGMA / 2**0.5, 1e-6)


def _partition(values: Floats, weights: Floats, price: float) -> list[int]:
    """Borders of the cheapest cut into pieces of at least `MIN_PIECE` values."""
    count = len(values)
    weight, first, second = (
        np.concatenate(([0.0], np.cumsum(part)))
        for part in (weights, weights * values, weights * values**2)
    )
    best = np.full(count + 1, np.inf)
    best[0] = -price
    before = np.zeros(count + 1, np.int64)
    for end in range(MIN_PIECE, count + 1):
        begin = np.arange(end - MIN_PIECE + 1)
        mean_part = (first[end] - first[begin]) ** 2 / (weight[end] - weight[begin])
        cost = best[begin] + second[end] - second[begin] - mean_part + price
        before[end] = int(np.argmin(cost))
        best[end] = cost[before[end]]
    if not np.isfinite(best[count]):
        return [0, count]
    borders = [count]
    while borders[-1]:
        borders.append(int(before[borders[-1]]))
    return borders[::-1]


def _split(logs: Floats, begin: int, end: int) -> int:
    """Where between `begin` and `end` one level gives way to another, by least squares."""
    part = np.clip(logs[begin:end], *np.quantile(logs[begin:end], (0.05, 0.95)))
    left = np.arange(1, len(part))
    sums = np.cumsum(part)
    gain = sums[:-1] ** 2 / left + (sums[-1] - sums[:-1]) ** 2 / (len(part) - left)
    return begin + 1 + int(np.argmax(gain))


def _drift(bounds: list[int], level: Floats) -> float:
    """Change over the whole recording where it went in small steps one way; else 0."""
    steps, lengths = np.diff(level), np.diff(bounds)
    one_way = len(steps) > 1 and (bool((steps > 0).all()) or bool((steps < 0).all()))
    if not one_way or lengths.max() > bounds[-1] / 2:
        return 0.0
    # One step that makes up most of it is a change, with noise before or after.
    if np.abs(steps).max() > _MOST_OF_DRIFT * abs(level[-1] - level[0]):
        return 0.0
    share = float(np.exp(level[-1] - level[0]) - 1)
    return share if abs(share) >= MIN_STEP_SHARE else 0.0


def _first_steady(bounds: list[int], level: Floats) -> int:
    """The first piece no slower than most of what follows; 0 when many runs come before it."""
    lengths, count = np.diff(bounds), bounds[-1]
    limit = min(count // 2, max(MIN_PIECE, int(count * MAX_WARMUP_SHARE)))
    for piece in range(len(level)):
        if bounds[piece] > limit:
            return 0
        longest = level[piece + int(np.argmax(lengths[piece:]))]
        if level[piece] <= longest + np.log1p(MIN_STEP_SHARE):
            return piece
    return 0


def _warmup_end(logs: Floats, bounds: list[int], level: Floats, piece: int) -> int:
    """The first run of steady state, when that begins with or in this piece."""
    begin, end = bounds[piece], bounds[piece + 1]
    least = float(np.log1p(MIN_STEP_SHARE))
    limit = level[piece] + max(FAR_DEVIATIONS * _deviation(logs[begin:end]), least)
    # Single slow first runs make no piece. Half of it, or its median would be theirs.
    slow = logs[begin : begin + (end - begin) // 2] > limit
    if slow[:1].any():
        return min(begin + _leading(slow), len(logs) // 2)
    # A piece has a least length: the last runs of the one before may be steady already.
    late = np.flatnonzero(logs[:begin] > level[piece] + least)
    return int(late[-1]) + 1 if len(late) else 0


def _deviation(values: Floats) -> float:
    return float(np.median(np.abs(values - np.median(values)))) * _MAD_TO_SIGMA


def _changes(bounds: list[int], level: Floats, piece: int) -> list[int]:
    """Borders after this piece where the level changed by as much as matters."""
    kept: list[int] = []
    lengths = np.diff(bounds)
    here, weight = level[piece], lengths[piece]
    for i in range(piece + 1, len(level)):
        if abs(level[i] - here) >= np.log1p(MIN_STEP_SHARE):
            kept.append(bounds[i])
            here, weight = level[i], lengths[i]
        else:
            here = (here * weight + level[i] * lengths[i]) / (weight + lengths[i])
            weight += lengths[i]
    return kept


def _outliers(logs: Floats, bounds: list[int]) -> Flags:
    """Runs from the first border on that lie far above the median of their piece."""
    far = np.zeros(len(logs), bool)
    for begin, end in itertools.pairwise(bounds):
        part = logs[begin:end]
        if len(part) >= MIN_FOR_OUTLIERS:
            least = float(np.log1p(OUTLIER_MIN_SHARE))
            far[begin:end] = part > np.median(part) + max(FAR_DEVIATIONS * _deviation(part), least)
    return far
