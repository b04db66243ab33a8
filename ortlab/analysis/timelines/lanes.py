"""The lanes of a trace's timeline: threads with their node events, and device streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ortlab.analysis.devices.device import NOBODY, DeviceTimes
from ortlab.analysis.reading.arrays import Ints, combined
from ortlab.analysis.reading.derived import Derived
from ortlab.analysis.reading.runs import OUTSIDE
from ortlab.analysis.reading.stored_events import API, UNKNOWN, Events
from ortlab.analysis.timelines.timeline_layout import Drawn, Items, Runs, clean, store
from ortlab.domain.timeline import DEVICE_CLOCK, Lane, host_clock
from ortlab.domain.trace import TIMELINE_NAME

NO_NODE = -1
# No picture has room for more; what more threads a hostile file names share the last lane.
MAX_LANES = 1000


def write(derived: Derived, folder: Path) -> None:
    """Store the timeline of a trace in `folder`, as `timeline.bin`."""
    lanes, drawn, items = _host(derived)
    times = derived.device
    if times is not None:
        device_lanes, device, device_items = _device(
            derived, times, lanes_before=len(lanes), items_before=len(items.names)
        )
        lanes += device_lanes
        drawn = Drawn(**{
            name: np.concatenate((getattr(drawn, name), getattr(device, name)))
            for name in Drawn.__struct_fields__
        })  # fmt: skip
        items = Items(
            items.names + device_items.names,
            items.pairs + device_items.pairs,
            np.concatenate((items.nodes, device_items.nodes)),
        )
    table = derived.table
    store(
        folder / TIMELINE_NAME,
        drawn=drawn,
        lanes=lanes,
        items=items,
        runs=Runs(table.start, table.duration, table.warmup, table.session),
    )


def _host(derived: Derived) -> tuple[list[Lane], Drawn, Items]:
    """Threads, the node events on them, and their nodes."""
    events, first = derived.events, derived.first
    ranked = _ranked(events, derived.table.lane)
    lane = np.minimum(ranked.rank[events.lane], MAX_LANES - 1) if len(events) else events.lane
    names = derived.stored.lanes
    lanes = [
        Lane(
            name=f"thread {number + 1}",
            detail=_thread(names, code) + (", calls the model" if code in ranked.callers else ""),
            clock=host_clock(_session(derived, code)),
        )
        for number, code in enumerate(ranked.order[:MAX_LANES])
    ]
    if len(ranked.order) > MAX_LANES:
        rest = len(ranked.order) - MAX_LANES + 1
        clocks = {host_clock(_session(derived, code)) for code in ranked.order[MAX_LANES - 1 :]}
        clock = clocks.pop() if len(clocks) == 1 else "several clocks"
        lanes[-1] = Lane(name="other threads", detail=f"{rest} threads drawn as one", clock=clock)
    drawn = Drawn(
        start=events.start,
        duration=events.duration,
        self_us=derived.nested.self_us,
        lane=lane,
        depth=derived.nested.depth,
        item=derived.node,
        run=derived.table.run_of,
    )
    return lanes, drawn, _items(events, first, np.arange(len(first)))


class _Ranked(Struct, frozen=True):
    """Thread codes in the order they are shown, and the rank of each code."""

    order: list[int]
    rank: Ints
    callers: frozenset[int]


def _ranked(events: Events, run_lanes: Ints) -> _Ranked:
    """Threads that call the model come first, then by their first event."""
    codes = int(events.lane.max(initial=-1)) + 1
    first = np.full(codes, np.iinfo(np.int64).max)
    np.minimum.at(first, events.lane, events.start)
    present = np.flatnonzero(np.bincount(events.lane, minlength=codes))
    callers = frozenset(np.unique(run_lanes).tolist())
    order = sorted(present.tolist(), key=lambda code: (code not in callers, int(first[code])))
    rank = np.zeros(codes, np.int64)
    rank[order] = np.arange(len(order))
    return _Ranked(order, rank, callers)


def _session(derived: Derived, code: int) -> int:
    """The session that a thread worked for."""
    return int(derived.stored.session_of_lane[code])


def _thread(names: list[list[Any]], code: int) -> str:
    process, thread = names[code][:2] if code < len(names) else ("?", "?")
    return clean(f"process {process}, thread {thread}")


def _device(
    derived: Derived, times: DeviceTimes, *, lanes_before: int, items_before: int
) -> tuple[list[Lane], Drawn, Items]:
    """Device streams, what ran on them, and what that was."""
    events = derived.stored.device
    is_api = np.array([s.category == API for s in derived.stored.signatures])[events.sig]
    keys = combined(combined(is_api.astype(np.int64), events.lane), times.stream.codes)
    _, at = np.unique(keys, return_index=True)
    lanes = [_device_lane(derived, times, i, is_api=bool(is_api[i])) for i in at.tolist()]
    if len(lanes) > MAX_LANES:
        rest = Lane(name="other streams", clock="several clocks", is_device=True)
        lanes = [*lanes[: MAX_LANES - 1], rest]
    known = times.parent != NOBODY
    node, run = np.full(len(events), NO_NODE, np.int64), np.full(len(events), OUTSIDE, np.int64)
    node[known] = derived.node[times.parent[known]]
    run[known] = derived.table.run_of[times.parent[known]]
    item = combined(events.sig, node - NO_NODE)
    _, first = np.unique(item, return_index=True)
    duration = np.maximum(np.rint(times.duration_us), 0).astype(np.int64)
    drawn = Drawn(
        start=events.start,
        duration=duration,
        self_us=duration,
        lane=np.minimum(keys, MAX_LANES - 1) + lanes_before,
        depth=np.zeros(len(events), np.int64),
        item=item + items_before,
        run=run,
    )
    found = _items(events, first, node[first])
    owners = _items(derived.events, derived.first, np.arange(len(derived.first))).pairs
    pairs = [
        _device_pair(pair, derived.stored.signatures[events.sig[at]].device,
                     owner=owners[of] if of >= 0 else None)
        for pair, at, of in zip(found.pairs, first.tolist(), node[first].tolist(), strict=True)
    ]  # fmt: skip
    return _told_apart(lanes), drawn, Items(found.names, pairs, found.nodes)


def _told_apart(lanes: list[Lane]) -> list[Lane]:
    """The lanes, numbered where several have the same name."""
    names = [lane.name for lane in lanes]
    return [
        replace(lane, name=f"{lane.name} {names[: i + 1].count(lane.name)}")
        if names.count(lane.name) > 1 else lane
        for i, lane in enumerate(lanes)
    ]  # fmt: skip


def _device_lane(derived: Derived, times: DeviceTimes, at: int, *, is_api: bool) -> Lane:
    """The lane of the device event at this position."""
    code = int(derived.stored.device.lane[at])
    stream = times.stream.texts[times.stream.codes[at]]
    return Lane(
        name=clean(stream) or "device",
        detail=_thread(derived.stored.lanes, code),
        clock=DEVICE_CLOCK if is_api else host_clock(_session(derived, code)),
        is_device=True,
    )


def _device_pair(
    pair: tuple[str, str], device: dict[str, Any] | None, *, owner: tuple[str, str] | None
) -> tuple[str, str]:
    """Operator and provider as the event tells them, else those of the node it worked for."""
    told, (op_type, provider) = device or {}, pair
    node_op, node_provider = owner or ("device work", UNKNOWN)
    if op_type == UNKNOWN:
        op_type = str(told.get("ov_node_type") or told.get("op_name") or node_op)
    if provider == UNKNOWN:
        provider = str(told.get("ep") or node_provider)
    return op_type, provider


def _items(events: Events, first: Ints, nodes: Ints) -> Items:
    def column(word: str) -> list[str]:
        words = getattr(events, word)
        return [words.texts[code] for code in words.codes[first].tolist()]

    pairs = list(zip(column("op_type"), column("provider"), strict=True))
    return Items(column("name"), pairs, nodes.astype(np.int64))
