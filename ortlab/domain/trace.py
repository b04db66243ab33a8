"""What an ORT profile says, once read."""

from __future__ import annotations

from msgspec import Struct


class Run(Struct, frozen=True, kw_only=True):
    """One `model_run`, times in µs since the profiler started."""

    index: int
    start_us: int
    duration_us: int
    node_count: int
    warmup: bool
    node_time_us: int = 0
    """Node time of this run, nested nodes left out."""


class OperatorRow(Struct, frozen=True, kw_only=True):
    """All node events of one operator on one provider. `share` is of all self time, 0–1."""

    op_type: str
    provider: str
    calls: int
    total_us: int
    self_us: int
    share: float
    mean_us: float = 0.0
    node_count: int = 0


class ProviderRow(Struct, frozen=True, kw_only=True):
    """All node events of one provider; `share` is of all self time, 0–1."""

    provider: str
    node_count: int
    total_us: int
    share: float
    self_us: int = 0


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
    is_copy: bool = False


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
    copies: Copies = Copies()
    session: SessionTimes = SessionTimes()
    trust: Trust = Trust("F")
    steady_only: bool = False
    twin_p50_us: float | None = None
    """p50 of the same configuration without the profiler, when it was measured."""
    overhead_ratio: float | None = None
    """Median profiled run ÷ unprofiled p50."""
    async_providers: tuple[str, ...] = ()
    """Providers whose node times are launch times, not device times."""
    truncated: bool = False
    unknown_categories: dict[str, int] = {}
    thread_count: int = 0


class TraceEvent(Struct, frozen=True, kw_only=True):
    """One node event for the timeline of one run."""

    name: str
    op_type: str
    provider: str
    thread: int
    start_us: int
    duration_us: int
    self_us: int
    depth: int
