"""Which node of one recording does the work of which node of another.

In this order: same scope, name and operator; same name and kind of operator once ONNX Runtime's
decorations are taken away; what is left between two such pairs by operator and shapes, in the
order of execution. The last step aligns sequences, so a surplus node on one side shifts nobody.

A name alone proves nothing: a fused Conv is called after the Relu that it swallowed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from msgspec import Struct

from ortlab.analysis.comparing.compare_align import MAX_CELLS, aligned
from ortlab.analysis.comparing.compare_names import Names, is_positional, names
from ortlab.domain.compare import Match
from ortlab.domain.trace import NodeRow


class Pair(Struct, frozen=True):
    """Positions in the two lists, and what the pair was found by."""

    base: int
    other: int
    match: Match


class Place(Struct, frozen=True):
    """What stands between two pairs that follow each other on both sides."""

    anchor: Pair | None
    """The pair before it; None at the beginning."""
    removed: tuple[int, ...]
    added: tuple[int, ...]


class Matching(Struct, frozen=True):
    """Pairs in order of `base`, and the unmatched nodes between them."""

    pairs: tuple[Pair, ...]
    places: tuple[Place, ...]


def match(base: Sequence[NodeRow], other: Sequence[NodeRow]) -> Matching:
    """The pairs of two lists of nodes, each in order of execution."""
    search = _Search(base, other)
    search.by_key(search.name_key, "name")
    search.by_key(search.canonical_key, "canonical name")
    for place in _places(search.pairs, len(base), len(other)):
        search.align(place)
    pairs = tuple(sorted(search.pairs, key=lambda pair: pair.base))
    return Matching(pairs, tuple(_places(pairs, len(base), len(other))))


class _Search:
    """The state of one matching: what is found, and what is still free on both sides."""

    def __init__(self, base: Sequence[NodeRow], other: Sequence[NodeRow]) -> None:
        self._rows = (base, other)
        self._names: tuple[list[Names], list[Names]] = (
            [names(row) for row in base], [names(row) for row in other]
        )  # fmt: skip
        self._free: tuple[set[int], set[int]] = (set(range(len(base))), set(range(len(other))))
        self.pairs: list[Pair] = []
        self._indexes_are_names = self._index_loses_nobody()

    def by_key(self, key: Callable[[int, int], Hashable | None], found_by: Match) -> None:
        """Pair free nodes with equal keys; `key` takes side and position, None is never equal."""
        groups: list[dict[Hashable, list[int]]] = [defaultdict(list), defaultdict(list)]
        for side in (0, 1):
            for i in sorted(self._free[side]):
                made = key(side, i)
                if made is not None:
                    groups[side][made].append(i)
        for made, mine in groups[0].items():
            for a, b in self._one_to_one(mine, groups[1].get(made, [])):
                self._take(Pair(a, b, found_by))

    def name_key(self, side: int, i: int) -> Hashable | None:
        """Scope, name and operator as they are."""
        row = self._rows[side][i]
        if is_positional(row):
            return _index_key(row) if self._indexes_are_names else None
        return (row.scope, row.name, row.op_type) if self._names[side][i].name else None

    def canonical_key(self, side: int, i: int) -> Hashable | None:
        """Scope, name and operator without decorations."""
        made = self._names[side][i]
        return (made.scope, made.name, made.family) if made.name else None

    def align(self, place: Place) -> None:
        """Pair what is free between two anchors by operator, shapes and order."""
        mine = [i for i in place.removed if i in self._free[0]]
        theirs = [i for i in place.added if i in self._free[1]]
        if not mine or not theirs:
            return
        if len(mine) * len(theirs) > MAX_CELLS:
            self._by_occurrence(mine, theirs)
            return
        for a, b in aligned(self._nodes(0, mine), self._nodes(1, theirs)):
            self._take(Pair(mine[a], theirs[b], self._found_by(mine[a], theirs[b])))

    def _index_loses_nobody(self) -> bool:
        """Whether `Conv_12` means the same node on both sides.

        A node without a name is called by its index in the graph, which another model, or
        another export of this one, gives to another node. There the order finds more pairs.
        """
        sides = [[i for i, row in enumerate(rows) if is_positional(row)] for rows in self._rows]
        keys = [{_index_key(self._rows[side][i]) for i in sides[side]} for side in (0, 1)]
        common = len((keys[0] & keys[1]) - {None})
        if not common or len(sides[0]) * len(sides[1]) > MAX_CELLS:
            return bool(common)
        return common >= len(aligned(self._nodes(0, sides[0]), self._nodes(1, sides[1])))

    def _nodes(self, side: int, numbers: list[int]) -> list[tuple[Names, NodeRow]]:
        return [(self._names[side][i], self._rows[side][i]) for i in numbers]

    def _one_to_one(self, mine: list[int], theirs: list[int]) -> Iterable[tuple[int, int]]:
        """Equal keys as pairs: the only one, else by provider, else k-th with k-th."""
        if len(mine) == len(theirs):
            return list(zip(mine, theirs, strict=True))
        by_provider = {self._rows[1][b].provider: b for b in theirs}
        found = [(a, by_provider.get(self._rows[0][a].provider)) for a in mine]
        pairs = [(a, b) for a, b in found if b is not None]
        # Several on one provider cannot be told apart by it.
        return pairs if len({b for _, b in pairs}) == len(pairs) else []

    def _take(self, pair: Pair) -> None:
        self._free[0].discard(pair.base)
        self._free[1].discard(pair.other)
        self.pairs.append(pair)

    def _found_by(self, a: int, b: int) -> Match:
        told = self._names[0][a].first_output is not None
        return "op and shapes" if told and self._names[1][b].first_output else "op and order"

    def _by_occurrence(self, mine: list[int], theirs: list[int]) -> None:
        """For stretches too long to align: the k-th with the k-th, where both have as many."""
        keys: tuple[dict[Hashable, list[int]], ...] = (defaultdict(list), defaultdict(list))
        for side, numbers in enumerate((mine, theirs)):
            for i in numbers:
                made = self._names[side][i]
                keys[side][made.scope, made.family, made.first_output].append(i)
        for key, left in keys[0].items():
            right = keys[1].get(key, [])
            if len(left) == len(right):
                for a, b in zip(left, right, strict=True):
                    self._take(Pair(a, b, self._found_by(a, b)))


def _index_key(row: NodeRow) -> Hashable | None:
    """What makes two nodes that are called by their index the same."""
    return (row.scope, row.name, row.input_shapes, row.output_shapes) if row.name else None


def _places(pairs: Sequence[Pair], base_count: int, other_count: int) -> Iterable[Place]:
    """The unmatched nodes before, between and after the pairs that keep their order."""
    anchors = [None, *_in_order(pairs)]
    taken = ({p.base for p in pairs}, {p.other for p in pairs})
    for k, anchor in enumerate(anchors):
        after = anchors[k + 1] if k + 1 < len(anchors) else None
        from_base, from_other = (anchor.base + 1, anchor.other + 1) if anchor else (0, 0)
        to_base, to_other = (after.base, after.other) if after else (base_count, other_count)
        removed = tuple(i for i in range(from_base, to_base) if i not in taken[0])
        added = tuple(i for i in range(from_other, to_other) if i not in taken[1])
        if removed or added:
            yield Place(anchor, removed, added)


def _in_order(pairs: Sequence[Pair]) -> list[Pair]:
    """The longest run of pairs whose order is the same on both sides."""
    ordered = sorted(pairs, key=lambda pair: pair.base)
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for number, pair in enumerate(ordered):
        at = bisect_left(ends, pair.other)
        before.append(last[at - 1] if at else -1)
        if at == len(ends):
            ends.append(pair.other)
            last.append(number)
        else:
            ends[at], last[at] = pair.other, number
    chain = []
    number = last[-1] if last else -1
    while number >= 0:
        chain.append(ordered[number])
        number = before[number]
    return chain[::-1]
