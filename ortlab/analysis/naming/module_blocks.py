"""A module and what is in it as blocks of a picture, few enough to be drawn at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from msgspec import Struct

from ortlab.analysis.naming.modules import Module, ModuleTree, Path, leaf, members
from ortlab.domain.trace import NodeRow, Profile

# More cannot be told apart on a screen, and the browser needs longer than a click may take.
MAX_BLOCKS = 300
# Thinner blocks than this part of the picture are under four pixels.
MIN_WIDTH_SHARE = 0.004


class Block(Struct, frozen=True, kw_only=True):
    """One block. Times are sums over all runs, from the left edge of the picture."""

    label: str
    path: Path
    """Of the module that it is, or that the node or the rest lies in."""
    node: int | None = None
    """`NodeRow.order` of a node's block."""
    kind: str = "module"
    """`module`, `node`, or `rest` for what is too small to be shown by itself."""
    depth: int = 0
    start_us: int = 0
    width_us: int = 0
    share: float = 0.0
    """Of the whole model, not of the picture."""
    node_count: int = 1
    calls: int = 0
    op_type: str = ""
    provider: str = ""
    """Of all its nodes; empty where they ran on several."""
    doubt: str | None = None
    """Why most of its time is to be shown greyed; see `NodeRow.doubt`."""


class _Item(NamedTuple):
    """What lies in a module: a module, or a node."""

    order: int
    width_us: int
    module: Module | None
    node: NodeRow | None


def blocks(
    found: ModuleTree, profile: Profile, module: Module, *, limit: int = MAX_BLOCKS
) -> tuple[Block, ...]:
    """A module on top, below it what it is made of: modules in the order of execution.

    Widths are times, so the blocks below one are together as wide as it is. The widest are
    opened first until `limit` is reached; what is thin is one block at the end of its module.
    """
    layout = _Layout(found, {n.order: n for n in profile.nodes}, module)
    # The widest module first; the count keeps modules of one width apart.
    waiting = [(-module.total_us, 0, module, 0, 0)]
    shown = [layout.of_module(module, depth=0, start_us=0)]
    while waiting:
        _, _, here, depth, start_us = heappop(waiting)
        inner = layout.inside(here, room=limit - len(shown))
        for item, rest in inner:
            if item.module is not None:
                block = layout.of_module(item.module, depth=depth + 1, start_us=start_us)
                heappush(waiting, (-item.width_us, len(shown), item.module, depth + 1, start_us))
            elif item.node is not None:
                block = layout.of_node(item.node, depth=depth + 1, start_us=start_us)
            else:
                block = layout.of_rest(here, rest, depth=depth + 1, start_us=start_us)
            shown.append(block)
            start_us += block.width_us
    return tuple(shown)


def holding(shown: Sequence[Block], found: ModuleTree, order: int | None) -> int | None:
    """Position of the block of a node, or of the smallest block that it is part of.

    None without such a node, or where only the whole picture holds it.
    """
    path = found.path_of.get(order) if order is not None else None
    if path is None:
        return None
    best, fit = None, (0, 0)
    for at, block in enumerate(shown[1:], start=1):
        if block.node is not None:
            fits = (2, 0) if block.node == order else (0, 0)
        else:
            inside = path[: len(block.path)] == block.path
            # A module is smaller than the rest of the one around it.
            fits = (1, 2 * len(block.path) + (block.kind == "rest")) if inside else (0, 0)
        if fits > fit:
            best, fit = at, fits
    return best


class _Layout:
    """What the blocks of one picture have in common."""

    def __init__(self, found: ModuleTree, nodes: Mapping[int, NodeRow], module: Module) -> None:
        self.nodes = nodes
        self.path_of, self.us_of = found.path_of, found.us_of
        self.whole_us = max(1, found.root.total_us)
        self.least_us = MIN_WIDTH_SHARE * module.total_us
        # Only modules have an order of their own; operators stand by cost.
        self.by_cost = found.grouped_by == "operator"
        self.first: dict[Path, int] = {}
        self.providers: dict[Path, str] = {}
        self.doubts: dict[Path, str | None] = {}
        self._learn(module)

    def _learn(self, module: Module) -> tuple[int, set[str], Counter[str]]:
        """Note of each module its first node, its provider and what most of its time is."""
        orders = list(module.nodes)
        providers = {self.nodes[order].provider for order in orders}
        doubtful: Counter[str] = Counter()
        for order in orders:
            doubtful[self.nodes[order].doubt or ""] += self.us_of[order]
        for inner in module.children:
            first, theirs, times = self._learn(inner)
            orders.append(first)
            providers |= theirs
            doubtful.update(times)
        self.first[module.path] = min(orders, default=0)
        self.providers[module.path] = next(iter(providers)) if len(providers) == 1 else ""
        self.doubts[module.path] = _most(doubtful)
        return self.first[module.path], providers, doubtful

    def inside(self, module: Module, *, room: int) -> list[tuple[_Item, list[_Item]]]:
        """What is shown of a module: items by order, last the rest with what it stands for."""
        items = [
            *(_Item(self.first[m.path], m.total_us, m, None) for m in module.children),
            *(_Item(o, self.us_of[o], None, self.nodes[o]) for o in module.nodes),
        ]
        items = sorted((i for i in items if i.width_us > 0), key=lambda i: (-i.width_us, i.order))
        wide = [i for i in items if i.width_us >= self.least_us]
        thin = items[len(wide) :]
        if len(wide) + bool(thin) > room:
            # One block more than there is room for, so that no width is lost.
            kept = max(0, room - 1)
            wide, thin = items[:kept], items[kept:]
        if len(thin) == 1 and room > len(wide):
            wide, thin = [*wide, *thin], []
        if not self.by_cost:
            wide.sort(key=lambda i: i.order)
        shown: list[tuple[_Item, list[_Item]]] = [(i, []) for i in wide]
        if thin and room > 0:
            shown.append((_Item(0, 0, None, None), thin))
        return shown

    def of_module(self, module: Module, *, depth: int, start_us: int) -> Block:
        return Block(
            label=module.name or "whole model", path=module.path, depth=depth, start_us=start_us,
            width_us=module.total_us, share=module.total_us / self.whole_us,
            node_count=module.node_count, calls=module.calls,
            provider=self.providers[module.path], doubt=self.doubts[module.path],
        )  # fmt: skip

    def of_node(self, node: NodeRow, *, depth: int, start_us: int) -> Block:
        width_us = self.us_of[node.order]
        return Block(
            label=leaf(node.name) or node.op_type or "unnamed", kind="node", node=node.order,
            path=self.path_of[node.order], depth=depth, start_us=start_us, width_us=width_us,
            share=width_us / self.whole_us, calls=node.calls, op_type=node.op_type,
            provider=node.provider, doubt=node.doubt,
        )  # fmt: skip

    def of_rest(self, module: Module, rest: list[_Item], *, depth: int, start_us: int) -> Block:
        width_us = sum(item.width_us for item in rest)
        return Block(
            label=f"{len(rest):,} more", kind="rest", path=module.path, depth=depth,
            start_us=start_us, width_us=width_us, share=width_us / self.whole_us,
            node_count=sum(len(list(members(i.module))) if i.module else 1 for i in rest),
            calls=sum(i.module.calls if i.module else i.node.calls if i.node else 0 for i in rest),
            provider=self.providers[module.path], doubt=self.doubts[module.path],
        )  # fmt: skip


def _most(times: Counter[str]) -> str | None:
    """The doubt on more than half of the time, if there is one."""
    doubts = {doubt: us for doubt, us in times.items() if doubt}
    if not doubts or sum(doubts.values()) <= times.total() / 2:
        return None
    return max(doubts, key=doubts.__getitem__)
