"""How a timeline is laid out to be stored: rows whose events never overlap, and their sums."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ortlab.analysis.reading.arrays import Flags, Ints
from ortlab.analysis.reading.runs import OUTSIDE
from ortlab.analysis.reading.stored_events import UNKNOWN
from ortlab.analysis.timelines.timeline_file import (
    BLOCK,
    GROUP,
    MAX_KINDS,
    VERSION,
    Header,
    narrow,
    save,
    texts,
)
from ortlab.domain.timeline import Contents, Lane, host_clock

# Events of one thread that overlap without one holding the other: device queues have a few.
MAX_OVERLAPS = 12
_MAX_NAME_CHARACTERS = 400
_OTHERS = ("other operators", UNKNOWN)
_UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160)), " ")


class Drawn(Struct, frozen=True, kw_only=True):
    """Events to be drawn, one entry per event in every array, in any order."""

    start: Ints
    duration: Ints
    self_us: Ints
    lane: Ints
    """Position in `lanes`."""
    depth: Ints
    item: Ints
    """Position in `items`."""
    run: Ints
    """`OUTSIDE` where it belongs to none."""


class Items(Struct, frozen=True):
    """What events are calls of: name, operator, provider and node of each item."""

    names: list[str]
    pairs: list[tuple[str, str]]
    nodes: Ints


class Runs(Struct, frozen=True):
    """Start, duration, warm-up and session of every run."""

    start: Ints
    duration: Ints
    warmup: Flags
    session: Ints


def store(path: Path, *, drawn: Drawn, lanes: list[Lane], items: Items, runs: Runs) -> None:
    """Write one timeline from the bare arrays."""
    row, order = _rows(drawn)
    counts = np.bincount(row, minlength=int(row.max(initial=-1)) + 1)
    row_at = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    start, duration, item = (a[order] for a in (drawn.start, drawn.duration, drawn.item))
    lane_of, depth_of = (a[order][row_at[:-1]] for a in (drawn.lane, drawn.depth))
    kinds, kind_of = _kinds(drawn, items)
    origin = min([*start[row_at[:-1]].tolist(), *runs.start.tolist()], default=0)
    covered = _covered(start, duration, row_at)
    own = drawn.self_us[order]
    nested = np.flatnonzero(own != duration)
    longest = _longest(duration, np.arange(len(duration)))
    arrays: dict[str, Any] = {
        "start": _times(start - origin, duration),
        "duration": narrow(duration),
        "item": narrow(item),
        "run": narrow(drawn.run[order] - OUTSIDE),
        "nested_at": narrow(nested),
        "nested_self": narrow(own[nested]),
        "item_order": narrow(np.argsort(narrow(item), kind="stable")),
        "item_at": narrow(_bounds(item, len(items.names))),
        "item_kind": kind_of.astype(np.uint8),
        "item_node": items.nodes.astype("<i8"),
        "sums": _sums(covered, kind_of[item], len(kinds)),
        "longest": narrow(longest),
        "longest_of_longest": narrow(_longest(duration, longest)),
        "run_start": (runs.start - origin).astype("<i8"),
        "run_duration": runs.duration.astype("<i8"),
        "run_warmup": runs.warmup.astype(np.uint8),
        "run_session": narrow(runs.session),
        **texts("name", [clean(name) for name in items.names]),
        **texts("pair", ["\n".join(map(clean, pair)) for pair in items.pairs]),
    }
    if covered is not duration:
        arrays["covered"] = narrow(covered)
    contents = _contents(drawn, lanes, lane_of, depth_of, kinds, runs)
    header = Header(
        version=VERSION,
        origin_us=origin,
        contents=contents,
        row_lane=tuple(lane_of.tolist()),
        row_at=tuple(row_at.tolist()),
    )
    save(path, header, arrays)


def clean(text: str) -> str:
    """A foreign name in one line, without marks that are no characters, of bounded length."""
    return " ".join(text[:_MAX_NAME_CHARACTERS].translate(_UNPRINTABLE).split())


def _rows(drawn: Drawn) -> tuple[Ints, Ints]:
    """For each event in stored order its row; and that order, by row and start."""
    by_start = np.argsort(drawn.start, kind="stable")
    # Sorting short codes counts them, which is far quicker than comparing.
    group = _numbered(drawn.lane * (int(drawn.depth.max(initial=0)) + 1) + drawn.depth)
    order = by_start[np.argsort(group[by_start], kind="stable")]
    sorted_group = group[order]
    over = _overlaps(drawn, order, sorted_group)
    if over is None:
        return sorted_group.astype(np.int64), order
    row = _numbered(sorted_group.astype(np.int64) * MAX_OVERLAPS + over)
    again = np.argsort(row, kind="stable")
    return row[again].astype(np.int64), order[again]


def _numbered(codes: Ints) -> Any:
    """The same codes, none of them large, numbered from 0 without gaps in their order."""
    present = np.bincount(codes) > 0
    return narrow(np.cumsum(present) - 1)[codes]


def _overlaps(drawn: Drawn, order: Ints, group: Any) -> Ints | None:
    """Per event how many rows down it must go not to overlap another; None: all stay."""
    found: Ints | None = None
    bounds = _bounds(group, (int(group[-1]) + 1 if len(group) else 0)).tolist()
    for begin, end in pairwise(bounds):
        inside = order[begin:end]
        start = drawn.start[inside]
        stop = start + drawn.duration[inside]
        if (start[1:] >= stop[:-1]).all():
            continue
        found = np.zeros(len(order), np.int64) if found is None else found
        found[begin:end] = _peeled(start, stop)
    return found


def _peeled(start: Ints, stop: Ints) -> Ints:
    """Events that begin after all before them have ended stay; the others go one row down."""
    down = np.zeros(len(start), np.int64)
    left = np.arange(len(start))
    for row in range(1, MAX_OVERLAPS):
        latest = np.maximum.accumulate(stop[left])
        late = np.flatnonzero(start[left[1:]] < latest[:-1]) + 1
        if not len(late):
            break
        left = left[late]
        down[left] = row
    return down


def _bounds(codes: Any, count: int) -> Ints:
    sizes = np.bincount(codes, minlength=count)
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)


def _covered(start: Ints, duration: Ints, row_at: Ints) -> Ints:
    """What each event adds to the time of its row.

    Less than its duration only where too many overlap, which are drawn over each other.
    """
    room = np.full(len(start), np.iinfo(np.int64).max)
    room[:-1] = start[1:] - start[:-1]
    room[row_at[1:] - 1] = np.iinfo(np.int64).max
    if (room >= duration).all():
        return duration
    less: Ints = np.minimum(duration, room)
    return less


def _kinds(drawn: Drawn, items: Items) -> tuple[list[tuple[str, str]], Ints]:
    """Operators on providers, most time first, few enough to sum; and the kind of each item."""
    known: dict[tuple[str, str], int] = {}
    codes = np.array([known.setdefault(pair, len(known)) for pair in items.pairs], np.int64)
    time = np.bincount(drawn.item, weights=drawn.self_us, minlength=len(codes))
    by_time = np.argsort(-np.bincount(codes, weights=time, minlength=len(known)), kind="stable")
    pairs = list(known)
    kept = [pairs[code] for code in by_time.tolist()]
    if len(kept) > MAX_KINDS:
        kept = [*kept[: MAX_KINDS - 1], _OTHERS]
    rank = np.empty(len(known), np.int64)
    rank[by_time] = np.arange(len(known))
    return [(clean(a), clean(b)) for a, b in kept], np.minimum(rank[codes], MAX_KINDS - 1)


def _sums(covered: Ints, kind: Ints, kinds: int) -> Any:
    """Time of each kind before every `BLOCK`-th event."""
    blocks = -(-len(covered) // BLOCK)
    sums = np.zeros((blocks + 1, max(1, kinds)), np.int64)
    key = np.repeat(np.arange(blocks) * sums.shape[1], BLOCK)[: len(covered)] + kind
    longest = int(covered.max(initial=0))
    if longest < 2**53 // BLOCK:  # sums of floating point numbers are exact below that
        found = np.bincount(key, weights=covered, minlength=blocks * sums.shape[1])
        sums[1:] = found.astype(np.int64).reshape(sums[1:].shape)
    else:
        np.add.at(sums[1:].reshape(-1), key, covered)
    return np.cumsum(sums, axis=0)


def _longest(duration: Ints, event: Ints) -> Ints:
    """The longest of each whole group of these events."""
    whole = len(event) // GROUP * GROUP
    groups = event[:whole].reshape(-1, GROUP)
    if not whole:
        return np.empty(0, np.int64)
    best: Ints = groups[np.arange(len(groups)), np.argmax(duration[groups], axis=1)]
    return best


def _times(start: Ints, duration: Ints) -> Any:
    """Starts in a type that holds every end too."""
    last = int((start + duration).max(initial=0))
    return start.astype("<u4" if last < 2**32 - 1 else "<i8")


def _contents(
    drawn: Drawn,
    lanes: list[Lane],
    lane_of: Ints,
    depth_of: Ints,
    kinds: list[tuple[str, str]],
    runs: Runs,
) -> Contents:
    depths: dict[int, list[int]] = {}
    for lane, depth in zip(lane_of.tolist(), depth_of.tolist(), strict=True):
        depths.setdefault(lane, []).append(depth)
    counts = np.bincount(drawn.lane, minlength=len(lanes))
    top = drawn.depth == 0
    busy = np.bincount(drawn.lane[top], weights=drawn.duration[top], minlength=len(lanes))
    told = tuple(
        replace(
            lane,
            event_count=int(counts[i]),
            busy_us=int(busy[i]),
            depths=tuple(depths.get(i, ())),
        )
        for i, lane in enumerate(lanes)
    )
    return Contents(
        lanes=told,
        kinds=tuple(kinds),
        extents=_extents(drawn, told, runs),
        event_count=len(drawn.start),
        run_count=len(runs.start),
    )


def _extents(drawn: Drawn, lanes: Iterable[Lane], runs: Runs) -> dict[str, tuple[int, int]]:
    """First and last moment of each clock."""
    clocks = [lane.clock for lane in lanes]
    first, last = _ends(drawn.lane, drawn.start, drawn.duration, len(clocks))
    of_run = _ends(runs.session, runs.start, runs.duration, int(runs.session.max(initial=-1)) + 1)
    clocks += [host_clock(number) for number in range(len(of_run[0]))]
    found: dict[str, tuple[int, int]] = {}
    for clock, begin, end in zip(clocks, first + of_run[0], last + of_run[1], strict=True):
        if begin <= end:
            low, high = found.get(clock, (begin, end))
            found[clock] = min(low, begin), max(high, end)
    return found


def _ends(group: Ints, start: Ints, duration: Ints, count: int) -> tuple[list[int], list[int]]:
    """First start and last end of each group; of an empty one the first is after the last."""
    first = np.full(count, np.iinfo(np.int64).max)
    last = np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(first, group, start)
    np.maximum.at(last, group, start + duration)
    return first.tolist(), last.tolist()
