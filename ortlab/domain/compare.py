"""What differs between two recordings: runs, nodes, operators, settings.

`base` is what the comparison starts from and `other` what it is held against. Ratios are
base ÷ other, so above 1 `other` is faster; `delta_us` is other minus base, so below zero is
time saved. Additive figures (`base_us`, `other_us`, `delta_us`) are own time in a middling run:
the trimean over the counted runs, below six of them the median, on the device where the file tells
it. They add up to the node time of a run. Verdicts rest on medians.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ortlab.domain.study import Notice, Verdict

Match = Literal["name", "canonical name", "op and shapes", "op and order"]
TimeKind = Literal["host", "launch", "wait", "device"]
NOT_WORK = ("launch", "wait")
"""Host times of nodes whose work is done elsewhere; they are shown and never compared."""
GroupKind = Literal["replaced", "folded", "split"]


class Origin(Struct, frozen=True, kw_only=True):
    """Where a recording comes from, beyond what its file tells."""

    kind: Literal["trace", "study"] = "trace"
    id: str | None = None
    configuration_id: str | None = None
    label: str = ""
    model_id: str | None = None
    machine_id: str | None = None
    onnxruntime_version: str | None = None


class Side(Struct, frozen=True, kw_only=True):
    """One of the two: where it comes from, and what a run of it takes."""

    source: str
    kind: Literal["trace", "study"] = "trace"
    id: str | None = None
    configuration_id: str | None = None
    label: str = ""
    model_id: str | None = None
    machine_id: str | None = None
    onnxruntime_version: str | None = None
    """As it was recorded; the format of a file alone tells `format_version`."""
    format_version: str | None = None
    run_count: int = 0
    warmup_count: int = 0
    run_p50_us: float | None = None
    run_ci95_us: tuple[float, float] | None = None
    run_mean_us: float | None = None
    node_us: float = 0.0
    """Own time of all nodes, per run."""
    between_us: float | None = None
    """A middling run less its node time; below zero where nodes ran side by side."""
    node_count: int = 0
    grade: str | None = None
    unprofiled_p50_us: float | None = None
    """p50 of the same configuration without the profiler, when it was measured."""
    unprofiled_ci95_us: tuple[float, float] | None = None
    providers: tuple[str, ...] = ()
    async_providers: tuple[str, ...] = ()
    copy_count: int = 0
    """Copies between providers, all counted runs."""
    copy_us: float = 0.0
    """Time of copies per run."""
    load_us: float | None = None
    init_us: float | None = None


class RunChange(Struct, frozen=True, kw_only=True):
    """Median run against median run. `basis` says what was timed."""

    basis: Literal["profiled runs", "measured latency"]
    base_us: float | None = None
    other_us: float | None = None
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    verdict: Verdict = "cannot tell"


class NodeChange(Struct, frozen=True, kw_only=True):
    """One node of `base` with the node of `other` that does its work."""

    name: str
    other_name: str
    op_type: str
    other_op_type: str
    provider: str
    other_provider: str
    scope: str
    match: Match
    time_kind: TimeKind
    """`launch` and `wait`: one of both is no time of the work, so there is no ratio; `device`:
    ratios are of device time."""
    base_us: float
    other_us: float
    delta_us: float
    base_p50_us: float | None
    other_p50_us: float | None
    base_p25_us: float | None = None
    base_p75_us: float | None = None
    other_p25_us: float | None = None
    other_p75_us: float | None = None
    ratio: float | None = None
    """Of the medians."""
    ci95: tuple[float, float] | None = None
    shift_adjusted_ratio: float | None = None
    """`ratio` with the shift that all nodes have in common taken out."""
    verdict: Verdict = "cannot tell"
    base_device_us: float | None = None
    """Device time per run, where the file has it."""
    other_device_us: float | None = None
    input_shapes: str = ""
    output_shapes: str = ""
    path: tuple[str, ...] = ()
    """Modules around it, outermost first, its own name last."""
    order: int = 0
    other_order: int = 0


class LoneNode(Struct, frozen=True, kw_only=True):
    """A node that only one of the two has; µs of own time per run."""

    name: str
    op_type: str
    provider: str
    scope: str
    us: float
    p50_us: float | None
    time_kind: TimeKind
    input_shapes: str = ""
    output_shapes: str = ""
    path: tuple[str, ...] = ()
    order: int = 0


class GroupChange(Struct, frozen=True, kw_only=True):
    """Nodes without a counterpart that stand at the same place of the graph on both sides.

    `replaced`: the removed ones became the added ones. `folded`: the removed ones went into
    the node `into`, as a fusion does. `split`: the added ones came out of it. Times hold `into`
    too. Guessed from names and order: a profile does not say what was fused.
    """

    kind: GroupKind
    into: str | None
    removed: tuple[str, ...]
    added: tuple[str, ...]
    base_us: float
    other_us: float
    delta_us: float


class OperatorChange(Struct, frozen=True, kw_only=True):
    """All nodes of one operator on both sides, µs of own time per run."""

    op_type: str
    base_us: float
    other_us: float
    delta_us: float
    base_node_count: int
    other_node_count: int
    time_kind: TimeKind = "host"


class ProviderChange(Struct, frozen=True, kw_only=True):
    """All nodes of one provider on both sides, µs of own time per run."""

    provider: str
    base_us: float
    other_us: float
    delta_us: float
    base_node_count: int
    other_node_count: int
    time_kind: TimeKind = "host"


class ModuleChange(Struct, frozen=True, kw_only=True):
    """All nodes of one module, told by their names; nodes that are in none have an empty path."""

    path: tuple[str, ...]
    base_us: float
    other_us: float
    delta_us: float


class Shift(Struct, frozen=True):
    """The median ratio of matched nodes: what a slower clock or a busier machine does to all."""

    ratio: float
    node_count: int


class ConfigurationChange(Struct, frozen=True, kw_only=True):
    """One configuration of two studies, by measured latency."""

    id: str
    other_id: str
    label: str
    match: Literal["configuration", "label"]
    base_p50_us: float | None
    other_p50_us: float | None
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    verdict: Verdict = "cannot tell"


class LoneConfiguration(Struct, frozen=True, kw_only=True):
    """A configuration that only one of the two studies has."""

    id: str
    label: str
    p50_us: float | None


class StudyChange(Struct, frozen=True, kw_only=True):
    """What two studies say of the configurations that both measured."""

    rows: tuple[ConfigurationChange, ...]
    added: tuple[LoneConfiguration, ...] = ()
    removed: tuple[LoneConfiguration, ...] = ()


class Difference(Struct, frozen=True, kw_only=True):
    """Two recordings held against each other.

    `base.node_us` plus the `delta_us` of all `nodes`, less the `us` of all `removed`, plus the
    `us` of all `added` is `other.node_us`; the operators, providers and modules add up alike.
    """

    base: Side
    other: Side
    run: RunChange
    unprofiled: RunChange | None = None
    nodes: tuple[NodeChange, ...] = ()
    added: tuple[LoneNode, ...] = ()
    removed: tuple[LoneNode, ...] = ()
    groups: tuple[GroupChange, ...] = ()
    operators: tuple[OperatorChange, ...] = ()
    providers: tuple[ProviderChange, ...] = ()
    modules: tuple[ModuleChange, ...] = ()
    shift: Shift | None = None
    floor_share: float = 0.0
    """Differences of nodes below this part are not told apart from what two recordings of the
    same differ by."""
    configurations: StudyChange | None = None
    caveats: tuple[Notice, ...] = ()
