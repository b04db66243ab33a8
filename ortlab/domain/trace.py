"""What an ORT profile says, once read."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

EVENTS_NAME = "events.parquet"
SUMMARY_NAME = "summary.json"
TIMELINE_NAME = "timeline.bin"
"""Files that the reader process makes of a trace."""
SUMMARY_VERSION = 5
"""Raised when a summary would say something else: stored ones are then worked out anew."""

NOT_TOLD = -(2**63)
"""Value of a number column of the stored events where the event does not have it."""

MEMORY_COLUMNS = (
    "mem_bytes_in_use", "mem_in_use_delta", "mem_bytes_requested_in_use",
    "mem_requested_in_use_delta", "mem_in_use_peak", "mem_arena_held", "mem_arena_held_delta",
)  # fmt: skip
"""Bytes of the arena of the node's provider, after the node; written since ORT 1.28."""
POOL_COLUMNS = (
    "pool_run_us", "pool_wait_us", "pool_distribution_us", "block_size", "block_count",
    "sub_run_count", "sub_run_max", "sub_thread_count", "pool_core",
)  # fmt: skip
"""What `thread_scheduling_stats` tells of one node event."""
CORRELATION_COLUMN = "ort_correlation_id"
NUMBER_COLUMNS = (*MEMORY_COLUMNS, *POOL_COLUMNS, CORRELATION_COLUMN)
"""Columns of whole numbers beside `sig`, `ts`, `dur` and `lane` in the stored events."""


class Signature(Struct, frozen=True, array_like=True):
    """What all events of the stored trace with the same `sig` have in common."""

    category: int
    name: str
    """Without ORT's `_kernel_time` for node events."""
    op_type: str | None = None
    provider: str | None = None
    node_index: int | None = None
    parameter_bytes: int | None = None
    activation_bytes: int | None = None
    output_bytes: int | None = None
    input_shapes: str | None = None
    """Types and shapes in one line: `float[1,3,224,224] int64[2]`."""
    output_shapes: str | None = None
    parent: str | None = None
    """`parent_ort_event_name` of a Kernel event."""
    device: dict[str, Any] | None = None
    """Further arguments of a Kernel or Api event, such as stream, grid and block."""


class Run(Struct, frozen=True, kw_only=True):
    """One `model_run`, times in µs since the profiler started."""

    index: int
    start_us: int
    duration_us: int
    node_count: int
    warmup: bool
    node_time_us: int = 0
    """Node time of this run, nested nodes left out."""
    outlier: bool = False
    """A steady run that lies far above the others."""
    session: int = 0
    """Which session of the file it belongs to, counted from 0."""
    partial: bool = False
    """Nodes that other runs have are missing: it failed, was replayed, or lines are damaged."""
    changed: bool = False
    """From this run on, after warm-up, durations have another level."""
    executor_us: int | None = None
    """Time of the run's executor; the rest of the run is ONNX Runtime around it."""
    executor_count: int = 0
    """Executors in the run: its own, and one for each graph that a node ran."""


class OperatorRow(Struct, frozen=True, kw_only=True):
    """All node events of one operator on one provider. `share` is of all self time, 0–1.

    `share` is None where none can be claimed: launches without device events.
    """

    op_type: str
    provider: str
    calls: int
    total_us: int
    self_us: int
    share: float | None
    mean_us: float = 0.0
    node_count: int = 0
    p50_us: float | None = None
    """Median duration of one call, bodies inside included."""
    device_us: int | None = None
    """Device time attributed to these nodes, all runs."""
    time_kind: str = "host"
    """What the row's time is: `host` work, a `launch`, a `wait` for the device, or `device`."""
    corrected_self_us: float | None = None
    """`self_us` less what the profiler is proven to add; None where nothing is proven."""
    doubt: str | None = None
    """Why the time is to be shown greyed: `launch`, `wait`, `profiler`; None: it stands."""


class ShapeRow(Struct, frozen=True, kw_only=True):
    """All node events of one operator on one provider with the same types and shapes."""

    op_type: str
    provider: str
    input_shapes: str
    output_shapes: str
    calls: int
    total_us: int
    self_us: int
    share: float | None
    mean_us: float
    p50_us: float
    """Median duration of one call, bodies inside included."""
    node_count: int


class ProviderRow(Struct, frozen=True, kw_only=True):
    """All node events of one provider; `share` is of all self time, 0–1, None: not claimed."""

    provider: str
    node_count: int
    total_us: int
    share: float | None
    self_us: int = 0
    calls: int = 0


class NodeRow(Struct, frozen=True, kw_only=True):
    """One node of the executed graph over all runs it took part in."""

    name: str
    op_type: str
    provider: str
    calls: int
    total_us: int
    self_us: int
    p50_us: float
    input_shapes: str = ""
    output_bytes: int | None = None
    scope: str = ""
    """Names of the enclosing nodes, outermost first, joined by `/`; empty at the top."""
    output_shapes: str = ""
    node_index: int | None = None
    p95_us: float | None = None
    """None below 20 runs: there it would only be the slowest of them."""
    is_copy: bool = False
    order: int = 0
    """Rank by the start of its first call: the order in which the graph was executed."""
    pool_run_us: int | None = None
    """Work and waiting of the calling thread in ORT's thread pool; None where not recorded."""
    pool_wait_us: int | None = None
    run_count: int = 0
    """Runs that the per-run figures (p50, p25, p75, min, max) are taken over."""
    min_us: float | None = None
    p25_us: float | None = None
    p75_us: float | None = None
    max_us: float | None = None
    ci95_us: tuple[float, float] | None = None
    """95 % interval of `p50_us` from order statistics; None below 6 runs."""
    self_p50_us: float | None = None
    """Median over runs of its own time per run, bodies inside left out."""
    device_us: int | None = None
    """Device time attributed to it, all runs; None where the file has none."""
    device_p50_us: float | None = None
    parameter_bytes: int | None = None
    activation_bytes: int | None = None
    time_kind: str = "host"
    """See `OperatorRow`."""
    share: float | None = None
    """Of all time that counts, 0–1: device time where there is one, else own time on the host."""
    corrected_self_us: float | None = None
    """`self_us` less what the profiler is proven to add; None where nothing is proven."""
    doubt: str | None = None
    """Why the time is to be shown greyed: `launch`, `wait`, `profiler`; None: it stands."""


class Copies(Struct, frozen=True, kw_only=True):
    """Memcpy nodes: how many, how long, how much."""

    count: int = 0
    total_us: int = 0
    bytes: int | None = None


class SessionTimes(Struct, frozen=True, kw_only=True):
    """Session load and initialization, µs; None where the file does not tell."""

    load_us: int | None = None
    init_us: int | None = None


class TrustReason(Struct, frozen=True):
    """One thing that limits what the profile can prove."""

    code: str
    message: str
    cost: str = ""
    """What it costs the reader: which figures not to use, and for what."""
    remedy: str = ""
    """What to do about it; empty where nothing can be done."""
    grade: str = ""
    """The best grade that it leaves."""


class KernelRow(Struct, frozen=True, kw_only=True):
    """What a device ran under one name for one node, all runs."""

    name: str
    op_type: str
    node: str
    """Name of the node that it is attributed to; empty where the file does not tell."""
    calls: int
    total_us: float


class DeviceFacts(Struct, frozen=True, kw_only=True):
    """Device events of the file, and how they were given to nodes."""

    how: str
    """In a sentence; empty without device events."""
    clock: str = "host"
    """Of their start: `host`; `device`, a clock of its own; `computed`, put one after another."""
    event_count: int = 0
    attributed_count: int = 0
    total_us: float = 0.0
    attributed_us: float = 0.0
    streams: tuple[str, ...] = ()
    kernels: tuple[KernelRow, ...] = ()
    """The costliest first, as many as a table shows."""


class ClockFacts(Struct, frozen=True, kw_only=True):
    """What the times of node events contradict."""

    back_count: int = 0
    """How often, in the order of the file, a thread's clock went back."""
    back_us: int = 0
    """The furthest it went back."""
    reordered: bool = False
    """The events are not in the order in which ORT writes them, so nothing of that is known."""
    overlap_count: int = 0
    """Events of one thread that begin before the one before them has ended, but are not in it."""
    stall_count: int = 0
    """Pauses inside runs that are longer than several runs."""
    stall_us: int = 0
    """The longest of them."""


class Correction(Struct, frozen=True, kw_only=True):
    """What the profiler itself adds, µs."""

    basis: str
    """`measured` against the unprofiled twin, or `estimated` from other models."""
    per_event_us: float
    """Per node event and run, inside nodes and between them."""
    low_us: float
    high_us: float
    """Bounds of `per_event_us`; both equal to it where it is measured."""
    inside_us: float = 0.0
    """Part of it that is proven to lie inside node times; subtracted from each call."""
    removed_us: float = 0.0
    """Taken off the own times of all counted nodes together."""
    withheld_us: float = 0.0
    """Not taken off, because a node's time would have become negative."""


class Trust(Struct, frozen=True):
    """A (believe it) to F (believe nothing), with every reason."""

    grade: str
    reasons: tuple[TrustReason, ...] = ()


class Profile(Struct, frozen=True, kw_only=True):
    """One profile read: the contract's document, and what the views need beyond it.

    Totals count every node event in the file once, all runs. `self_us` leaves nested
    subgraph time out; `toplevel_us` sums events nested in no other.
    """

    source: str
    ort_version: str | None = None
    runs: tuple[Run, ...] = ()
    node_event_count: int = 0
    node_time_us: int = 0
    toplevel_us: int = 0
    damaged_event_count: int = 0
    operators: tuple[OperatorRow, ...] = ()
    providers: tuple[ProviderRow, ...] = ()
    nodes: tuple[NodeRow, ...] = ()
    node_count: int = 0
    """Nodes that were counted; `nodes` has at most 50,000 of them, the costliest."""
    shapes: tuple[ShapeRow, ...] = ()
    copies: Copies = Copies()
    session: SessionTimes = SessionTimes()
    trust: Trust = Trust("F")
    steady_only: bool = False
    counted_runs: int = 0
    """Runs that the totals cover: all of them, or the steady ones."""
    twin_p50_us: float | None = None
    """p50 of the same configuration without the profiler, when it was measured."""
    overhead_ratio: float | None = None
    """Median profiled run ÷ unprofiled p50."""
    async_providers: tuple[str, ...] = ()
    """Providers whose node times are launch times, not device times."""
    truncated: bool = False
    unknown_categories: dict[str, int] = {}
    """Events by category that ORT is not known to write."""
    unknown_fields: dict[str, int] = {}
    """Events by field that ORT is not known to write; their values are kept with the events."""
    thread_count: int = 0
    device_event_count: int = 0
    """Events of a device (categories Kernel and Api), which are no node events."""
    device_time_us: int = 0
    fence_event_count: int = 0
    recovered_event_count: int = 0
    """Events in invalid JSON that could be read all the same."""
    pool_run_us: int | None = None
    pool_wait_us: int | None = None
    correction: Correction | None = None
    """What the profiler adds to node times, where that can be told."""
    device: DeviceFacts | None = None
    """None without device events."""


class TraceEvent(Struct, frozen=True, kw_only=True):
    """One node event of one run, or what a device did for one on the same clock."""

    name: str
    op_type: str
    provider: str
    thread: int
    start_us: int
    duration_us: int
    self_us: int
    depth: int
    is_device: bool = False
    """Work of a device; its time is within that of the node that asked for it, or after it."""


class PoolThread(Struct, frozen=True, kw_only=True):
    """One thread that `thread_scheduling_stats` names."""

    pool: str = ""
    run_count: int = 0
    """Pieces of work it took in all: ORT counts `num_run` from the start of the session."""
    event_count: int = 0
    """Node events that name it."""


class TraceFacts(Struct, frozen=True, kw_only=True):
    """What reading a trace file tells beside its events; kept with the stored events."""

    events: int
    """Events stored."""
    categories: tuple[str, ...] = ()
    """Name of each category code of the stored events."""
    category_counts: dict[str, int] = {}
    """Events by category as the file names them, also those that were not stored."""
    fence_count: int = 0
    damaged_count: int = 0
    damaged_lines: tuple[int, ...] = ()
    """Lines (from 1) of the first damaged events."""
    recovered_count: int = 0
    truncated: bool = False
    """The file ends before its list does."""
    capped_count: int = 0
    """Events beyond the number that ortlab keeps."""
    dropped_count: int | None = None
    """Events that ORT itself left out, as its `profile_truncated` event says."""
    max_events: int | None = None
    marks: tuple[str, ...] = ()
    """What the format shows: fences, shapes, thread_stats, memory, node_index …"""
    ort_version: str | None = None
    """The ORT versions that write this format, as words; the file does not name one."""
    bytes_read: int = 0
    unknown_fields: dict[str, int] = {}
    """Arguments that no ONNX Runtime is known to write, with the events that have them."""
    folded_count: int = 0
    """Events whose name was given up: the file has more names than can be kept."""
    folded_shapes_count: int = 0
    """Events whose shapes and sizes were given up for the same reason."""
    session_count: int = 0
    """Sessions that were loaded or initialized in this file; 0 when the file does not tell."""
    pool_threads: dict[str, PoolThread] = {}
    """Threads of ORT's pools by their id, as `thread_scheduling_stats` names them."""
