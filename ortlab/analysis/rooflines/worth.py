"""Which nodes are worth optimizing: what each would gain at its bound, alone and with its like."""

from __future__ import annotations

from collections.abc import Sequence

from ortlab.domain import units
from ortlab.domain.roofline import NodeRoof, Worth
from ortlab.domain.trace import NodeRow

# Below this part of the node time a gain is not worth a sentence.
LEAST_SHARE = 0.001
MAX_ROWS = 50


def worth(nodes: Sequence[NodeRoof]) -> tuple[Worth, ...]:
    """The nodes with the largest gains, a sentence each."""
    return _rows([[node] for node in nodes])


def alike(nodes: Sequence[NodeRoof], rows: Sequence[NodeRow]) -> tuple[Worth, ...]:
    """The largest gains with like nodes together: a model repeats its layers."""
    shapes = {row.order: (row.input_shapes, row.output_shapes) for row in rows}
    groups: dict[object, list[NodeRoof]] = {}
    for node in nodes:
        key = (node.op_type, node.provider, node.bound, node.kind, node.level, shapes[node.order])
        groups.setdefault(key, []).append(node)
    return _rows(list(groups.values()))


def _rows(groups: Sequence[list[NodeRoof]]) -> tuple[Worth, ...]:
    found = [_row(group) for group in groups]
    found = [row for row in found if row.gain_share >= LEAST_SHARE]
    return tuple(sorted(found, key=lambda row: (-row.gain_us, row.order))[:MAX_ROWS])


def _row(group: Sequence[NodeRoof]) -> Worth:
    first = max(group, key=lambda node: (node.gain_us, -node.order))
    time_us = sum(node.time_us for node in group)
    bound_us = sum(node.bound_us or 0.0 for node in group)
    gain_us = sum(node.gain_us for node in group)
    gain_share = sum(node.gain_share for node in group)
    return Worth(
        order=first.order,
        name=first.name,
        op_type=first.op_type,
        bound=first.bound,
        reached_share=bound_us / time_us if time_us else 0.0,
        gain_us=gain_us,
        gain_share=gain_share,
        node_count=len(group),
        sentence=_sentence(
            first, count=len(group), time_us=time_us, bound_us=bound_us,
            gain=f"{units.time(gain_us)} ({units.share(gain_share)} of the node time) shorter",
        ),
    )  # fmt: skip


def _sentence(node: NodeRoof, *, count: int, time_us: float, bound_us: float, gain: str) -> str:
    named = f"{node.op_type} {node.name}" if node.name else f"An unnamed {node.op_type}"
    several = count > 1
    if several:
        named += f" and {units.count(count - 1)} alike"
    if node.bound == "dispatch":
        return (
            f"{named} {'have' if several else 'has'} almost nothing to do: "
            f"{'they take' if several else 'it takes'} {units.time(time_us)} where "
            f"{units.time(bound_us)} would do; the run would then be {gain}."
        )
    roof = f"{node.kind or 'compute'} roof"
    if node.bound == "memory":
        roof = "roof of main memory" if node.level in (None, "memory") else f"{node.level} roof"
    reached = units.share(bound_us / time_us if time_us else None)
    return (
        f"{named} {'reach' if several else 'reaches'} {reached} of the {roof}; at the roof the "
        f"run would be {gain}."
    )
