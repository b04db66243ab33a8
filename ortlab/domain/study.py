"""A question (`StudySpec`) and its answer (`Study`): the record everything later hangs on."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ortlab.domain.accuracy import Accuracy
from ortlab.domain.configuration import Configuration

Verdict = Literal["faster", "slower", "same", "cannot tell"]
Status = Literal["queued", "running", "done", "failed", "cancelled", "lost"]


class StopRule(Struct, frozen=True, kw_only=True):
    """When to stop measuring: the first of the rules that are set.

    `seconds` bounds the time spent in turns, all configurations together; starting
    workers and opening sessions come on top. `runs` counts kept runs per configuration.
    `precision` is the half-width of every comparison's 95 % interval, as a fraction.
    """

    seconds: float | None = None
    runs: int | None = None
    precision: float | None = None
    warmup: int | None = None
    """Exactly this many warm-up runs instead of warm-up until steady."""


class StudySpec(Struct, frozen=True, kw_only=True):
    """One question, ready for the queue. `configurations[baseline]` is the baseline."""

    model_id: str
    model_name: str
    configurations: tuple[Configuration, ...]
    baseline: int = 0
    stop: StopRule = StopRule()
    seed: int = 0
    profile: bool = True
    input_npz: str | None = None
    """Artifact digest of the user's own feeds, or None to generate them."""
    title: str = ""
    run_timeout_s: float = 120.0
    open_timeout_s: float = 600.0
    memory_limit_bytes: int | None = None
    """Per worker; None takes the default (a share of what the container has)."""
    tried_finding: str | None = None
    """The diagnosis this study tests, when it was started by a *Try it* button."""
    notes: tuple[str, ...] = ()
    """How the question was made exact: what `auto` chose, what will have no effect."""
    assumed_dims: tuple[str, ...] = ()
    """Dimensions nobody gave: their sizes are the model's hints and may still be adjusted
    when ONNX Runtime refuses them."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why a configuration has no figures. `kind` is an outcome or an error kind."""

    kind: str
    message: str
    hint: str | None = None
    phase: str | None = None
    log: str = ""
    """The last 4 kB of what the process printed."""


class Notice(Struct, frozen=True):
    """A doubt about one row: a code for programs, a sentence for people."""

    code: str
    message: str


class Latency(Struct, frozen=True, kw_only=True):
    """Observed latencies, µs; percentiles are observed values.

    `ci95_us` is p50's 95 % interval.
    `p99_us` is None when there are too few samples for it (`p99_reason` says so).
    """

    count: int
    min_us: float
    mean_us: float
    p50_us: float
    p90_us: float
    p95_us: float
    p99_us: float | None
    max_us: float
    ci95_us: tuple[float, float]
    p25_us: float
    p99_reason: str | None = None
    cpu_us: float | None = None
    """Process CPU time per run, median over blocks."""


class Comparison(Struct, frozen=True, kw_only=True):
    """Baseline ÷ candidate: above 1 is faster.

    The interval holds round, session and process spread. `basis` is `wall`, or `cpu` when
    others were on the cores.
    """

    ratio: float
    ci95: tuple[float, float]
    verdict: Verdict
    basis: str = "wall"
    pair_count: int = 0


class AAControl(Struct, frozen=True, kw_only=True):
    """The baseline measured against itself as two configurations, like any other pair."""

    ratio: float
    ci95: tuple[float, float]


class Interference(Struct, frozen=True, kw_only=True):
    """What made the machine noisy while measuring; None where the system does not tell."""

    load_before: float | None = None
    load_after: float | None = None
    steal_share: float | None = None
    other_cpu_share: float | None = None
    """CPU time used by other processes, as a fraction of all usable cores."""
    throttled_us: int | None = None
    frequency_mhz_min: float | None = None
    frequency_mhz_max: float | None = None
    top_other: str | None = None
    """Name of the busiest other process, if one took more than 5 % of a core."""


class ConfigurationResult(Struct, frozen=True, kw_only=True):
    """One row of the answer: figures, or the error that stands in their place."""

    id: str
    label: str
    configuration: Configuration
    provider_requested: tuple[str, ...] = ()
    providers_active: tuple[str, ...] = ()
    level: str = ""
    variant: str = ""
    runtime: str = ""
    threads: int = 0
    dims: dict[str, int] = {}
    latency: Latency | None = None
    throughput_per_s: float | None = None
    session_init_us: float | None = None
    first_run_us: float | None = None
    warmup_runs: int | None = None
    warmup_us: float | None = None
    peak_memory_bytes: int | None = None
    model_bytes: int | None = None
    vs_baseline: Comparison | None = None
    accuracy: Accuracy | None = None
    steady: bool = False
    warnings: tuple[Notice, ...] = ()
    error: Failure | None = None
    session_count: int = 0
    process_count: int = 0
    trace_artifact: str | None = None
    """Digest of the ORT profile of this configuration, where one was recorded."""
    assignment: tuple[tuple[str, str, str], ...] | None = None
    """(provider, node name, op type) as ORT assigned them, where this ORT tells."""
    placement_log: str | None = None
    """ORT's own lines about placement, copies and refusals."""
    optimized_artifact: str | None = None


class Study(Struct, frozen=True, kw_only=True):
    """One question's answer, complete or as far as it has come."""

    id: str
    model_id: str
    model_name: str
    title: str
    status: Status
    started_at: str | None
    finished_at: str | None
    machine_id: str
    spec: StudySpec
    configurations: tuple[ConfigurationResult, ...]
    baseline: str
    best: str | None = None
    method: str = "interleaved"
    rounds: int = 0
    aa: AAControl | None = None
    interference: Interference | None = None
    measuring_s: float | None = None
    wall_s: float | None = None
    error: Failure | None = None
    samples_artifact: str | None = None
    ortlab_version: str = ""
    onnxruntime_version: str | None = None
    feeds: tuple[str, ...] = ()
    """How each input was filled, a sentence each."""
    notices: tuple[Notice, ...] = ()
    """What happened to the study as a whole, such as a runner that was killed."""


class Progress(Struct, frozen=True, kw_only=True):
    """Where a study stands; written by the runner, polled by pages."""

    study_id: str
    status: Status
    phase: str = ""
    message: str = ""
    done_share: float = 0.0
    seconds_left: float | None = None
    rows: tuple[tuple[str, str, float | None], ...] = ()
    """(configuration id, `waiting|opening|warming up|measuring|done|failed`, p50 µs so far)."""
    queue_position: int | None = None


class StudySummary(Struct, frozen=True, kw_only=True):
    """One line of the history."""

    id: str
    title: str
    model_id: str
    model_name: str
    status: Status
    created_at: str
    configuration_count: int
    best_label: str | None = None
    best_p50_us: float | None = None
    machine_id: str = ""


def label(
    configuration: Configuration, *, provider_label: str, among: tuple[Configuration, ...] = ()
) -> str:
    """A row's name: provider, level and variant, then whatever tells it from its neighbours.

    Args:
        configuration: the row.
        provider_label: its providers in short words.
        among: all rows of the study; what they share is left out.
    """
    c = configuration
    told = {
        "threads": f"{c.threads} thread" + "s" * (c.threads != 1),
        "execution_mode": f"{c.execution_mode} ×{c.inter_op_threads}",
        "inter_op_threads": f"{c.inter_op_threads} inter-op",
        "dims": " ".join(f"{k}={v}" for k, v in c.dims.items()),
        "runtime": c.runtime,
        "io_binding": "IO binding" if c.io_binding else "no IO binding",
        "spinning": "spinning" if c.spinning else "no spinning",
        "arena": "arena" if c.arena else "no arena",
        "memory_pattern": "memory pattern" if c.memory_pattern else "no memory pattern",
        "session_config": " ".join(f"{k}={v}" for k, v in c.session_config.items()),
    }
    parts = [provider_label, c.level, c.variant]
    parts += [text for name, text in told.items() if text and _varies(name, among)]
    parts += [f"{k}={v}" for p in c.providers for k, v in p.options.items()]
    return " · ".join(parts)


def _varies(field: str, among: tuple[Configuration, ...]) -> bool:
    return any(getattr(c, field) != getattr(among[0], field) for c in among)
