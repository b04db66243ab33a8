"""Two rows of one study against each other: the ratio, and where the difference comes from."""

from __future__ import annotations

from collections import defaultdict

from msgspec import Struct

from ortlab.domain.study import Comparison, ConfigurationResult, Study, Verdict
from ortlab.domain.trace import Profile

# The same border as in the measurement's own verdicts.
SMALLEST_DIFFERENCE = 0.01


class OperatorChange(Struct, frozen=True, kw_only=True):
    """One operator in both profiles, µs of self time per run; None where it does not occur."""

    op_type: str
    before_us: float | None
    after_us: float | None

    @property
    def change_us(self) -> float:
        """After minus before: below zero is time saved."""
        return (self.after_us or 0.0) - (self.before_us or 0.0)


def compared(
    study: Study, *, before: ConfigurationResult, after: ConfigurationResult
) -> Comparison | None:
    """Latency of `before` ÷ `after`, from what the study proved about both; None without it.

    Where neither is the baseline the two intervals are taken at their worst: every ratio
    that both allow together is inside, so the result is wider than a direct measurement.
    """
    first, second = _against_baseline(study, before), _against_baseline(study, after)
    if first is None or second is None:
        return None
    low, high = second.ci95[0] / first.ci95[1], second.ci95[1] / first.ci95[0]
    return Comparison(
        ratio=second.ratio / first.ratio,
        ci95=(low, high),
        verdict=_verdict(low, high),
        basis="cpu" if "cpu" in (first.basis, second.basis) else "wall",
        pair_count=min(first.pair_count, second.pair_count) or max(
            first.pair_count, second.pair_count),
    )  # fmt: skip


def operator_changes(before: Profile, after: Profile) -> list[OperatorChange]:
    """Self time per run by operator in both, the largest change first."""
    old, new = _per_run(before), _per_run(after)
    rows = [
        OperatorChange(op_type=op, before_us=old.get(op), after_us=new.get(op))
        for op in {**old, **new}
    ]
    return sorted(rows, key=lambda row: -abs(row.change_us))


def _against_baseline(study: Study, row: ConfigurationResult) -> Comparison | None:
    if row.id == study.baseline and row.latency is not None:
        return Comparison(ratio=1.0, ci95=(1.0, 1.0), verdict="same")
    return row.vs_baseline


def _verdict(low: float, high: float) -> Verdict:
    if low >= 1 / (1 + SMALLEST_DIFFERENCE) and high <= 1 + SMALLEST_DIFFERENCE:
        return "same"
    if low > 1:
        return "faster"
    return "slower" if high < 1 else "cannot tell"


def _per_run(profile: Profile) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for row in profile.operators:
        totals[row.op_type] += row.self_us / max(1, profile.counted_runs or len(profile.runs))
    return dict(totals)
