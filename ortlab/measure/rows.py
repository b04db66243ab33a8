"""From what was seen to what is said: one result per configuration."""

from __future__ import annotations

import statistics

import numpy as np

from ortlab.catalog import providers as provider_rows
from ortlab.domain.accuracy import Accuracy
from ortlab.domain.configuration import CPU, Configuration
from ortlab.domain.study import (
    AAControl,
    Comparison,
    ConfigurationResult,
    Failure,
    Notice,
    label,
)
from ortlab.errors import OrtlabError
from ortlab.measure.prepare import Prepared
from ortlab.measure.rounds import Opened
from ortlab.measure.samples import AA_TWIN, Session
from ortlab.measure.verdict import compare, latency
from ortlab.sandbox.outcome import ChildFailedError

# Below this, call overhead is more than a tenth of the run: `session.run` costs 4 to 8 µs.
SHORT_RUN_US = 50.0
# An interval of the median wider than this says little.
WIDE_INTERVAL = 0.05
# First against last third of the sessions.
DRIFT = 0.05
FEW_SESSIONS = 4


def label_of(configuration: Configuration, among: tuple[Configuration, ...] = ()) -> str:
    """The row's name, with the providers' short labels and what tells it from `among`."""
    names = {row.name: row.label for row in provider_rows.PROVIDERS}
    shown = " → ".join(names.get(n, n) for n in configuration.provider_names)
    return label(configuration, provider_label=shown, among=among)


def empty_row(
    configuration: Configuration, among: tuple[Configuration, ...] = ()
) -> ConfigurationResult:
    """A row that has only been asked for."""
    return ConfigurationResult(
        id=configuration.id,
        label=label_of(configuration, among),
        configuration=configuration,
        provider_requested=configuration.provider_names,
        level=configuration.level,
        variant=configuration.variant,
        runtime=configuration.runtime,
        threads=configuration.threads,
        dims=configuration.dims,
    )


def failed_row(
    configuration: Configuration, error: OrtlabError, among: tuple[Configuration, ...] = ()
) -> ConfigurationResult:
    """A row whose figures are an error."""
    return _replace(empty_row(configuration, among), error=failure(error))


def failure(error: OrtlabError) -> Failure:
    """The error as a record."""
    child = error if isinstance(error, ChildFailedError) else error.__cause__
    known = isinstance(child, ChildFailedError)
    return Failure(
        kind=error.kind,
        message=error.message,
        hint=error.hint,
        phase=child.phase if known else None,  # type: ignore[union-attr]
        log=child.log if known else "",  # type: ignore[union-attr]
    )


def measured_row(
    configuration: Configuration,
    *,
    among: tuple[Configuration, ...],
    mine: list[Session],
    opened: list[Opened],
    prepared: Prepared,
    comparison: Comparison | None,
    accuracy: Accuracy | None,
    model_bytes: int | None,
) -> ConfigurationResult:
    """A row with figures, from its sessions (at least one) and what opening them told."""
    rehearsal = prepared.rehearsals[configuration.id]
    figures = latency(mine)
    batch = _batch(configuration)
    return _replace(
        empty_row(configuration, among),
        providers_active=rehearsal.active,
        dims=prepared.dims.get(configuration.id, configuration.dims),
        latency=figures,
        throughput_per_s=batch * 1e6 / figures.p50_us,
        session_init_us=_median(
            [rehearsal.session_init_us] + [o.session_init_us for o in opened if o.first_in_process]
        ),
        first_run_us=_median(
            [rehearsal.first_run_us] + [o.first_run_us for o in opened if o.first_in_process]
        ),
        warmup_runs=round(_median([o.warmup_runs for o in opened])),
        warmup_us=_median([o.warmup_us for o in opened]),
        peak_memory_bytes=rehearsal.peak_memory_bytes,
        model_bytes=model_bytes,
        vs_baseline=comparison,
        accuracy=accuracy,
        steady=_steady(opened),
        warnings=tuple(_notices(mine, opened, prepared, configuration)),
        session_count=len(mine),
        process_count=len({s.process for s in mine}),
    )


def control(found: dict[str, list[Session]], baseline: Configuration) -> AAControl | None:
    """The baseline against its twin; `found` are the sessions by member."""
    compared = compare(
        found.get(baseline.id, []),
        found.get(AA_TWIN, []),
        cpu_time_allowed=cpu_time_allowed(baseline),
    )
    return None if compared is None else AAControl(ratio=compared.ratio, ci95=compared.ci95)


def study_notices(
    asked: Configuration,
    baseline: Configuration,
    failures: dict[str, OrtlabError],
    among: tuple[Configuration, ...],
) -> list[Notice]:
    """What happened to the comparisons as a whole.

    Args:
        asked: the baseline that was asked for.
        baseline: the one that was taken.
        failures: of members that failed while they were measured.
        among: all configurations of the study.
    """
    found = []
    if asked.id != baseline.id:
        found.append(
            Notice(
                "baseline-replaced",
                f"The baseline {label_of(asked, among)} could not run; everything is compared "
                f"with {label_of(baseline, among)} instead.",
            )
        )
    if baseline.id in failures:
        found.append(
            Notice(
                "baseline-failed",
                "The baseline failed while it was measured; ratios rest on the sessions before: "
                f"{failures[baseline.id].message}",
            )
        )
    if AA_TWIN in failures:
        found.append(
            Notice(
                "control-failed",
                "The A/A control, the baseline measured a second time, failed, and the baseline "
                f"may fail as easily: {failures[AA_TWIN].message}",
            )
        )
    return found


def cpu_time_allowed(*configurations: Configuration) -> bool:
    """Whether CPU time per run is the same quantity as latency for all of these."""
    return all(
        c.threads == 1 and c.execution_mode == "sequential" and c.provider_names == (CPU,)
        for c in configurations
    )


def _notices(
    mine: list[Session], opened: list[Opened], prepared: Prepared, configuration: Configuration
) -> list[Notice]:
    found: list[Notice] = []
    figures = latency(mine)
    low, high = figures.ci95_us
    if figures.p50_us < SHORT_RUN_US:
        found.append(
            Notice(
                "short-run",
                f"The median run takes {figures.p50_us:.1f} µs, close to the cost "
                "of a call from Python (4 to 8 µs).",
            )
        )
    if high / low - 1 > 2 * WIDE_INTERVAL:
        found.append(
            Notice("wide-interval", f"The median is only known to ±{(high / low - 1) * 50:.0f} %.")
        )
    if not _steady(opened):
        found.append(Notice("not-steady", "Warm-up ended at its limit, before runs were steady."))
    drift = _drift(mine)
    if drift is not None and abs(drift) > DRIFT:
        found.append(
            Notice(
                "drifting",
                f"Later sessions ran {abs(drift):.0%} "
                f"{'slower' if drift > 0 else 'faster'} than earlier ones.",
            )
        )
    if len(mine) < FEW_SESSIONS:
        found.append(Notice("few-sessions", f"Only {len(mine)} sessions could be measured."))
    rehearsal = prepared.rehearsals[configuration.id]
    if rehearsal.nan_count or rehearsal.inf_count:
        found.append(
            Notice(
                "not-finite",
                f"The outputs hold {rehearsal.nan_count:,} NaN and "
                f"{rehearsal.inf_count:,} infinite values.",
            )
        )
    return found


def _steady(opened: list[Opened]) -> bool:
    firsts = [o for o in opened if o.first_in_process]
    return bool(firsts) and sum(o.steady for o in firsts) * 2 > len(firsts)


def _drift(mine: list[Session]) -> float | None:
    """Change of the median session from the first to the last third, as a fraction."""
    third = len(mine) // 3
    if third < 2:
        return None
    medians = [max(1.0, float(np.median(s.latency_ns))) for s in mine]
    return statistics.median(medians[-third:]) / statistics.median(medians[:third]) - 1


def _batch(configuration: Configuration) -> int:
    """Inferences per run: the size of a batch dimension, where one is named so."""
    names = ("batch", "batch_size", "n")
    return next((v for k, v in configuration.dims.items() if k.lower() in names), 1)


def _median(values: list[float]) -> float:
    return float(statistics.median(values))


def _replace(row: ConfigurationResult, **changes: object) -> ConfigurationResult:
    import msgspec

    return msgspec.structs.replace(row, **changes)
