"""What `--json` prints: one typed document per command, from which the schemas are made."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

import ortlab
from ortlab.analysis.naming.modules import walked
from ortlab.domain.accuracy import Accuracy
from ortlab.domain.compare import (
    Difference,
    GroupChange,
    LoneNode,
    ModuleChange,
    NodeChange,
    OperatorChange,
    ProviderChange,
    RunChange,
    Shift,
    Side,
    StudyChange,
)
from ortlab.domain.configuration import Configuration
from ortlab.domain.finding import Finding
from ortlab.domain.machine import Machine, MachineReport, Noise, Runtime
from ortlab.domain.memory import MemoryReport
from ortlab.domain.model import AppliedFix, FixReport, ModelInfo
from ortlab.domain.placement import Crossing, Fallback, Partition, PlacedNode, Placement
from ortlab.domain.roofline import Peaks
from ortlab.domain.study import (
    AAControl,
    Comparison,
    ConfigurationResult,
    Interference,
    Latency,
    Notice,
    Study,
    StudySummary,
)
from ortlab.domain.threads import ThreadReport
from ortlab.domain.trace import (
    Copies,
    Correction,
    DeviceFacts,
    NodeRow,
    OperatorRow,
    ProviderRow,
    Run,
    SessionTimes,
    ShapeRow,
    Trust,
)
from ortlab.errors import OrtlabError
from ortlab.views import ProfileView


class Document(Struct, frozen=True, kw_only=True, tag_field="schema"):
    """What every document carries."""

    ortlab_version: str = ortlab.__version__


class ErrorBody(Struct, frozen=True, kw_only=True):
    """`kind` is the word that programs test for."""

    kind: str
    message: str
    hint: str | None = None


class ErrorDocument(Document, frozen=True, kw_only=True, tag="ortlab.error/1"):
    """Printed instead of any other document when a command fails."""

    error: ErrorBody


class InspectDocument(Document, frozen=True, kw_only=True, tag="ortlab.inspect/1"):
    """`ortlab inspect`."""

    model: ModelInfo


class FixDocument(Document, frozen=True, kw_only=True, tag="ortlab.fix/1"):
    """`ortlab fix`."""

    source: str
    output: str
    applied: tuple[AppliedFix, ...]
    outputs_equal: bool | None
    max_abs_error: float | None
    note: str
    model: ModelInfo


class MachineDocument(Document, frozen=True, kw_only=True, tag="ortlab.machine/1"):
    """`ortlab machine`."""

    machine: Machine
    runtimes: tuple[Runtime, ...]
    noise: Noise | None
    peaks: Peaks | None


class StudyBody(Struct, frozen=True, kw_only=True):
    """How the study was measured."""

    id: str
    model_id: str
    model_name: str
    title: str
    status: str
    started_at: str | None
    finished_at: str | None
    machine_id: str
    method: str
    rounds: int
    aa: AAControl | None
    interference: Interference | None
    measuring_s: float | None
    wall_s: float | None
    seed: int
    onnxruntime_version: str | None
    feeds: tuple[str, ...]


class RowBody(Struct, frozen=True, kw_only=True):
    """One configuration; figures are null where `error` says why."""

    id: str
    label: str
    provider_requested: tuple[str, ...]
    providers_active: tuple[str, ...]
    level: str
    variant: str
    runtime: str
    threads: int
    dims: dict[str, int]
    latency: Latency | None
    throughput_per_s: float | None
    session_init_us: float | None
    first_run_us: float | None
    warmup_runs: int | None
    warmup_us: float | None
    peak_memory_bytes: int | None
    model_bytes: int | None
    vs_baseline: Comparison | None
    accuracy: Accuracy | None
    steady: bool
    session_count: int
    process_count: int
    warnings: tuple[Notice, ...]
    error: ErrorBody | None
    configuration: Configuration
    samples_us: tuple[float, ...] | None = None
    """Every observed latency, with `--samples`."""


class BenchDocument(Document, frozen=True, kw_only=True, tag="ortlab.bench/1"):
    """`ortlab bench`. `error` is set when no configuration could be measured."""

    study: StudyBody
    configurations: tuple[RowBody, ...]
    best: str | None
    baseline: str
    findings: tuple[Finding, ...] = ()
    error: ErrorBody | None = None


class ModuleRow(Struct, frozen=True, kw_only=True):
    """One module of the model, those inside it included in its totals."""

    path: tuple[str, ...]
    self_us: int
    total_us: int
    calls: int
    node_count: int
    share: float


class ProfileDocument(Document, frozen=True, kw_only=True, tag="ortlab.profile/1"):
    """`ortlab profile`."""

    source: str
    ort_version: str | None
    runs: tuple[Run, ...]
    node_event_count: int
    node_time_us: int
    toplevel_us: int
    damaged_event_count: int
    operators: tuple[OperatorRow, ...]
    providers: tuple[ProviderRow, ...]
    nodes: tuple[NodeRow, ...]
    copies: Copies
    session: SessionTimes
    trust: Trust
    steady_only: bool
    twin_p50_us: float | None
    overhead_ratio: float | None
    async_providers: tuple[str, ...]
    truncated: bool
    unknown_categories: dict[str, int]
    thread_count: int
    device_event_count: int
    device_time_us: int
    fence_event_count: int
    recovered_event_count: int
    pool_run_us: int | None
    pool_wait_us: int | None
    device: DeviceFacts | None
    correction: Correction | None
    unknown_fields: dict[str, int]
    shapes: tuple[ShapeRow, ...]
    modules: tuple[ModuleRow, ...]
    memory: MemoryReport | None
    threads: ThreadReport | None


class PlacementDocument(Document, frozen=True, kw_only=True, tag="ortlab.placement/1"):
    """`ortlab placement`."""

    requested: tuple[str, ...]
    active: tuple[str, ...]
    nodes: tuple[PlacedNode, ...]
    node_share_by_provider: dict[str, float]
    time_share_by_provider: dict[str, float] | None
    partitions: tuple[Partition, ...]
    crossings: tuple[Crossing, ...]
    fallback: tuple[Fallback, ...]
    copy_count: int
    copy_us: float | None
    source: str


class CompareDocument(Document, frozen=True, kw_only=True, tag="ortlab.compare/1"):
    """`ortlab compare`. Ratios are base ÷ other: above 1 the other is faster."""

    base: Side
    other: Side
    run: RunChange
    unprofiled: RunChange | None
    nodes: tuple[NodeChange, ...]
    added: tuple[LoneNode, ...]
    removed: tuple[LoneNode, ...]
    groups: tuple[GroupChange, ...]
    operators: tuple[OperatorChange, ...]
    providers: tuple[ProviderChange, ...]
    modules: tuple[ModuleChange, ...]
    shift: Shift | None
    floor_share: float
    configurations: StudyChange | None
    caveats: tuple[Notice, ...]


class HistoryDocument(Document, frozen=True, kw_only=True, tag="ortlab.history/1"):
    """`ortlab history`."""

    studies: tuple[StudySummary, ...]


DOCUMENTS: tuple[type[Document], ...] = (
    InspectDocument,
    FixDocument,
    MachineDocument,
    BenchDocument,
    ProfileDocument,
    PlacementDocument,
    CompareDocument,
    HistoryDocument,
    ErrorDocument,
)
"""Every document there is; `docs/schema/` holds one JSON Schema for each."""


def text(document: Document) -> str:
    """The document as indented JSON; what is not a number is null."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def command(document: type[Document]) -> str:
    """The command a kind of document answers: `bench` of `ortlab.bench/1`."""
    return str(document.__struct_config__.tag).removeprefix("ortlab.").removesuffix("/1")


def error(problem: OrtlabError) -> ErrorDocument:
    """The document of a failure."""
    return ErrorDocument(error=error_body(problem))


def error_body(problem: OrtlabError) -> ErrorBody:
    """Kind, message and hint of an error."""
    return ErrorBody(kind=problem.kind, message=problem.message, hint=problem.hint)


def inspect(model: ModelInfo) -> InspectDocument:
    """The document of a model card."""
    return InspectDocument(model=model)


def fix(report: FixReport) -> FixDocument:
    """The document of a repair."""
    return FixDocument(**_fields(report, FixDocument))


def machine(report: MachineReport) -> MachineDocument:
    """The document of a machine."""
    return MachineDocument(**_fields(report, MachineDocument))


def profile(view: ProfileView, *, top: int | None = None) -> ProfileDocument:
    """The document of a profile; `top` keeps only so many nodes."""
    record = view.record
    beside = {"nodes": record.nodes[:top], "memory": view.memory, "threads": view.threads}
    modules = tuple(ModuleRow(**_fields(m, ModuleRow)) for m in walked(view.modules.root))
    return ProfileDocument(**{**_fields(record, ProfileDocument), **beside, "modules": modules})


def placement(record: Placement) -> PlacementDocument:
    """The document of a placement."""
    return PlacementDocument(**_fields(record, PlacementDocument))


def compare(record: Difference, *, top: int | None = None) -> CompareDocument:
    """The document of a comparison; `top` keeps only so many nodes of each kind."""
    fields = _fields(record, CompareDocument)
    lists = ("nodes", "added", "removed", "groups", "modules")
    return CompareDocument(**{**fields, **{name: fields[name][:top] for name in lists}})


def history(studies: list[StudySummary]) -> HistoryDocument:
    """The document of the studies on this disk."""
    return HistoryDocument(studies=tuple(studies))


def bench(
    study: Study,
    *,
    findings: list[Finding] | None = None,
    samples: dict[str, list[float]] | None = None,
    failure: OrtlabError | None = None,
) -> BenchDocument:
    """The document of a study.

    Args:
        study: the answer.
        findings: what it shows, best first.
        samples: raw latencies by configuration id, µs.
        failure: why there is no figure at all, when there is none.
    """
    body = {**_fields(study, StudyBody), "seed": study.spec.seed}
    return BenchDocument(
        study=StudyBody(**body),
        configurations=tuple(
            _row(row, (samples or {}).get(row.id)) for row in study.configurations
        ),
        best=study.best,
        baseline=study.baseline,
        findings=tuple(findings or ()),
        error=error_body(failure) if failure else None,
    )


def _row(row: ConfigurationResult, samples_us: list[float] | None) -> RowBody:
    fields = _fields(row, RowBody)
    problem = row.error
    fields["error"] = problem and ErrorBody(
        kind=problem.kind, message=problem.message, hint=problem.hint
    )
    fields["samples_us"] = None if samples_us is None else tuple(samples_us)
    return RowBody(**fields)


def _fields(record: Struct, target: type[Struct]) -> dict[str, Any]:
    """What `record` and `target` both have, by name."""
    wanted = {field.name for field in msgspec.structs.fields(target)}
    return {k: v for k, v in msgspec.structs.asdict(record).items() if k in wanted}
