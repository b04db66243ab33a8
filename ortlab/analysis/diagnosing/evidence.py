"""What a check looks at: one row of a study, with its neighbours, profile and placement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from ortlab.domain import units
from ortlab.domain.configuration import CPU, Configuration
from ortlab.domain.machine import MachineReport
from ortlab.domain.model import ModelInfo
from ortlab.domain.placement import Placement
from ortlab.domain.study import ConfigurationResult, Latency, Study
from ortlab.domain.trace import OperatorRow, Profile


class Symptom(Struct, frozen=True, kw_only=True):
    """A check that fired: its numbers in a sentence, the fix to try, the gain to expect."""

    evidence: str
    proposal: Configuration | None = None
    gain: float = 0.0
    """Part of the latency that the fix may save, 0–1; only to sort by."""


class Evidence(Struct, frozen=True, kw_only=True):
    """One row, and everything it can be judged by."""

    study: Study
    row: ConfigurationResult
    machine: MachineReport
    model: ModelInfo
    profile: Profile | None = None
    placement: Placement | None = None

    @property
    def configuration(self) -> Configuration:
        """How the row was opened and run."""
        return self.row.configuration

    @property
    def usable_cores(self) -> int:
        """Cores this process may really use."""
        return self.machine.machine.cpu.usable_cores

    @property
    def on_cpu_only(self) -> bool:
        """True when nothing but the CPU provider was asked for."""
        return self.configuration.provider_names == (CPU,)


class Pair(Struct, frozen=True, kw_only=True):
    """Two measured rows that differ in one thing; `ratio` is other ÷ row: above 1, row wins."""

    other: ConfigurationResult
    ratio: float
    ci95: tuple[float, float]


Check = Callable[[Evidence], Symptom | None]
StudyCheck = Callable[[Study], Symptom | None]


def measured(study: Study) -> list[ConfigurationResult]:
    """The rows that have figures."""
    return [row for row in study.configurations if row.latency is not None]


def latency(row: ConfigurationResult) -> Latency:
    """The row's latency; ask only rows that have one."""
    if row.latency is None:
        raise ValueError(f"configuration {row.id} has no figures")
    return row.latency


def twins(evidence: Evidence, *fields: str) -> list[Pair]:
    """The measured rows that equal this one in all but `fields`, each compared with it."""
    if evidence.row.latency is None:
        return []
    own = _without(evidence.configuration, fields)
    others = [
        row
        for row in measured(evidence.study)
        if row.id != evidence.row.id and _without(row.configuration, fields) == own
    ]
    return [pair for pair in (_pair(evidence, row) for row in others) if pair is not None]


def was_asked(evidence: Evidence, configuration: Configuration) -> bool:
    """True when this study already holds that configuration."""
    return any(row.configuration == configuration for row in evidence.study.configurations)


def changed(configuration: Configuration, **changes: object) -> Configuration:
    """The configuration with some fields replaced."""
    return msgspec.structs.replace(configuration, **changes)


def operators(profile: Profile | None, *op_types: str) -> list[OperatorRow]:
    """The rows of a profile's operators with one of these types."""
    return [row for row in (profile.operators if profile else ()) if row.op_type in op_types]


def share(rows: list[OperatorRow]) -> float:
    """Their part of all node time, 0–1; nothing where no share can be claimed."""
    return sum(row.share or 0.0 for row in rows)


def calls_per_run(profile: Profile, rows: list[OperatorRow]) -> int:
    """How often they run in one run; whole runs only."""
    return round(sum(row.calls for row in rows) / max(1, profile.counted_runs or len(profile.runs)))


def node_us_per_run(profile: Profile, total_us: float) -> float:
    """A total over all runs of a profile as µs per run."""
    return total_us / max(1, profile.counted_runs or len(profile.runs))


def _without(configuration: Configuration, fields: tuple[str, ...]) -> Configuration:
    defaults = Configuration()
    return changed(configuration, **{name: getattr(defaults, name) for name in fields})


def _pair(evidence: Evidence, other: ConfigurationResult) -> Pair | None:
    """The comparison of two rows from what each is against the baseline.

    The logarithms of both ratios are subtracted and their half-widths added in quadrature,
    as for independent figures. They share the baseline, so the true interval is narrower.
    """
    mine = _against_baseline(evidence.study, evidence.row)
    theirs = _against_baseline(evidence.study, other)
    if mine is None or theirs is None:
        return None
    center = mine[0] - theirs[0]
    half = math.hypot(mine[1], theirs[1])
    return Pair(
        other=other,
        ratio=math.exp(center),
        ci95=(math.exp(center - half), math.exp(center + half)),
    )


def _against_baseline(study: Study, row: ConfigurationResult) -> tuple[float, float] | None:
    """Logarithm of baseline ÷ row and the half-width of its interval."""
    if row.id == study.baseline:
        return 0.0, 0.0
    comparison = row.vs_baseline
    if comparison is None or comparison.ci95[0] <= 0:
        return None
    low, high = (math.log(value) for value in comparison.ci95)
    return math.log(comparison.ratio), (high - low) / 2


def clearly_faster(pairs: list[Pair], *, at_least: float) -> Iterator[Pair]:
    """The pairs whose other row beats this one by `at_least`, the whole interval below 1."""
    return (p for p in pairs if p.ci95[1] < 1 and 1 / p.ratio >= at_least)


def compared(pair: Pair) -> str:
    """The other row's median, and how fast it is against this row, in a sentence."""
    other = f"'{pair.other.label}' has a median of {units.time(latency(pair.other).p50_us)}"
    low, high = 1 / pair.ci95[1], 1 / pair.ci95[0]
    speed = units.speedup(1 / pair.ratio)
    return f"{other}, {speed} as fast (95 % interval {low:.2f} to {high:.2f})."


def use_other(pair: Pair) -> Symptom:
    """The other row, which was measured to be better, as the thing to do."""
    return Symptom(
        evidence=compared(pair), proposal=pair.other.configuration, gain=max(0.0, 1 - pair.ratio)
    )
