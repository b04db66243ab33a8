"""Two profiles held against each other: node by node, and what their differences add up to.

Times that add up are what a node itself takes in a middling run, so that the node time of one
profile plus all differences is that of the other. Verdicts rest on medians and intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict

from ortlab.analysis.comparing import compare_doubts, compare_places
from ortlab.analysis.comparing.compare_match import Matching, match
from ortlab.analysis.comparing.compare_names import operator_name
from ortlab.analysis.comparing.compare_paths import Scopes, paths
from ortlab.analysis.comparing.compare_verdicts import (
    UNKNOWN,
    Judged,
    Spread,
    floor_share,
    judge,
    node_floor_share,
    spread,
)
from ortlab.analysis.naming import modules
from ortlab.domain.compare import (
    NOT_WORK,
    Difference,
    LoneNode,
    ModuleChange,
    NodeChange,
    OperatorChange,
    Origin,
    ProviderChange,
    RunChange,
    Shift,
    Side,
    TimeKind,
)
from ortlab.domain.trace import NodeRow, Profile

# Below this a step of the clock alone is a fifth, which would blur what all nodes share.
_SHIFT_MIN_US = 5.0
_SHIFT_MIN_NODES = 5
# Fewer runs have no quartiles to speak of, but a median.
_FEW_RUNS = 6


def compare(
    base: Profile,
    other: Profile,
    *,
    origins: tuple[Origin, Origin] = (Origin(), Origin()),
    scopes: tuple[Scopes, Scopes] = ({}, {}),
) -> Difference:
    """What differs between two profiles, best made with warm-up runs left out of both.

    Args:
        base: what the comparison starts from.
        other: what it is held against; ratios above 1 say that it is faster.
        origins: where each was recorded, as far as it is known.
        scopes: module of each node or tensor name, where the file of the model tells it.
    """
    sides = (_Recording(base, origins[0]), _Recording(other, origins[1]))
    found = match(sides[0].rows, sides[1].rows)
    floor = node_floor_share(sides[0].rows, sides[1].rows)
    shift = _shift(found, sides)
    trees = (modules.tree(base, scopes[0]), modules.tree(other, scopes[1]))
    where = paths(trees, found, (sides[0].rows, sides[1].rows))
    nodes = tuple(
        _node(sides, pair.base, pair.other, found_by=pair.match, floor=floor, shift=shift,
              path=where.of_base[pair.base])
        for pair in found.pairs
    )  # fmt: skip
    taken = ({p.base for p in found.pairs}, {p.other for p in found.pairs})
    removed = _lone(sides[0], taken[0], where.of_base)
    added = _lone(sides[1], taken[1], where.of_other)
    parts = _Parts(nodes, removed, added)
    made = Difference(
        base=sides[0].side(),
        other=sides[1].side(),
        run=_run_change(sides),
        unprofiled=_unprofiled(base, other),
        nodes=tuple(sorted(nodes, key=lambda node: -abs(node.delta_us))),
        removed=tuple(sorted(removed, key=lambda node: -node.us)),
        added=tuple(sorted(added, key=lambda node: -node.us)),
        groups=compare_places.groups(found, sides[0].times(), sides[1].times()),
        operators=parts.operators(),
        providers=parts.providers(),
        modules=parts.modules(),
        shift=shift,
        floor_share=floor,
    )
    return compare_doubts.with_caveats(made, base, other)


def trimean(low: float, middle: float, high: float) -> float:
    """Tukey's trimean: as robust as the median, and not bound to the clock's whole µs."""
    return (low + 2 * middle + high) / 4


def _run_change(sides: tuple[_Recording, _Recording]) -> RunChange:
    base, other = sides[0].spread, sides[1].spread
    judged = judge(base, other, floor=floor_share(sides[0].durations, sides[1].durations))
    return RunChange(
        basis="profiled runs", base_us=base.p50_us, other_us=other.p50_us, **judged._asdict()
    )


class _Recording:
    """One profile with its nodes in order of execution, and the figures of its runs."""

    def __init__(self, profile: Profile, origin: Origin) -> None:
        self.profile, self.origin = profile, origin
        self.rows = sorted(profile.nodes, key=lambda row: row.order)
        self.durations = [
            run.duration_us for run in profile.runs if not (profile.steady_only and run.warmup)
        ]
        self.spread = spread(self.durations)
        self.runs = max(1, profile.counted_runs or len(self.durations))
        self._around_launches = _around(row.scope for row in self.rows if self._launches(row))

    def times(self) -> compare_places.Times:
        """Names and own times per run, for what stands together."""
        return compare_places.Times(self.rows, [self.us(row) for row in self.rows])

    def us(self, row: NodeRow) -> float:
        """Own time of a node in a middling run; a node that a run may skip counts in part.

        Where the file has device time, that is the node's own.
        """
        if self.time_kind(row) == "device":
            return (row.device_us or 0) / self.runs
        if not self.durations or not row.run_count or row.self_p50_us is None:
            return row.self_us / self.runs
        took_part = row.run_count / self.runs
        spread_known = row.p25_us is not None and row.p75_us is not None
        if row.run_count < _FEW_RUNS or row.self_us != row.total_us or not spread_known:
            return took_part * row.self_p50_us
        return took_part * trimean(row.p25_us or 0.0, row.p50_us, row.p75_us or 0.0)

    def time_kind(self, row: NodeRow) -> TimeKind:
        """What the time of a node is; a loop around launches holds them, and waits for them."""
        if "/".join(filter(None, (row.scope, row.name))) in self._around_launches:
            return "wait"
        if row.time_kind in NOT_WORK or not self._launches(row):
            return cast(TimeKind, row.time_kind)
        return "launch" if row.device_us is None else "device"

    def _launches(self, row: NodeRow) -> bool:
        return row.provider in self.profile.async_providers

    def _run_us(self) -> float | None:
        """A middling run, told in the way of its nodes."""
        if len(self.durations) < _FEW_RUNS:
            return self.spread.p50_us
        low, middle, high = np.percentile(self.durations, (25, 50, 75))
        return float(trimean(low, middle, high))

    def side(self) -> Side:
        """What a reader is told of this recording."""
        p, durations = self.profile, self.durations
        node_us = math.fsum(self.us(row) for row in self.rows)
        run_us = self._run_us()
        return Side(
            **(asdict(self.origin) | {"label": self.origin.label or p.source}),
            source=p.source,
            format_version=p.ort_version,
            run_count=len(durations),
            warmup_count=sum(run.warmup for run in p.runs),
            run_p50_us=self.spread.p50_us,
            run_ci95_us=self.spread.ci95_us,
            run_mean_us=sum(durations) / len(durations) if durations else None,
            node_us=node_us,
            between_us=None if run_us is None else run_us - node_us,
            node_count=len(self.rows),
            grade=p.trust.grade,
            unprofiled_p50_us=p.twin_p50_us,
            providers=tuple(row.provider for row in p.providers),
            async_providers=p.async_providers,
            copy_count=p.copies.count,
            copy_us=p.copies.total_us / self.runs,
            load_us=p.session.load_us,
            init_us=p.session.init_us,
        )


def _around(scopes: Iterable[str]) -> set[str]:
    """Every scope, and those around it; names hold the mark between scopes too."""
    found: set[str] = set()
    for scope in set(scopes):
        parts = scope.split("/")
        found.update("/".join(parts[: i + 1]) for i in range(len(parts)))
    return found


def _shift(found: Matching, sides: tuple[_Recording, _Recording]) -> Shift | None:
    """What all matched nodes have in common; None where too few are long enough to tell."""
    logs = []
    for pair in found.pairs:
        base, other = sides[0].rows[pair.base], sides[1].rows[pair.other]
        hosts = sides[0].time_kind(base) == sides[1].time_kind(other) == "host"
        if hosts and min(base.p50_us, other.p50_us) >= _SHIFT_MIN_US:
            logs.append(math.log(base.p50_us / other.p50_us))
    if len(logs) < _SHIFT_MIN_NODES:
        return None
    return Shift(ratio=math.exp(float(np.median(logs))), node_count=len(logs))


def _node(
    sides: tuple[_Recording, _Recording],
    at_base: int,
    at_other: int,
    *,
    path: tuple[str, ...],
    shift: Shift | None,
    floor: float,
    found_by: Any,
) -> NodeChange:
    base, other = sides[0].rows[at_base], sides[1].rows[at_other]
    kind = _common_kind(sides[0].time_kind(base), sides[1].time_kind(other), base, other)
    judged = _judged(base, other, kind, floor=floor, shift=shift.ratio if shift else None)
    base_us, other_us = sides[0].us(base), sides[1].us(other)
    return NodeChange(
        name=base.name,
        other_name=other.name,
        op_type=base.op_type,
        other_op_type=other.op_type,
        provider=base.provider,
        other_provider=other.provider,
        scope=base.scope,
        match=found_by,
        time_kind=kind,
        base_us=base_us,
        other_us=other_us,
        delta_us=other_us - base_us,
        base_p50_us=base.p50_us,
        other_p50_us=other.p50_us,
        base_p25_us=base.p25_us,
        base_p75_us=base.p75_us,
        other_p25_us=other.p25_us,
        other_p75_us=other.p75_us,
        shift_adjusted_ratio=judged.ratio / shift.ratio
        if judged.ratio and shift and kind == "host" else None,
        base_device_us=_per_run(base.device_us, sides[0]),
        other_device_us=_per_run(other.device_us, sides[1]),
        input_shapes=base.input_shapes,
        output_shapes=base.output_shapes,
        path=path,
        order=base.order,
        other_order=other.order,
        **judged._asdict(),
    )  # fmt: skip


def _common_kind(base: TimeKind, other: TimeKind, first: NodeRow, second: NodeRow) -> TimeKind:
    """What can be compared of two nodes: host times, else device times, else nothing."""
    if base == other == "host":
        return "host"
    if None not in (first.device_us, second.device_us):
        return "device"
    return "wait" if "wait" in (base, other) else "launch"


def _judged(
    base: NodeRow, other: NodeRow, kind: TimeKind, *, floor: float, shift: float | None
) -> Judged:
    if kind in NOT_WORK:
        return UNKNOWN
    if kind == "device":
        # A profile keeps no spread of device times: a ratio, and no verdict.
        return judge(Spread(base.device_p50_us), Spread(other.device_p50_us), floor=floor)
    return judge(_spread_of(base), _spread_of(other), floor=floor, shift=shift)


def _spread_of(row: NodeRow) -> Spread:
    return Spread(row.p50_us, row.ci95_us, row.run_count, row.min_us, row.max_us)


def _per_run(us: float | None, side: _Recording) -> float | None:
    return None if us is None else us / side.runs


def _lone(side: _Recording, taken: set[int], where: Sequence[tuple[str, ...]]) -> list[LoneNode]:
    """The nodes that the other profile has not."""
    return [
        LoneNode(
            name=row.name,
            op_type=row.op_type,
            provider=row.provider,
            scope=row.scope,
            us=side.us(row),
            p50_us=row.p50_us,
            time_kind=side.time_kind(row),
            input_shapes=row.input_shapes,
            output_shapes=row.output_shapes,
            path=where[i],
            order=row.order,
        )
        for i, row in enumerate(side.rows)
        if i not in taken
    ]


def _unprofiled(base: Profile, other: Profile) -> RunChange | None:
    """Latency without the profiler, where both were measured so."""
    if not base.twin_p50_us or not other.twin_p50_us:
        return None
    return RunChange(
        basis="measured latency",
        base_us=base.twin_p50_us,
        other_us=other.twin_p50_us,
        ratio=base.twin_p50_us / other.twin_p50_us,
    )


class _Half(NamedTuple):
    """One node on one side, as sums need it."""

    op_type: str
    provider: str
    module: tuple[str, ...]
    us: float
    kind: TimeKind
    side: int


class _Sum(Struct):
    """Both sides of one sum."""

    us: tuple[list[float], list[float]]
    kinds: set[TimeKind]

    def times(self) -> dict[str, float]:
        """Both sums, and what lies between them."""
        base, other = (math.fsum(side) for side in self.us)
        return {"base_us": base, "other_us": other, "delta_us": other - base}

    def fields(self) -> dict[str, Any]:
        """The same with the nodes counted, and what the time is."""
        kind = next((k for k in ("launch", "wait", "device") if k in self.kinds), "host")
        counts = {"base_node_count": len(self.us[0]), "other_node_count": len(self.us[1])}
        return self.times() | counts | {"time_kind": kind}


class _Parts:
    """Every node of both profiles once, to be summed by whatever they have in common."""

    def __init__(
        self, nodes: Iterable[NodeChange], removed: list[LoneNode], added: list[LoneNode]
    ) -> None:
        self._halves: list[_Half] = []
        for n in nodes:
            module = n.path[:-1]
            base = _Half(n.op_type, n.provider, module, n.base_us, n.time_kind, 0)
            other = _Half(n.other_op_type, n.other_provider, module, n.other_us, n.time_kind, 1)
            self._halves += [base, other]
        for side, lone in enumerate((removed, added)):
            self._halves += [
                _Half(n.op_type, n.provider, n.path[:-1], n.us, n.time_kind, side) for n in lone
            ]

    def operators(self) -> tuple[OperatorChange, ...]:
        """By operator, the largest change first."""
        sums = self._by(lambda half: operator_name(half.op_type))
        return _ordered([OperatorChange(op_type=op, **s.fields()) for op, s in sums])

    def providers(self) -> tuple[ProviderChange, ...]:
        """By provider, the largest change first."""
        sums = self._by(lambda half: half.provider)
        return _ordered([ProviderChange(provider=p, **s.fields()) for p, s in sums])

    def modules(self) -> tuple[ModuleChange, ...]:
        """By the module that a node lies in directly, the largest change first."""
        sums = self._by(lambda half: half.module)
        return _ordered([ModuleChange(path=path, **s.times()) for path, s in sums])

    def _by(self, key: Callable[[_Half], Hashable]) -> Iterable[tuple[Any, _Sum]]:
        sums: dict[Hashable, _Sum] = {}
        for half in self._halves:
            found = sums.setdefault(key(half), _Sum(([], []), set()))
            found.us[half.side].append(half.us)
            found.kinds.add(half.kind)
        return sums.items()


def _ordered(rows: list[Any]) -> tuple[Any, ...]:
    return tuple(sorted(rows, key=lambda row: -abs(row.delta_us)))
