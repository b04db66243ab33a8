"""What two recordings allow to be said about one figure: ratio, interval, verdict.

Two recordings are not interleaved: clock, load and memory layout may have moved between them.
So a difference counts only beyond a floor, which is at least what two recordings of the same
model were seen to differ by, and more where the runs of a recording differ among themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ortlab.analysis.reading.quantiles import groups
from ortlab.domain.study import Verdict
from ortlab.domain.trace import NodeRow

# Two sessions of the same model differ by up to 6 % in small and 1.5 % in larger models, at
# equal load; see docs/traces.md.
RECORDING_FLOOR_SHARE = 0.05
# What a loaded machine did to the medians of equal settings that were not measured in turns.
_MACHINE_SHIFT_SHARE = 0.25
# Start and end of an event are cut to whole µs.
CLOCK_HALF_STEP_US = 0.5
# The profiler takes some 7.5 µs per node, and not always the same: that much comes and goes.
SMALLEST_DELTA_US = 2.0
# Halves of at least four runs: fewer have no median to speak of.
_MIN_RUNS_FOR_DRIFT = 8
# Of so many orders of two groups only two keep them apart, so chance does it in 5 % at most.
_MIN_ORDERS = 40
# Of a shorter time the clock tells nothing, so no ratio either.
_TINY_US = 0.25
# Of shorter nodes the clock's whole µs are a larger part than what is looked for.
_CLOCK_FINE_US = 10.0


class Spread(NamedTuple):
    """A median over runs with its 95 % interval, and the ends of what was observed."""

    p50_us: float | None
    ci95_us: tuple[float, float] | None = None
    runs: int = 0
    min_us: float | None = None
    max_us: float | None = None


class Judged(NamedTuple):
    """Base ÷ other: above 1 the other is faster. `ci95` is None where too few runs tell it."""

    ratio: float | None
    ci95: tuple[float, float] | None
    verdict: Verdict


UNKNOWN = Judged(None, None, "cannot tell")


def spread(durations: Sequence[int]) -> Spread:
    """Median of run durations with its interval from order statistics."""
    if not durations:
        return Spread(None)
    values = groups(np.zeros(len(durations), np.int64), np.asarray(durations, np.int64), 1)
    low, high = (float(bound[0]) for bound in values.median_interval())
    return Spread(
        p50_us=float(values.quantile(0.5)[0]),
        ci95_us=None if math.isnan(low) else (low, high),
        runs=len(durations),
        min_us=float(values.smallest()[0]),
        max_us=float(values.largest()[0]),
    )


def floor_share(base: Sequence[int], other: Sequence[int]) -> float:
    """The part below which a difference between the runs of two recordings is none.

    Args:
        base: run durations of one recording, in order.
        other: those of the other.
    """
    scatter = _middle_half_share(base) + _middle_half_share(other)
    return max(RECORDING_FLOOR_SHARE, scatter, drift_share(base), drift_share(other))


def node_floor_share(base: Sequence[NodeRow], other: Sequence[NodeRow]) -> float:
    """The part below which a difference between the nodes of two recordings is none.

    It is how far the runs of a typical node reach in both. A run has many nodes, so some are
    always disturbed in it; that says little of each of them.
    """
    return max(RECORDING_FLOOR_SHARE, _typical_share(base) + _typical_share(other))


def drift_share(durations: Sequence[int]) -> float:
    """How far the first and second half of the same recording differ: its A/A control."""
    half = len(durations) // 2
    if len(durations) < _MIN_RUNS_FOR_DRIFT:
        return 0.0
    first, second = np.median(durations[:half]), np.median(durations[half:])
    if min(first, second) <= 0:
        return 0.0
    return float(max(first, second) / min(first, second) - 1)


def judge(
    base: Spread,
    other: Spread,
    *,
    floor: float,
    shift: float | None = None,
    half_step_us: float = CLOCK_HALF_STEP_US,
) -> Judged:
    """The ratio of two medians, and what it proves.

    Args:
        base: what the ratio starts from.
        other: what it is divided by.
        floor: differences below this part are those of two recordings of the same.
        shift: ratio that all nodes have in common. Where the machine alone may be its cause,
            a verdict must hold without it too.
        half_step_us: how far the clock's steps may move each figure.
    """
    if base.p50_us is None or other.p50_us is None or min(base.p50_us, other.p50_us) < _TINY_US:
        return UNKNOWN
    ratio = base.p50_us / other.p50_us
    log_floor = math.log1p(floor)
    if base.ci95_us is None or other.ci95_us is None:
        found, ci95 = _by_separation(base, other), None
    else:
        low, high = _interval(base, other, half_step_us)
        ci95 = (math.exp(low), math.exp(high))
        if max(-low, high) <= math.log1p(RECORDING_FLOOR_SHARE):
            return Judged(ratio, ci95, "same")
        found = "faster" if low > 0 else "slower" if high < 0 else "cannot tell"
    far = min(_beyond(ratio, found), _beyond(ratio / _drifted(shift), found))
    told = far > log_floor and abs(base.p50_us - other.p50_us) > SMALLEST_DELTA_US
    return Judged(ratio, ci95, found if told else "cannot tell")


def _interval(base: Spread, other: Spread, half_step_us: float) -> tuple[float, float]:
    """95 % interval of the log ratio from the intervals of both medians.

    Source: Zou and Donner (2008), recovery of variance estimates for a difference.
    """
    below_base, above_base = _reach(base, half_step_us)
    below_other, above_other = _reach(other, half_step_us)
    centre = math.log((base.p50_us or 1.0) / (other.p50_us or 1.0))
    return (
        centre - math.hypot(below_base, above_other),
        centre + math.hypot(above_base, below_other),
    )


def _reach(of: Spread, half_step_us: float) -> tuple[float, float]:
    """How far the interval reaches below and above the median, on a log scale."""
    middle = of.p50_us or 1.0
    low, high = of.ci95_us or (middle, middle)
    low = max(min(low, middle) - half_step_us, min(_TINY_US, middle))
    return math.log(middle / low), math.log((max(high, middle) + half_step_us) / middle)


def _by_separation(base: Spread, other: Spread) -> Verdict:
    """For few runs: a verdict only where all of one lie beyond all of the other.

    Source: Wilcoxon's rank sum, exact.
    """
    ends = (base.min_us, base.max_us, other.min_us, other.max_us)
    if None in ends or math.comb(base.runs + other.runs, base.runs) < _MIN_ORDERS:
        return "cannot tell"
    base_min, base_max, other_min, other_max = (end or 0.0 for end in ends)
    if base_min > other_max:
        return "faster"
    return "slower" if base_max < other_min else "cannot tell"


def _beyond(ratio: float, verdict: Verdict) -> float:
    """How far a ratio lies on the side of a verdict, on a log scale."""
    return math.log(ratio) if verdict == "faster" else -math.log(ratio)


def _drifted(shift: float | None) -> float:
    """The common shift where a machine alone may have made it, else 1."""
    if shift is None or abs(math.log(shift)) > math.log1p(_MACHINE_SHIFT_SHARE):
        return 1.0
    return shift


def _typical_share(rows: Sequence[NodeRow]) -> float:
    """Middle half of the runs as a part of the median: of the node amid all node time."""
    known = sorted(
        ((row.p75_us - row.p25_us) / row.p50_us, row.self_us)
        for row in rows
        if row.p25_us is not None and row.p75_us is not None and row.p50_us >= _CLOCK_FINE_US
    )
    half = sum(us for _, us in known) / 2
    passed = 0
    for share, us in known:
        passed += us
        if passed >= half:
            return share
    return 0.0


def _middle_half_share(durations: Sequence[int]) -> float:
    """How far the middle half of the runs reaches, as a part of their median."""
    if not durations:
        return 0.0
    low, middle, high = np.percentile(np.asarray(durations), (25, 50, 75))
    return float((high - low) / middle) if middle > 0 else 0.0
