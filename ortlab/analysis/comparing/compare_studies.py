"""Two studies held against each other by what they measured without the profiler."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from ortlab.analysis.comparing.compare_verdicts import Spread, judge
from ortlab.domain import units
from ortlab.domain.compare import (
    ConfigurationChange,
    LoneConfiguration,
    RunChange,
    StudyChange,
)
from ortlab.domain.study import ConfigurationResult, Notice, Study

# The verdict border of a study itself: smaller is nothing anybody would act on.
_SMALLEST_SHARE = 0.01
_Match = Literal["configuration", "label"]


def study_change(base: Study, other: Study) -> StudyChange:
    """Every configuration of one study beside its like in the other.

    Rows are the same by the id of their configuration, which leaves the machine out, then by
    their label. Ratios are of measured latency, base ÷ other.
    """
    found = list(_paired(base.configurations, other.configurations))
    floor = study_floor(base, other)
    taken = ({a.id for a, _, _ in found}, {b.id for _, b, _ in found})
    return StudyChange(
        rows=tuple(_row(a, b, by, floor=floor) for a, b, by in found),
        removed=tuple(_lone(row) for row in base.configurations if row.id not in taken[0]),
        added=tuple(_lone(row) for row in other.configurations if row.id not in taken[1]),
    )


def latency_change(
    base: ConfigurationResult, other: ConfigurationResult, floor: float
) -> RunChange:
    """The measured latency of one row against that of another."""
    spreads = [_spread(row) for row in (base, other)]
    judged = judge(*spreads, floor=floor, half_step_us=0.0)
    return RunChange(
        basis="measured latency",
        base_us=spreads[0].p50_us,
        other_us=spreads[1].p50_us,
        **judged._asdict(),
    )


def study_floor(base: Study, other: Study) -> float:
    """The part by which a study's A/A control strayed, in the worse of the two."""
    reach = [abs(math.log(b)) for s in (base, other) if s.aa for b in s.aa.ci95 if b > 0]
    return max(_SMALLEST_SHARE, *(math.expm1(log) for log in reach)) if reach else _SMALLEST_SHARE


def study_doubts(base: Study, other: Study) -> Iterator[Notice]:
    """What else is not the same in two studies."""
    if base.id == other.id:
        yield Notice("same_study", f"Both are study '{base.id}', so nothing can differ.")
        return
    for study in (base, other):
        if study.status != "done":
            yield Notice(
                "unfinished_study", f"Study '{study.id}' is {study.status}: it may lack rows."
            )
    if base.feeds != other.feeds:
        yield Notice("different_inputs", "Their inputs were not filled in the same way.")
    if base.ortlab_version != other.ortlab_version:
        yield Notice(
            "different_ortlab",
            f"They were measured by ortlab {base.ortlab_version} and {other.ortlab_version}.",
        )
    yield Notice(
        "studies_not_interleaved",
        "Two studies are measured at two times: differences below "
        f"{units.share(study_floor(base, other))}, which is what their own A/A controls allow, "
        "count as none. To be sure, measure both settings in one study.",
    )


def _paired(
    base: Sequence[ConfigurationResult], other: Sequence[ConfigurationResult]
) -> Iterator[tuple[ConfigurationResult, ConfigurationResult, _Match]]:
    free = {row.id: row for row in other}
    left = []
    for row in base:
        if row.id in free:
            yield row, free.pop(row.id), "configuration"
        else:
            left.append(row)
    for row in left:
        same = [r for r in free.values() if r.label == row.label]
        if len(same) == 1:
            yield row, free.pop(same[0].id), "label"


def _row(
    base: ConfigurationResult, other: ConfigurationResult, by: _Match, *, floor: float
) -> ConfigurationChange:
    change = latency_change(base, other, floor)
    return ConfigurationChange(
        id=base.id,
        other_id=other.id,
        label=base.label,
        match=by,
        base_p50_us=change.base_us,
        other_p50_us=change.other_us,
        ratio=change.ratio,
        ci95=change.ci95,
        verdict=change.verdict,
    )


def _lone(row: ConfigurationResult) -> LoneConfiguration:
    return LoneConfiguration(id=row.id, label=row.label, p50_us=_spread(row).p50_us)


def _spread(row: ConfigurationResult) -> Spread:
    if row.latency is None:
        return Spread(None)
    return Spread(row.latency.p50_us, row.latency.ci95_us, row.latency.count)


def profiled_pair(
    base: Study, other: Study
) -> tuple[ConfigurationResult, ConfigurationResult] | None:
    """The rows of two studies whose profiles tell most: best with best, baseline with baseline.

    Where neither is recorded on both sides: the first configuration that both recorded.
    """
    picks: tuple[Callable[[Study], str | None], ...] = (lambda s: s.best, lambda s: s.baseline)
    for pick in picks:
        rows = _recorded(base, pick(base)), _recorded(other, pick(other))
        if rows[0] is not None and rows[1] is not None:
            return rows[0], rows[1]
    for a, b, _ in _paired(base.configurations, other.configurations):
        if a.trace_artifact and b.trace_artifact:
            return a, b
    return None


def _recorded(study: Study, row_id: str | None) -> ConfigurationResult | None:
    rows = (r for r in study.configurations if r.id == row_id and r.trace_artifact)
    return next(rows, None)
