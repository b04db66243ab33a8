"""A comparison as blocks of a picture: modules down to nodes, as wide as the slower side."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from msgspec import Struct

from ortlab.analysis.comparing import compare_text
from ortlab.domain.compare import NOT_WORK, Difference, LoneNode, NodeChange

# More cannot be told apart on a screen, and the browser needs longer than a click may take.
MAX_BLOCKS = 240
# Thinner blocks than this part of the picture are under four pixels.
MIN_WIDTH_SHARE = 0.004

Path = tuple[str, ...]


class Block(Struct, frozen=True, kw_only=True):
    """One block; times are per run, from the left edge of the picture."""

    label: str
    path: Path
    kind: str
    """`module`, `both`, `added`, `removed`, or `rest` for what is too small to be shown."""
    depth: int
    start_us: float
    width_us: float
    base_us: float
    other_us: float
    node_count: int = 1
    launches: bool = False
    """Whether most of its time is of launches and waiting, which tells nothing of the work."""
    order: int | None = None
    """`NodeRow.order` of a node's block: in `base`, or in `other` where it was added."""

    @property
    def delta_us(self) -> float:
        """Other minus base: below zero is time saved."""
        return self.other_us - self.base_us


class _Part(Struct):
    """A module or a node while the tree grows."""

    label: str
    path: Path
    kind: str
    first: float
    base_us: float = 0.0
    other_us: float = 0.0
    width_us: float = 0.0
    node_count: int = 0
    launch_us: float = 0.0
    order: int | None = None
    inner: list[_Part] = []

    def add(self, leaf: _Part) -> None:
        """Count a node below this module."""
        self.first = min(self.first, leaf.first)
        self.base_us += leaf.base_us
        self.other_us += leaf.other_us
        self.width_us += leaf.width_us
        self.node_count += leaf.node_count
        self.launch_us += leaf.launch_us

    def block(self, *, start_us: float, depth: int) -> Block:
        """What is drawn of it."""
        return Block(
            label=self.label,
            path=self.path,
            kind=self.kind,
            depth=depth,
            start_us=start_us,
            width_us=self.width_us,
            base_us=self.base_us,
            other_us=self.other_us,
            node_count=self.node_count,
            launches=2 * self.launch_us > self.width_us,
            order=self.order,
        )


class _Open(NamedTuple):
    """A module whose inside is still to be drawn; the widest comes first."""

    minus_width: float
    number: int
    part: _Part
    start_us: float
    depth: int


def blocks(found: Difference, *, limit: int = MAX_BLOCKS) -> tuple[Block, ...]:
    """The whole on top, below it what it is made of, in the order of execution.

    A node is as wide as its time on the slower side, a module as wide as its nodes together.
    """
    root = _tree(_leaves(found))
    if not root.width_us:
        return ()
    made = [root.block(start_us=0.0, depth=0)]
    waiting = [_Open(-root.width_us, 0, root, 0.0, 0)]
    while waiting:
        here = heappop(waiting)
        shown = _shown(here.part, least_us=MIN_WIDTH_SHARE * root.width_us)
        if len(made) + len(shown) > limit:
            continue
        start_us = here.start_us
        for part in shown:
            made.append(part.block(start_us=start_us, depth=here.depth + 1))
            if part.inner:
                number = len(made)
                heappush(waiting, _Open(-part.width_us, number, part, start_us, here.depth + 1))
            start_us += part.width_us
    return tuple(made)


def _leaves(found: Difference) -> Iterator[_Part]:
    for node in found.nodes:
        width_us = max(node.base_us, node.other_us)
        yield _Part(
            label=compare_text.name(node),
            path=node.path,
            kind="both",
            first=node.order,
            base_us=node.base_us,
            other_us=node.other_us,
            width_us=width_us,
            node_count=1,
            launch_us=width_us * (node.time_kind in NOT_WORK),
            order=node.order,
        )
    for lone in found.removed:
        yield _lone(lone, "removed", lone.order)
    place = _Places(found.nodes)
    for lone in found.added:
        yield _lone(lone, "added", place.of(lone.order))


class _Places:
    """Where an added node would stand among the nodes of `base`."""

    def __init__(self, nodes: Iterable[NodeChange]) -> None:
        pairs = sorted((node.other_order, node.order) for node in nodes)
        self._other = [other for other, _ in pairs]
        self._base = [base for _, base in pairs]

    def of(self, order: int) -> float:
        """After the node that is run before it."""
        at = bisect_right(self._other, order)
        return self._base[at - 1] + 0.5 if at else -0.5


def _lone(node: LoneNode, kind: str, first: float) -> _Part:
    return _Part(
        label=node.name or f"unnamed {node.op_type}",
        path=node.path,
        kind=kind,
        first=first,
        base_us=node.us if kind == "removed" else 0.0,
        other_us=node.us if kind == "added" else 0.0,
        width_us=node.us,
        node_count=1,
        launch_us=node.us * (node.time_kind in NOT_WORK),
        order=node.order,
    )


def _tree(leaves: Iterable[_Part]) -> _Part:
    modules: dict[Path, _Part] = {}

    def module(path: Path) -> _Part:
        if path not in modules:
            label = path[-1] if path else "all nodes"
            made = _Part(label, path, "module", float("inf"), inner=[])
            modules[path] = made
            if path:
                module(path[:-1]).inner.append(made)
        return modules[path]

    root = module(())
    for leaf in leaves:
        around = leaf.path[:-1]
        module(around).inner.append(leaf)
        for depth in range(len(around) + 1):
            modules[around[:depth]].add(leaf)
    return root


def _shown(part: _Part, *, least_us: float) -> list[_Part]:
    """What is inside a module in order, and one block for all that is too thin."""
    inside = sorted(part.inner, key=lambda p: p.first)
    wide = [p for p in inside if p.width_us >= least_us]
    thin = [p for p in inside if p.width_us < least_us]
    if not thin:
        return wide
    rest = _Part("", part.path, "rest", thin[0].first)
    for member in thin:
        rest.add(member)
    rest.label = f"{rest.node_count} more"
    return [*wide, rest] if rest.width_us else wide
