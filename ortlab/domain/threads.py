"""What a profile says about ORT's thread pool: who worked, who waited, for how long."""

from __future__ import annotations

from msgspec import Struct

WAITS, ALONE, HANDS_OUT, ONE_THREAD = "waits", "alone", "hands out", "one thread"
"""What the figures of a row say; empty when nothing stands out."""


class PoolRow(Struct, frozen=True, kw_only=True):
    """Thread pool figures of one node, or of all nodes of one operator. Steady runs only."""

    op_type: str
    provider: str
    node: int | None = None
    """`NodeRow.order`; None for an operator."""
    name: str = ""
    scope: str = ""
    calls: int
    pool_calls: int
    """Calls that ran at least one parallel loop."""
    duration_us: int
    """Node time of all calls."""
    run_us: int
    """The calling thread's own part of the loops."""
    wait_us: int
    """The calling thread done with its part, waiting for the others."""
    distribution_us: int
    """Handing the loops out."""
    pool_share: float
    """Of the node time, spent in parallel loops, 0–1."""
    wait_share: float | None
    """Of the time in parallel loops, spent waiting, 0–1; None where there was no loop."""
    loop_count: int
    joined_count: int
    """How often a helper thread took part in a loop and finished its part."""
    joined_share: float | None
    """Of the times that helpers could have taken part, 0–1."""
    imbalance: float | None
    """Loops of the busiest thread ÷ mean over all threads, the calling one included:
    1 is even, the number of threads is one thread alone."""
    block_size: int | None
    """Median block: iterations that a thread takes at a time."""
    says: str = ""


class HelperThread(Struct, frozen=True, kw_only=True):
    """One helper thread over the whole file, warm-up included."""

    pool: str
    number: int
    """From 1, the busiest first: ids of threads mean nothing to people."""
    loop_count: int
    """Loops that it finished its part of."""
    share: float | None
    """Of all loops that its pool ran, 0–1."""


class ThreadReport(Struct, frozen=True, kw_only=True):
    """The thread pool over the steady runs, by operator and by node."""

    helper_count: int
    """Threads of the pool beside the calling one."""
    event_count: int
    """Node events that tell about the pool; those that hold a graph of their own are left out."""
    untold_count: int
    """Node events that tell nothing: one thread, another provider's pool, ORT before 1.10."""
    no_pool_count: int
    """Node events that used no pool at all."""
    no_pool_us: int
    node_us: int
    """Time of all node events counted here, told or not."""
    run_us: int
    wait_us: int
    distribution_us: int
    loop_count: int
    joined_count: int
    joined_share: float | None
    imbalance: float | None
    concurrent: bool
    """Nodes or runs overlapped: they share the pool's counters, so loops joined are unsure."""
    operators: tuple[PoolRow, ...] = ()
    """Most time first."""
    nodes: tuple[PoolRow, ...] = ()
    """Most time first; bounded."""
    node_count: int = 0
    threads: tuple[HelperThread, ...] = ()
