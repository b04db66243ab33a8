"""What the device did, by node: its events, given to the nodes that asked for the work."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ortlab.analysis.devices import device_match
from ortlab.analysis.reading.arrays import Flags, Floats, Ints, combined
from ortlab.analysis.reading.quantiles import groups
from ortlab.analysis.reading.runs import OUTSIDE
from ortlab.analysis.reading.stored_events import API, UNKNOWN, Events, StoredTrace, Words
from ortlab.domain.trace import (
    CORRELATION_COLUMN,
    NOT_TOLD,
    DeviceFacts,
    KernelRow,
    NodeRow,
)
from ortlab.domain.units import share as share_text

NOBODY = device_match.NOBODY
# More than anybody reads; the node table has the sums.
MAX_KERNEL_ROWS = 500
# A median over runs stands when rounding moves it by less than this part.
_MAX_ROUNDING_SHARE = 0.1


class DeviceTimes(Struct, frozen=True, kw_only=True):
    """Device time by node event, and the device events with what became of them."""

    event_us: Floats
    """Per node event; nan where the file attributes none."""
    rounding_us: Floats
    """Per node event: how far whole µs may have moved it."""
    parent: Ints
    """Per device event the position of its node event, or `NOBODY`."""
    duration_us: Floats
    """Per device event; of one run also where the file has means over runs."""
    stream: Words
    """Per device event the lane of the device that it ran in."""
    facts: DeviceFacts


def attribute(stored: StoredTrace, *, node: Ints) -> DeviceTimes | None:
    """Device time of every node event; None for a file without device events.

    Kernels with a correlation id (plugin providers such as OpenVINO) belong to the node that
    begins at that moment, kernels without (CUDA, ROCm) to the node written right before them,
    WebGPU's events to the call of the node that their name holds. Whatever contradicts itself
    stays without a node.

    Args:
        stored: the trace.
        node: per node event the number of its node.
    """
    device, nodes = stored.device, stored.nodes
    if not len(device):
        return None
    ids = stored.column(CORRELATION_COLUMN, device)
    correlated = ids != NOT_TOLD
    named = np.array([s.category == API for s in stored.signatures])[device.sig] & ~correlated
    placed = ~correlated & ~named
    parent = np.full(len(device), NOBODY, np.int64)
    parent[correlated] = device_match.by_correlation(
        device.where(correlated),
        ids[correlated],
        nodes,
        sessions=int(stored.session_of_lane.max()) + 1,
    )
    parent[named] = device_match.by_name(device.where(named), nodes)
    parent[placed] = device_match.by_place(device.where(placed), nodes, stored.session)
    duration, rounding, averaged = _durations(device, parent, ids, node)
    event_us, event_rounding = _by_event(parent, duration, rounding, len(nodes))
    return DeviceTimes(
        event_us=event_us,
        rounding_us=event_rounding,
        parent=parent,
        duration_us=duration,
        stream=_streams(stored, device),
        facts=_facts(stored, parent, duration, ways=(correlated, named, placed), averaged=averaged),
    )


def with_device(
    rows: tuple[NodeRow, ...],
    device: DeviceTimes | None,
    *,
    node: Ints,
    run_of: Ints,
    keep: Flags,
) -> tuple[NodeRow, ...]:
    """The node rows with their device time, over the node events that are kept.

    Args:
        rows: with the node's number in `order`.
        device: of the same trace; None leaves the rows as they are.
        node: per node event the number of its node.
        run_of: per node event its run.
        keep: per node event whether it counts.
    """
    if device is None:
        return rows
    told = keep & ~np.isnan(device.event_us)
    of, time = node[told], device.event_us[told]
    total = np.bincount(of, weights=time, minlength=1)
    middle = _median_per_run(of, run_of[told], time, device.rounding_us[told])
    known = set(np.unique(of).tolist())
    return tuple(
        replace(row, device_us=round(total[row.order]), device_p50_us=middle.get(row.order))
        if row.order in known
        else row
        for row in rows
    )


def _median_per_run(node: Ints, run: Ints, time: Floats, rounding: Floats) -> dict[int, float]:
    """By node the median over runs of its device time, where rounding leaves one."""
    inside = run != OUTSIDE
    width = int(run.max(initial=0)) + 1
    pairs, at = np.unique(node[inside] * width + run[inside], return_inverse=True)
    per_run = np.bincount(at.reshape(-1), weights=time[inside], minlength=len(pairs))
    blur = np.bincount(at.reshape(-1), weights=rounding[inside], minlength=len(pairs))
    sharp = blur <= np.maximum(_MAX_ROUNDING_SHARE * per_run, 1.0)
    owner = pairs[sharp] // width
    # Tenths of µs, because quantiles are of whole numbers.
    tenths = np.rint(per_run[sharp] * 10).astype(np.int64)
    middle = groups(owner, tenths, int(node.max(initial=-1)) + 1).quantile(0.5) / 10
    return {n: float(middle[n]) for n in np.unique(owner).tolist()}


def _durations(device: Events, parent: Ints, ids: Ints, node: Ints) -> tuple[Floats, Floats, bool]:
    """Per device event its time and how far rounding moves it; whether means were undone."""
    plain = device.duration.astype(np.float64)
    rounding = np.ones(len(device))
    openvino = np.array([text.startswith("OV::") for text in device.name.texts] or [False])
    means = openvino[device.name.codes] & (parent != NOBODY) & (ids != NOT_TOLD)
    if not means.any():
        return plain, rounding, False
    at = np.flatnonzero(means)
    # The same layer may stand several times in one call: its k-th time there is one of its own.
    here = at[np.lexsort((device.order[at], device.name.codes[at], parent[at]))]
    place, _ = device_match.rank_in_group(combined(parent[here], device.name.codes[here]))
    layer = combined(combined(node[parent[here]], device.name.codes[here]), place)
    by_layer = np.lexsort((ids[here], layer))
    here, layer = here[by_layer], layer[by_layer]
    rank, _ = device_match.rank_in_group(layer)
    single, averaged = device_match.unaveraged(device.duration[here], layer, rank)
    plain[here] = single
    rounding[here] = np.where(averaged, rank + 1.0, 1.0)
    return plain, rounding, bool((averaged & (rank > 0)).any())


def _by_event(
    parent: Ints, duration: Floats, rounding: Floats, count: int
) -> tuple[Floats, Floats]:
    known = parent != NOBODY
    # Without events, bincount answers in whole numbers.
    sums = np.bincount(parent[known], weights=duration[known], minlength=count).astype(float)
    # Roundings of several kernels are independent of each other.
    blur = np.sqrt(np.bincount(parent[known], weights=rounding[known] ** 2, minlength=count))
    silent = np.bincount(parent[known], minlength=count) == 0
    sums[silent] = np.nan
    return sums, blur


def _streams(stored: StoredTrace, device: Events) -> Words:
    """The lane of each device event, as the file tells it."""
    names = [_stream(signature.device, signature) for signature in stored.signatures]
    known: dict[str, int] = {}
    codes = np.array([known.setdefault(name, len(known)) for name in names] or [0], np.int64)
    return Words(codes[device.sig], tuple(known))


def _stream(told: dict[str, Any] | None, signature: Any) -> str:
    if told and told.get("stream") is not None:
        return f"stream {told['stream']}"
    if signature.category == API:
        return "device queue"
    return "OpenVINO layers" if signature.name.startswith("OV::") else "device"


def _facts(
    stored: StoredTrace,
    parent: Ints,
    duration: Floats,
    *,
    ways: tuple[Flags, Flags, Flags],
    averaged: bool,
) -> DeviceFacts:
    known = parent != NOBODY
    count, attributed = len(parent), int(known.sum())
    used = [words for words, some in zip(_WAYS, ways, strict=True) if some.any()]
    how = f"{attributed:,} of {count:,} device events belong to a node"
    how += f", {' and '.join(used)}" if attributed else " that can be told"
    if averaged:
        how += "; OpenVINO writes means over all runs so far, which were undone"
    if attributed < count:
        left = float(duration[~known].sum()) / max(1.0, float(duration.sum()))
        how += f". The others hold {share_text(left)} of the device time"
    device = stored.device
    streams = _streams(stored, device)
    seen = np.unique(streams.codes).tolist()
    return DeviceFacts(
        how=how + ".",
        clock="device" if ways[1].any() else "computed" if ways[0].any() else "host",
        event_count=count,
        attributed_count=attributed,
        total_us=float(duration.sum()),
        attributed_us=float(duration[known].sum()),
        streams=tuple(streams.texts[code] for code in seen),
        kernels=_kernels(device, stored.nodes, parent, duration),
    )


_WAYS = (
    "by the moment at which the node began",
    "by the node's name and the order of calls",
    "by their place in the file, right after the node",
)


def _kernels(
    device: Events, nodes: Events, parent: Ints, duration: Floats
) -> tuple[KernelRow, ...]:
    """What ran on the device, by its own name and the node's, the costliest first."""
    names = (*nodes.name.texts, "")
    nowhere = len(names) - 1
    node = np.where(parent == NOBODY, nowhere, nodes.name.codes[parent]) if len(nodes) else (
        np.full(len(parent), nowhere)
    )  # fmt: skip
    key = combined(combined(device.name.codes, device.op_type.codes), node)
    total = np.bincount(key, weights=duration)
    calls = np.bincount(key)
    at = np.zeros(len(total), np.int64)
    at[key] = np.arange(len(key))
    return tuple(
        KernelRow(
            name=device.name.texts[device.name.codes[at[k]]],
            op_type=_told(device.op_type.texts[device.op_type.codes[at[k]]]),
            node=names[node[at[k]]],
            calls=int(calls[k]),
            total_us=float(total[k]),
        )
        for k in np.argsort(-total, kind="stable")[:MAX_KERNEL_ROWS].tolist()
    )


def _told(text: str) -> str:
    return "" if text == UNKNOWN else text
