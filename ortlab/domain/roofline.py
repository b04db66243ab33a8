"""What this machine can reach at best, and how far each node of a profile is from it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Bound = Literal["compute", "memory", "dispatch", "launch", "unknown"]
BOUNDS: tuple[Bound, ...] = ("compute", "memory", "dispatch", "launch", "unknown")
Kind = Literal["fp32", "fp16", "int8"]
KINDS: tuple[Kind, ...] = ("fp32", "fp16", "int8")


class ComputeRoof(Struct, frozen=True, kw_only=True):
    """The most multiplications and additions per second that a matrix product reached here."""

    kind: Kind
    flop_per_s: float
    spread_share: float
    """How much slower the median of the repeats was than the best one."""
    side: int
    """Of the square matrices that were fastest."""
    repeats: int = 0


class MemoryRoof(Struct, frozen=True, kw_only=True):
    """The most bytes per second read and written, of data that fits in one level of memory."""

    level: str
    """`L2`, `L3` … or `memory`."""
    bytes_per_s: float
    spread_share: float
    capacity_bytes: int | None = None
    """What this level holds for all threads together; None for main memory."""
    working_set_bytes: int = 0
    """What was streamed through to measure it."""
    way: str = "copy"
    """What was fastest: `read` counts the bytes read, `copy` those read and those written."""


class Peaks(Struct, frozen=True, kw_only=True):
    """The roofs of one machine, one ONNX Runtime and one number of threads, as measured."""

    machine_id: str
    onnxruntime_version: str
    threads: int
    measured_at: str
    seconds: float
    compute: tuple[ComputeRoof, ...] = ()
    memory: tuple[MemoryRoof, ...] = ()
    """From the smallest, fastest level to main memory."""
    dispatch_us: float = 0.0
    """What one node costs that has nothing to do, without the profiler."""
    dispatch_spread_share: float = 0.0
    profiled_node_us: float = 0.0
    """How long such a node looks in a profile: the profiler's own work is in its time."""
    missing: dict[str, str] = {}
    """Number types without a roof, and why."""

    def flop_per_s(self, kind: str | None) -> float | None:
        """The compute roof of a number type, or None where none was measured."""
        return next((roof.flop_per_s for roof in self.compute if roof.kind == kind), None)


class NodeRoof(Struct, frozen=True, kw_only=True):
    """One node against the roofs. Times, FLOPs and bytes are those of one run."""

    order: int
    """Its `NodeRow.order`."""
    name: str
    op_type: str
    provider: str
    bound: Bound
    time_us: float
    calls_per_run: float = 1.0
    kind: str | None = None
    """Which compute roof is meant: fp32, fp16, int8; None where none applies."""
    flops: float | None = None
    """Multiplications and additions; None where they cannot be counted."""
    bytes: float | None = None
    weight_bytes: float = 0.0
    """Part of `bytes`: weights, read once per call."""
    intensity: float | None = None
    """FLOPs per byte."""
    flop_per_s: float | None = None
    bytes_per_s: float | None = None
    attainable_flop_per_s: float | None = None
    """What its bound would allow."""
    bound_us: float | None = None
    """How long it would take at its bound."""
    reached_share: float | None = None
    """`bound_us` ÷ `time_us`; above 1 where a cache did better than was assumed."""
    gain_us: float = 0.0
    """What a run would be shorter if it ran at its bound; never below 0."""
    gain_share: float = 0.0
    """`gain_us` as a part of the node time of a run."""
    level: str | None = None
    """The memory roof that most of its memory time is counted at."""
    why: str = ""
    """Why the bound is not known."""


class BoundRow(Struct, frozen=True, kw_only=True):
    """All nodes with the same bound."""

    bound: Bound
    node_count: int
    time_us: float
    share: float | None
    """Of the node time of a run; None for launches, whose times share nothing out."""
    gain_us: float


class Worth(Struct, frozen=True, kw_only=True):
    """One node worth optimizing, or several alike, with what would be gained at their bound."""

    order: int
    """Of the node; of several the one that gains most."""
    name: str
    op_type: str
    bound: Bound
    reached_share: float
    gain_us: float
    gain_share: float
    sentence: str
    """Names in it are foreign text."""
    node_count: int = 1
    """Nodes of one operator with the same shapes and the same bound."""


class RooflineReport(Struct, frozen=True, kw_only=True):
    """A profile against the roofs of this machine."""

    peaks: Peaks
    threads: int
    nodes: tuple[NodeRoof, ...] = ()
    """Most time first."""
    worth: tuple[Worth, ...] = ()
    """Most gain first."""
    alike: tuple[Worth, ...] = ()
    """The same with nodes of one operator, one bound and the same shapes taken together."""
    bounds: tuple[BoundRow, ...] = ()
    run_us: float = 0.0
    """Node time of one run, what shares are parts of."""
    total_gain_us: float = 0.0
    """If every classified node ran at its bound."""
    total_gain_share: float = 0.0
    uncounted_count: int = 0
    """Nodes whose FLOPs cannot be counted."""
    uncounted_share: float = 0.0
    caveats: tuple[str, ...] = ()
    """What limits the figures, in sentences."""
