"""Where each node was meant to run, and where it ran."""

from __future__ import annotations

from msgspec import Struct


class PlacedNode(Struct, frozen=True, kw_only=True):
    """One node: the provider ORT assigned, the one seen in the trace, its time per run."""

    name: str
    op_type: str
    assigned: str | None
    observed: str | None = None
    time_us: float | None = None


class Partition(Struct, frozen=True, kw_only=True):
    """Neighbours in graph order on one provider; `first` and `last` are node names."""

    provider: str
    node_count: int
    first: str
    last: str


class Crossing(Struct, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """One tensor that goes from one provider to another."""

    tensor: str
    source: str
    target: str
    bytes: int | None = None
    time_us: float | None = None


class Fallback(Struct, frozen=True, kw_only=True, rename={"severity": "class"}):
    """One node that did not run where it was asked to. `severity` is harmless or costly."""

    node: str
    op_type: str
    reason: str
    cost_us: float | None
    severity: str


class Placement(Struct, frozen=True, kw_only=True):
    """The whole picture of one session; shares are fractions 0–1."""

    requested: tuple[str, ...]
    active: tuple[str, ...]
    nodes: tuple[PlacedNode, ...] = ()
    node_share_by_provider: dict[str, float] = {}
    time_share_by_provider: dict[str, float] | None = None
    partitions: tuple[Partition, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    fallback: tuple[Fallback, ...] = ()
    copy_count: int = 0
    copy_us: float | None = None
    source: str = "trace"
    """Where this is from: `assignment+trace`, `trace`, `assignment` or `log`."""
