"""What limits a comparison: every reason as a sentence with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from ortlab.domain import units
from ortlab.domain.compare import NOT_WORK, Difference, Side
from ortlab.domain.study import Notice
from ortlab.domain.trace import Profile

# Fewer runs give no 95 % interval of a median from order statistics.
_FEW_RUNS = 6
_SHIFT_WORTH_TELLING = 0.05
# The profiler takes about 7.5 µs per node, so a node of this length is mostly profiler.
_PROFILER_BOUND_US = 10.0
_PROFILER_BOUND_SHARE = 0.2
# With less time in common the two hardly show the same model.
_LITTLE_IN_COMMON = 0.2
# Far above the median a mean tells of a few runs that were disturbed.
_MEAN_OVER_MEDIAN = 1.1
_WEAK_GRADES = ("D", "E", "F")


def with_caveats(found: Difference, base: Profile, other: Profile) -> Difference:
    """The comparison with every reason to doubt it, the gravest first."""
    doubts = [notice for rule in _RULES for notice in rule(found, base, other)]
    return replace(found, caveats=(*found.caveats, *doubts))


def machine_doubts(base: Side, other: Side) -> Iterator[Notice]:
    """Different computers, versions or models, or that a file does not tell them."""
    if base.machine_id and other.machine_id:
        if base.machine_id != other.machine_id:
            yield Notice(
                "different_machine",
                f"They were recorded on different machines ({base.machine_id[:12]} and "
                f"{other.machine_id[:12]}), so the differences are not the setting's alone.",
            )
    elif base.id != other.id or base.id is None:
        yield Notice(
            "machine_unknown",
            "A profile does not name its machine: whether both are of the same one is not known.",
        )
    versions = [side.onnxruntime_version for side in (base, other)]
    if None in versions:
        # A file tells only which versions write its format.
        versions = [side.format_version for side in (base, other)]
    if None not in versions and versions[0] != versions[1]:
        yield Notice("different_ort", f"They are of ONNX Runtime {versions[0]} and {versions[1]}.")
    if base.model_id and other.model_id and base.model_id != other.model_id:
        yield Notice(
            "different_model",
            f"They are of different models ({base.model_id[:12]} and {other.model_id[:12]}).",
        )


def _same_recording(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    one, two = found.base, found.other
    same = (one.id, one.configuration_id) == (two.id, two.configuration_id)
    if same and one.id is not None:
        yield Notice("same_recording", "Both are the same recording, so nothing can differ.")


def _machines(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    yield from machine_doubts(found.base, found.other)


def _little_in_common(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    whole = found.base.node_us + found.other.node_us
    common = sum(node.base_us + node.other_us for node in found.nodes)
    if whole and common < _LITTLE_IN_COMMON * whole:
        yield Notice(
            "little_in_common",
            f"Only {units.share(common / whole)} of the time is in nodes that both have: another "
            "model, or a provider that compiles many nodes into one.",
        )


def _launches(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    count = sum(node.time_kind in NOT_WORK for node in found.nodes)
    lone = sum(node.time_kind in NOT_WORK for node in (*found.added, *found.removed))
    if count or lone:
        yield Notice(
            "launch_times",
            f"{units.count(count + lone)} nodes ran on a provider that returns before its work is "
            "done: their times are of launches and waiting, which are shown but not compared.",
        )


def _few_runs(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    for side in (found.base, found.other):
        if not side.run_count:
            yield Notice(
                "no_runs",
                f"{_name(side)} has no whole run: its times are of all its events together.",
            )
        elif side.run_count < _FEW_RUNS:
            yield Notice(
                "few_runs",
                f"{_name(side)} has {side.run_count} counted run{'s' * (side.run_count != 1)}; "
                f"below {_FEW_RUNS} there is no interval, so most differences cannot be told.",
            )


def _grades(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    for side, profile in ((found.base, base), (found.other, other)):
        if side.grade in _WEAK_GRADES:
            codes = ", ".join(reason.code.replace("_", " ") for reason in profile.trust.reasons)
            yield Notice("weak_trust", f"{_name(side)} has trust {side.grade}: {codes}.")


def _warm_up(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    if base.steady_only != other.steady_only:
        yield Notice("different_warmup", "Warm-up runs are left out of one of the two only.")
    for side in (found.base, found.other):
        if side.run_count == 1 and not side.warmup_count:
            yield Notice(
                "warmup_inside",
                f"The only run of {_name(side)} is its first, which holds the warm-up.",
            )


def _shifted(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    shift = found.shift
    if shift and abs(shift.ratio - 1) > _SHIFT_WORTH_TELLING:
        how = "faster" if shift.ratio > 1 else "slower"
        yield Notice(
            "common_shift",
            f"The median of {shift.node_count} matched nodes is {units.speedup(shift.ratio)}, so "
            f"{_name(found.other)} is {how} throughout: setting, clock, load or machine. Ratios "
            "with this shift taken out are shown beside.",
        )


def _profiler(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    for side, profile in ((found.base, base), (found.other, other)):
        total = sum(row.self_us for row in profile.nodes)
        short = sum(row.self_us for row in profile.nodes if row.p50_us < _PROFILER_BOUND_US)
        if total and short > _PROFILER_BOUND_SHARE * total:
            yield Notice(
                "short_nodes",
                f"{units.share(short / total)} of the node time of {_name(side)} is in nodes below "
                f"{units.time(_PROFILER_BOUND_US)}, where the profiler itself takes most of it.",
            )


def _outliers(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    for side in (found.base, found.other):
        mean, middle = side.run_mean_us, side.run_p50_us
        if mean and middle and mean > _MEAN_OVER_MEDIAN * middle:
            yield Notice(
                "outliers",
                f"The mean run of {_name(side)} is {units.speedup(mean / middle)} its median: some "
                "runs were disturbed. Times here are of the middling ones.",
            )


def _capped(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    for side, profile in ((found.base, base), (found.other, other)):
        left_out = profile.node_count - len(profile.nodes)
        if left_out > 0:
            yield Notice(
                "nodes_left_out",
                f"{_name(side)} has {units.count(left_out)} nodes more than are listed; they are "
                "not compared.",
            )


def _not_interleaved(found: Difference, base: Profile, other: Profile) -> Iterator[Notice]:
    yield Notice(
        "not_interleaved",
        "They were recorded one after the other, so differences below "
        f"{units.share(found.floor_share)} count as none; `ortlab bench` measures both in turns.",
    )


def _name(side: Side) -> str:
    """A foreign name as a quoted word of a sentence."""
    return f"'{side.label[:120]}'"


_RULES: tuple[Callable[[Difference, Profile, Profile], Iterator[Notice]], ...] = (
    _same_recording, _machines, _little_in_common, _launches, _few_runs, _warm_up, _grades,
    _shifted, _outliers, _profiler, _capped, _not_interleaved,
)  # fmt: skip
