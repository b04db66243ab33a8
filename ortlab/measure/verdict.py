"""What a set of observed sessions proves: latency with its interval, ratio with its verdict.

Three spreads are kept apart. Runs differ within a session; sessions of the same setting
differ from each other by more than their runs explain; processes add their own. An interval
that holds only the first is far too narrow, so intervals here are taken over sessions and
over processes, and the wider one is given.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ortlab.domain.study import Comparison, Latency, Verdict
from ortlab.measure.samples import Session

# A difference below this is nothing anybody would act on.
SMALLEST_DIFFERENCE = 0.01
# Trimmed from each end before averaging session ratios (Yuen's trimmed mean).
TRIM = 0.2
# Low quantiles resist neighbours far better than the median does; see docs/method.md.
COMPARED_QUANTILE = 0.25
# Below this much CPU time per wall time of a one-thread run, somebody else was on the core.
CROWDED_CPU_SHARE = 0.9
# A quantile needs so many samples beyond it to be more than a lucky maximum.
TAIL_SAMPLES = 10
P99_MIN_COUNT = 1000

Floats = NDArray[np.float64]

# Two-sided 95 % quantiles of Student's t by degrees of freedom; 1.96 from 200 on.
_T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306,
        9: 2.262, 10: 2.228, 11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120,
        18: 2.101, 20: 2.086, 25: 2.060, 30: 2.042, 40: 2.021, 60: 2.000, 100: 1.984,
        200: 1.972}  # fmt: skip


def t95(degrees: int) -> float:
    """Student's two-sided 95 % quantile, rounded towards the wider interval."""
    if degrees < 1:
        return math.inf
    return _T95[max(d for d in _T95 if d <= degrees)]


def latency(sessions: list[Session]) -> Latency:
    """Observed latencies of one configuration, µs; percentiles are observed values.

    Args:
        sessions: at least one, with at least one latency each.
    """
    # A coarse clock can call a short run 0 ns.
    pooled = np.maximum(np.sort(np.concatenate([s.latency_ns for s in sessions])), 1) / 1e3
    p50 = observed(pooled, 0.5)
    medians = np.array([max(1.0, float(np.median(s.latency_ns))) / 1e3 for s in sessions])
    half = _half_width(np.log(medians), [s.process for s in sessions])
    half = half if math.isfinite(half) else _within_half_width(pooled, p50)
    enough = len(pooled) >= P99_MIN_COUNT
    return Latency(
        count=len(pooled),
        min_us=float(pooled[0]),
        mean_us=float(pooled.mean()),
        p50_us=p50,
        p90_us=observed(pooled, 0.9),
        p95_us=observed(pooled, 0.95),
        p99_us=observed(pooled, 0.99) if enough else None,
        max_us=float(pooled[-1]),
        ci95_us=(p50 * math.exp(-half), p50 * math.exp(half)),
        p25_us=observed(pooled, COMPARED_QUANTILE),
        p99_reason=None if enough else _p99_reason(len(pooled)),
        cpu_us=float(np.median([s.cpu_per_run_ns for s in sessions])) / 1e3,
    )


def _p99_reason(count: int) -> str:
    return (
        f"p99 needs {P99_MIN_COUNT:,} runs to have {TAIL_SAMPLES} beyond it; "
        f"there are {count:,}. Measure longer."
    )


def observed(ordered: Floats, quantile: float) -> float:
    """The smallest observed value that at least this part of the values does not exceed."""
    return float(ordered[max(0, math.ceil(quantile * len(ordered)) - 1)])


def compare(
    baseline: list[Session], candidate: list[Session], *, cpu_time_allowed: bool, floor: float = 0.0
) -> Comparison | None:
    """Baseline ÷ candidate with its 95 % interval and verdict; None without common sessions.

    Args:
        baseline: sessions of the baseline.
        candidate: sessions of the other; the k-th of each were opened and measured together.
        cpu_time_allowed: both run on one CPU thread, so that CPU time is the same quantity.
        floor: |log ratio| of the A/A control; no verdict rests on a smaller difference.
    """
    by_number = {s.session: s for s in baseline}
    pairs = [(by_number[s.session], s) for s in candidate if s.session in by_number]
    if not pairs:
        return None
    crowded = cpu_time_allowed and _crowded(pairs)
    logs = np.array([_figure(a, crowded) - _figure(b, crowded) for a, b in pairs])
    centre = trimmed_mean(logs)
    half = _half_width(logs, [b.process for _, b in pairs])
    low, high = centre - half, centre + half
    return Comparison(
        ratio=math.exp(centre),
        ci95=(math.exp(low), math.exp(min(high, 700.0))),
        verdict=verdict(low, high, floor=floor),
        basis="cpu" if crowded else "wall",
        pair_count=len(pairs),
    )


def verdict(low: float, high: float, *, floor: float = 0.0) -> Verdict:
    """What an interval of log ratios allows to be said.

    `same` needs the whole interval within one percent of 1, `faster` and `slower` need it
    wholly on one side and farther out than the A/A control strayed; the rest is `cannot tell`.
    """
    margin = math.log1p(SMALLEST_DIFFERENCE)
    if -margin <= low and high <= margin:
        return "same"
    centre = (low + high) / 2
    if abs(centre) <= floor:
        return "cannot tell"
    if low > 0:
        return "faster"
    if high < 0:
        return "slower"
    return "cannot tell"


def trimmed_mean(values: Floats) -> float:
    """Mean without the lowest and highest fifth."""
    cut = int(TRIM * len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _figure(session: Session, crowded: bool) -> float:
    """The log of the figure that sessions are compared by."""
    if crowded:
        return math.log(max(session.cpu_per_run_ns, 1.0))
    return math.log(max(observed(np.sort(session.latency_ns), COMPARED_QUANTILE), 1.0))


def _crowded(pairs: list[tuple[Session, Session]]) -> bool:
    both = [s for pair in pairs for s in pair]
    # A clock of CPU time that is too coarse for a turn (Windows) says nothing.
    if any(s.cpu_per_run_ns <= 0 for s in both):
        return False
    shares = [s.cpu_share for s in both]
    return float(np.median(shares)) < CROWDED_CPU_SHARE


def _half_width(logs: Floats, processes: list[int]) -> float:
    """Half of the 95 % interval of the mean of `logs`: over sessions or processes, the wider."""
    return max(_over_sessions(logs), _over_processes(logs, processes))


def _over_sessions(logs: Floats) -> float:
    """Yuen: trimmed mean, winsorized variance, t with the degrees left after trimming."""
    count = len(logs)
    cut = int(TRIM * count)
    left = count - 2 * cut
    if left < 2:
        return math.inf
    ordered = np.sort(logs)
    winsorized = np.clip(ordered, ordered[cut], ordered[count - cut - 1])
    error = math.sqrt(winsorized.var(ddof=1)) / ((1 - 2 * TRIM) * math.sqrt(count))
    # With fewer than five sessions nothing is trimmed, and nothing needs inflating.
    error = error if cut else float(ordered.std(ddof=1)) / math.sqrt(count)
    return t95(left - 1) * error


def _over_processes(logs: Floats, processes: list[int]) -> float:
    """T interval over the medians of each process, as if every process were one observation."""
    numbers = sorted(set(processes))
    if len(numbers) == len(processes):
        return 0.0
    groups = np.array(processes)
    medians = np.array([float(np.median(logs[groups == n])) for n in numbers])
    if len(medians) < 2:
        return math.inf
    return t95(len(medians) - 1) * float(medians.std(ddof=1)) / math.sqrt(len(medians))


def _within_half_width(ordered: Floats, p50: float) -> float:
    """Order-statistic interval of the median, for a single session; relative, as a log."""
    reach = 1.96 * math.sqrt(len(ordered)) / 2
    middle = len(ordered) / 2
    low = ordered[max(0, math.floor(middle - reach))]
    high = ordered[min(len(ordered) - 1, math.ceil(middle + reach))]
    return max(math.log(high / p50), math.log(p50 / low)) if low > 0 else math.inf
