"""What the memory fields of a profile say: the arena's bytes over a run, and who holds them."""

from __future__ import annotations

from msgspec import Struct


class MemoryPoint(Struct, frozen=True, array_like=True):
    """The arena while one node ran, ORT's figures from the end of that node."""

    at_us: int
    """Since the run began: start of the node; its end where it holds a graph of its own."""
    in_use_bytes: int
    """Handed out, with the arena's rounding."""
    requested_bytes: int
    """Handed out, as it was asked for."""
    arena_bytes: int
    """Taken from the system, in use or not."""
    node: int
    """`NodeRow.order` of the node."""


class AliveNode(Struct, frozen=True, kw_only=True):
    """Bytes that one node allocated and that were still in use at the peak."""

    node: int
    """`NodeRow.order`."""
    name: str
    op_type: str
    scope: str = ""
    bytes: int
    """Of the arena; its pieces can be larger than what was asked for."""
    requested_bytes: int = 0
    since_us: int
    """When the node began to write them, since the run began."""
    share: float
    """Of the peak, 0–1."""
    sure: bool = True
    """False where equal sizes leave open which of several nodes' outputs this one is."""


class RunMemory(Struct, frozen=True, array_like=True):
    """One run: the most in use after any of its nodes, and what was left after the last."""

    index: int
    peak_bytes: int
    last_bytes: int
    arena_bytes: int
    """Held by the arena after the run's last node."""
    warmup: bool


class AllocatorMemory(Struct, frozen=True, kw_only=True):
    """One arena, and the nodes that allocate from it.

    peak = before + alive + unexplained, to the byte.
    """

    providers: tuple[str, ...]
    """Whose nodes allocate from it, most nodes first; several where their figures are one."""
    points: tuple[MemoryPoint, ...]
    """Bounded: stretches of many nodes keep their highest, their lowest and their last."""
    point_count: int
    """Node events with memory fields in this run, before they were thinned."""
    peak_bytes: int
    peak_at_us: int
    peak_node: int
    peak_name: str
    peak_op_type: str
    before_bytes: int
    """In use when the run's first node began: weights and their prepacked copies, outputs of
    earlier runs that are still referenced, and the block ORT planned for this run."""
    alive: tuple[AliveNode, ...] = ()
    """Nodes whose bytes were in use at the peak, most bytes first; bounded."""
    alive_count: int = 0
    alive_bytes: int = 0
    """All of them, also those that `alive` leaves out."""
    unexplained_bytes: int = 0
    """Of the peak: neither there before the run nor to be told as the bytes of a node."""
    unnamed_because: str = ""
    """Why not all is named: `planned`, `parallel`, `many`, and where the peak lies in the graph
    of an If, Loop or Scan `bodies`; else empty."""
    compiled_count: int = 0
    """Node events of the run that stand for partitions a provider compiled: what those allocate
    for themselves is in no figure."""
    inside_bytes: int | None = None
    """Highest mark that a node of this run reached while it ran, where it beats the peak."""
    inside_node: int | None = None
    inside_name: str = ""
    """The node that reached it, or that came next."""
    inside_at_us: int | None = None
    """When that node began, since the run began."""
    session_peak_bytes: int = 0
    """The arena's own mark at the end of the file: most ever in use, loading included."""
    planned_bytes: int | None = None
    """Size of the block that ORT allocates at once for each run after the first of its shapes."""
    steady_peak_bytes: int | None = None
    """Median peak of the steady runs."""
    runs: tuple[RunMemory, ...] = ()
    """Bounded: of many runs each stretch keeps its highest and its lowest peak."""
    run_count: int = 0
    arena_growth_bytes: int = 0
    """What the arena holds after the last run, less what it held after the first."""


class MemoryReport(Struct, frozen=True, kw_only=True):
    """Memory of one run in full, and the peaks of all runs."""

    run_index: int | None
    """The run that is shown: the one in which most nodes' allocations can be seen, a steady one
    where that can be had; None where the file has no whole run and all its nodes are shown."""
    warmup: bool
    """Whether that run is a warm-up run."""
    duration_us: int
    parallel: bool
    """Nodes ran at the same time, so a node's figures hold what others allocated meanwhile."""
    allocators: tuple[AllocatorMemory, ...]
    """Most bytes first."""
    event_count: int = 0
    """Node events of the run."""
    untold_count: int = 0
    """Of them without memory fields."""
