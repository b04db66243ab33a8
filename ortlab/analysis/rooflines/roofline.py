"""Each node of a profile against the roofs of this machine, and what would be gained at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ortlab.analysis.rooflines import node_work
from ortlab.analysis.rooflines.node_work import Tensor, Work
from ortlab.analysis.rooflines.worth import alike, worth
from ortlab.catalog import flops as catalog
from ortlab.domain import units
from ortlab.domain.roofline import (
    BOUNDS,
    Bound,
    BoundRow,
    MemoryRoof,
    NodeRoof,
    Peaks,
    RooflineReport,
)
from ortlab.domain.trace import NodeRow, Profile

# Providers that run on the processor whose roofs were measured. OpenVINO may, and computes in
# other number types than its inputs have.
ON_PROCESSOR = frozenset({"CPUExecutionProvider", "XnnpackExecutionProvider",
                          "DnnlExecutionProvider", "ACLExecutionProvider"})  # fmt: skip
# What stands where a trace names no provider, as those of ONNX Runtime 0.4 do not.
_UNNAMED = ("", "?")
# A node that takes no longer than this many empty nodes is mostly the cost of being a node.
NEAR_DISPATCH = 2.0
# Repeats that differ by more than this say that other programs were on the cores.
_BUSY_SPREAD = 0.25
# So far above a roof a figure needs an explanation.
_ABOVE_ROOF = 1.1
_LAUNCH_WHY = "launch times, without device times in the trace"
_DEVICE_WHY = "providers that may run on something whose roofs were not measured"
_NAMELESS_WHY = "providers that the trace does not name"
_ROOF_WHY = "numbers of a type without a measured roof"
_TIME_WHY = "times below the trace's clock tick of 1 µs"


def roofline(
    profile: Profile,
    peaks: Peaks,
    *,
    threads: int | None = None,
    weights: Mapping[str, Sequence[Tensor | None]] | None = None,
    foreign: bool = False,
) -> RooflineReport:
    """Which limit holds each node, and what a run would gain if every node ran at its limit.

    Args:
        profile: steady runs, so that first runs do not count.
        peaks: roofs of this machine.
        threads: of one operator when the profile was recorded; None where that is not known.
        weights: where the graph is known, by node name: its weights by the place of their input.
        foreign: the trace may come from another machine than the roofs.
    """
    rows = [row for row in profile.nodes if row.calls > 0]
    works = {row.order: node_work.work(row, weights=_weights(row, weights or {})) for row in rows}
    roofs = _Roofs(
        peaks,
        weights_bytes=sum(work.weight_bytes for work in works.values()),
        profiler_us=_profiler_us(profile, peaks),
    )
    nodes = [_node(row, works[row.order], roofs, profile) for row in rows]
    run_us = sum(node.time_us for node in nodes)
    nodes = [_with_share(node, run_us) for node in nodes]
    uncounted = [node for node in nodes if node.flops is None]
    report = RooflineReport(
        peaks=peaks,
        threads=threads or peaks.threads,
        nodes=tuple(sorted(nodes, key=lambda node: (-node.time_us, node.order))),
        worth=worth(nodes),
        alike=alike(nodes, rows),
        bounds=_bound_rows(nodes, run_us),
        run_us=run_us,
        total_gain_us=sum(node.gain_us for node in nodes),
        total_gain_share=_part(sum(node.gain_us for node in nodes), run_us),
        uncounted_count=len(uncounted),
        uncounted_share=_part(sum(node.time_us for node in uncounted), run_us),
    )
    return msgspec.structs.replace(
        report, caveats=_caveats(report, profile, threads=threads, foreign=foreign)
    )


def _profiler_us(profile: Profile, peaks: Peaks) -> float:
    """What the profiler adds to a call: as an empty node shows, or more where the twin proves it.

    Returns:
        µs, to be taken off from the time of each call.
    """
    found = max(peaks.profiled_node_us - peaks.dispatch_us, 0.0)
    proven = profile.correction.inside_us if profile.correction else 0.0
    return max(found, proven)


def _weights(row: NodeRow, known: Mapping[str, Sequence[Tensor | None]]) -> Sequence[Tensor | None]:
    """Its weights, if the graph that is known is the one it ran in: bodies reuse names."""
    return () if row.scope else known.get(row.name, ())


class _Roofs:
    """The roofs, and which of them hold for a model of a certain size."""

    def __init__(self, peaks: Peaks, *, weights_bytes: int, profiler_us: float) -> None:
        self.peaks = peaks
        # What the profiler adds to the time of a node, taken off from each call.
        self.profiler_us = profiler_us
        # Every run reads all weights once, so that they stay in a cache only together.
        self.weights = self.level(weights_bytes)

    def level(self, size: float) -> MemoryRoof | None:
        """The smallest level that so many bytes fit in."""
        fitting = (r for r in self.peaks.memory if r.capacity_bytes is None
                   or size <= r.capacity_bytes)  # fmt: skip
        return next(fitting, None)

    def slower_level(self, work: Work) -> str | None:
        """The level whose roof costs most of a node's memory time."""
        data = self.level(work.data_bytes or 0)
        if work.data_bytes is None or data is None or self.weights is None:
            return None
        on_weights = work.weight_bytes / self.weights.bytes_per_s
        return (self.weights if on_weights > work.data_bytes / data.bytes_per_s else data).level

    def memory_us(self, work: Work) -> float | None:
        """Time to read and write everything once, each part from the level it fits in."""
        if work.data_bytes is None:
            return None
        data = self.level(work.data_bytes)
        if data is None or self.weights is None:
            return None
        return (work.data_bytes / data.bytes_per_s
                + work.weight_bytes / self.weights.bytes_per_s) * 1e6  # fmt: skip

    def compute_us(self, work: Work) -> float | None:
        """Time for the arithmetic at the roof of its number type."""
        if not work.flops:
            return None if work.flops is None else 0.0
        rate = self.peaks.flop_per_s(work.kind)
        return None if rate is None else work.flops / rate * 1e6


def _node(row: NodeRow, work: Work, roofs: _Roofs, profile: Profile) -> NodeRoof:
    runs = row.run_count or max(profile.counted_runs, 1)
    calls = row.calls / runs
    seen_us = _own_us(row, runs)
    time_us = seen_us
    if row.device_p50_us is None:
        # The profiler's part cannot be more than what is above the cost of an empty node.
        least_us = min(seen_us, calls * roofs.peaks.dispatch_us)
        time_us = max(seen_us - calls * roofs.profiler_us, least_us)
    bound, bound_us, why = _bound(row, work, roofs, profile, seen_us=seen_us / calls)
    flops = None if work.flops is None else work.flops * calls
    moved = None if work.bytes is None else work.bytes * calls
    at_bound_us = None if bound_us is None else bound_us * calls
    # Work over the time of a launch is no speed of anything.
    worked_us = None if bound == "launch" else time_us
    return NodeRoof(
        order=row.order,
        name=row.name,
        op_type=row.op_type,
        provider=row.provider,
        bound=bound,
        time_us=time_us,
        calls_per_run=calls,
        kind=work.kind,
        flops=flops,
        bytes=moved,
        weight_bytes=work.weight_bytes * calls,
        intensity=_ratio(flops, moved),
        flop_per_s=_per_second(flops, worked_us),
        bytes_per_s=_per_second(moved, worked_us),
        attainable_flop_per_s=_per_second(flops, at_bound_us),
        bound_us=at_bound_us,
        reached_share=_ratio(at_bound_us, time_us),
        gain_us=0.0 if at_bound_us is None else max(time_us - at_bound_us, 0.0),
        level=roofs.slower_level(work),
        why=why,
    )


def _own_us(row: NodeRow, runs: int) -> float:
    """Its own time in one run: device time where the trace has it, bodies inside left out."""
    if row.device_p50_us is not None:
        return row.device_p50_us
    if row.self_p50_us is not None:
        return row.self_p50_us
    return row.p50_us if row.self_us == row.total_us else row.self_us / runs


def _bound(
    row: NodeRow, work: Work, roofs: _Roofs, profile: Profile, *, seen_us: float
) -> tuple[Bound, float | None, str]:
    """What holds one call of a node, the least time it then takes, and why that is not known."""
    if row.provider not in ON_PROCESSOR:
        launched = row.device_p50_us is None and (
            row.provider in profile.async_providers or row.time_kind in ("launch", "wait")
        )
        if launched:
            return "launch", None, _LAUNCH_WHY
        named = row.provider not in _UNNAMED
        return "unknown", None, _DEVICE_WHY if named else _NAMELESS_WHY
    if work.flops is None or work.data_bytes is None:
        return "unknown", None, work.why
    if seen_us <= 0:
        return "unknown", None, _TIME_WHY
    compute_us, memory_us = roofs.compute_us(work), roofs.memory_us(work)
    if memory_us is None or (compute_us is None and _is_heavy(row)):
        return "unknown", None, _ROOF_WHY
    # Arithmetic on whole numbers and the like has no roof, but is never what such nodes wait for.
    terms: dict[Bound, float] = {"compute": compute_us or 0.0, "memory": memory_us,
                                 "dispatch": roofs.peaks.dispatch_us}  # fmt: skip
    slowest = max(terms, key=lambda name: terms[name])
    if seen_us <= NEAR_DISPATCH * max(roofs.peaks.profiled_node_us, roofs.peaks.dispatch_us):
        return "dispatch", terms[slowest], ""
    return slowest, terms[slowest], ""


def _is_heavy(row: NodeRow) -> bool:
    rule = catalog.cost(row.op_type)
    return rule is not None and rule.family in catalog.HEAVY


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _per_second(count: float | None, us: float | None) -> float | None:
    return count / us * 1e6 if count is not None and us else None


def _part(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _with_share(node: NodeRoof, run_us: float) -> NodeRoof:
    return msgspec.structs.replace(node, gain_share=_part(node.gain_us, run_us))


def _bound_rows(nodes: Sequence[NodeRoof], run_us: float) -> tuple[BoundRow, ...]:
    rows = []
    for bound in BOUNDS:
        own = [node for node in nodes if node.bound == bound]
        if own:
            spent = sum(node.time_us for node in own)
            rows.append(BoundRow(bound=bound, node_count=len(own), time_us=spent,
                                 share=None if bound == "launch" else _part(spent, run_us),
                                 gain_us=sum(node.gain_us for node in own)))  # fmt: skip
    return tuple(rows)


def _caveats(
    report: RooflineReport, profile: Profile, *, threads: int | None, foreign: bool
) -> tuple[str, ...]:
    """Every limit of these figures that applies here."""
    found = [_machine_caveat(report, foreign=foreign), _threads_caveat(report, threads),
             _busy_caveat(report.peaks)]  # fmt: skip
    if report.uncounted_count:
        found.append(
            f"{_nodes(report.uncounted_count)}, {units.share(report.uncounted_share)} of the time, "
            f"{'is' if report.uncounted_count == 1 else 'are'} not counted: {_reasons(report)}."
        )
    found.append(_correction_caveat(report, profile))
    above = [n for n in report.nodes if (n.reached_share or 0) > _ABOVE_ROOF and not n.why]
    if above:
        found.append(
            f"{_nodes(len(above))} did better than {'its' if len(above) == 1 else 'their'} roof: "
            "data stayed in a cache closer to the core than was assumed, or less work was done "
            "than the shapes say."
        )
    if any(row.bound == "launch" for row in report.bounds):
        found.append("Nodes whose times are launch times are not classified.")
    if not profile.steady_only and any(run.warmup for run in profile.runs):
        found.append("Warm-up runs are counted too.")
    return tuple(text for text in found if text)


def _machine_caveat(report: RooflineReport, *, foreign: bool) -> str:
    if not foreign:
        return ""
    return (
        "The roofs are those of this machine; the trace may come from another one, and then "
        "bounds and gains do not hold."
    )


def _threads_caveat(report: RooflineReport, threads: int | None) -> str:
    used = report.peaks.threads
    many = f"{used} thread{'s' * (used != 1)}"
    if threads is None:
        return f"The trace does not tell how many threads it ran with; the roofs are for {many}."
    if threads != used:
        return f"The roofs are for {many}, but the profile was recorded with {threads}."
    return ""


def _busy_caveat(peaks: Peaks) -> str:
    spreads = [r.spread_share for r in peaks.compute] + [r.spread_share for r in peaks.memory]
    spread = max(spreads, default=0.0)
    if spread <= _BUSY_SPREAD:
        return ""
    return (
        f"The repeats behind a roof differ by up to {units.share(spread)}: the machine was busy, "
        "and the roofs may be higher. Measure them again when it is quiet."
    )


def _correction_caveat(report: RooflineReport, profile: Profile) -> str:
    found_us = _profiler_us(profile, report.peaks)
    if found_us <= 0:
        return "Times are as the profiler saw them, its own part included."
    proven = profile.correction is not None and found_us <= profile.correction.inside_us
    return f"From the time of every call {units.time(found_us)} is taken off: " + (
        "the part of the profiler that the run without it proves."
        if proven
        else "so much longer an empty node looks here with the profiler on. Nodes with many "
        "inputs cost it more."
    )


def _nodes(count: int) -> str:
    return f"{units.count(count)} node{'s' * (count != 1)}"


def _reasons(report: RooflineReport) -> str:
    """Why nodes are not counted, the reason with the most time first."""
    spent: dict[str, float] = {}
    for node in report.nodes:
        if node.flops is None:
            why = node.why or node_work.UNFIT
            spent[why] = spent.get(why, 0.0) + node.time_us
    return "; ".join(sorted(spent, key=lambda why: -spent[why])[:3])
