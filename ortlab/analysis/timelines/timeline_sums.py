"""Exact sums over the parts of a window: time by kind, calls, the longest event of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Ints
from ortlab.analysis.timelines.timeline_file import BLOCK, GROUP, TimelineFile


class Cells(Struct, frozen=True):
    """The parts of several rows that are not empty, row after row."""

    row: Ints
    """Position of its row among those asked for."""
    at: Ints
    """Number of the part."""
    busy_us: Ints
    kind: Ints
    calls: Ints
    item: Ints
    selected: list[list[int]]
    """Per row: parts in which a call of the selected node begins."""


def cells(
    file: TimelineFile, bounds: list[tuple[int, int]], edges: Ints, node: int | None
) -> Cells:
    """Time by row, part and kind, from the sums before each border of a part.

    Args:
        file: the timeline.
        bounds: first event of each row, and the first after it.
        edges: borders of the parts, µs after the file's origin.
        node: the selected node.
    """
    starts = file["start"]
    begun = np.stack([low + before(starts[low:high], edges) for low, high in bounds])
    rows, parts = len(bounds), len(edges) - 1
    first = np.repeat([low for low, _ in bounds], parts + 1)
    times = _time_before(file, first, begun.reshape(-1), np.tile(edges, rows))
    by_kind = np.diff(times.reshape(rows, parts + 1, -1), axis=1)
    busy, calls = by_kind.sum(axis=2), np.diff(begun, axis=1)
    row, at = np.nonzero((busy > 0) | (calls > 0))
    low = np.array([low for low, _ in bounds])[row]
    longest = _longest(file, begun[row, at], begun[row, at + 1], low)
    return Cells(
        row=row,
        at=at,
        busy_us=busy[row, at],
        kind=np.argmax(by_kind[row, at], axis=1),
        calls=calls[row, at],
        item=file["item"][longest].astype(np.int64),
        selected=[_parts_of(file, node, line) for line in begun] if node is not None else [],
    )


def before(numbers: Any, limits: Ints) -> Ints:
    """How many of the sorted numbers lie below each limit."""
    # In the type of the numbers, whose highest value is never used: numpy would make a wider
    # copy of all of them.
    highest = np.iinfo(numbers.dtype).max
    found: Ints = np.searchsorted(numbers, np.clip(limits, 0, highest).astype(numbers.dtype))
    return found


def _time_before(file: TimelineFile, first: Ints, begun: Ints, moments: Ints) -> Ints:
    """Time of each kind before each moment, counted from anywhere before its row.

    `begun` is the position of the first event of the row that begins no earlier than that; the
    one before it, if it is not before the `first` of the row, may last longer.
    """
    covered = file.arrays.get("covered", file["duration"])
    started = begun > first
    last = np.where(started, begun - 1, first)
    block = last // BLOCK
    sums: Ints = file["sums"][block].astype(np.int64)
    flat, cell = sums.reshape(-1), np.arange(len(last)) * sums.shape[1]
    owner, inside = _ranges(block * BLOCK, last)
    kinds = file["item_kind"][file["item"][inside]]
    np.add.at(flat, cell[owner] + kinds, covered[inside].astype(np.int64))
    open_at = np.flatnonzero(started)
    event = last[open_at]
    lasted = np.minimum(moments[open_at] - file["start"][event], covered[event].astype(np.int64))
    # No cell twice: each moment has one event that may last.
    flat[cell[open_at] + file["item_kind"][file["item"][event]]] += lasted
    return sums


def _longest(file: TimelineFile, low: Ints, high: Ints, begin: Ints) -> Ints:
    """Position of the longest event of each range; of the one before where a range is empty."""
    owners, found = [np.arange(len(low))], [np.maximum(low - 1, begin)]
    for level in (None, file["longest"], file["longest_of_longest"]):
        # Whole groups of what this level holds are left to the next one, which holds their best.
        first, last = -(-low // GROUP), high // GROUP
        inside = (first < last) if level is not file["longest_of_longest"] else low < 0
        for begins, ends in (
            (low, np.where(inside, first * GROUP, high)),
            (np.where(inside, last * GROUP, high), high),
        ):
            owner, at = _ranges(begins, ends)
            owners.append(owner)
            found.append(at if level is None else level[at].astype(np.int64))
        low, high = np.where(inside, first, 0), np.where(inside, last, 0)
    return _best(file["duration"], np.concatenate(owners), np.concatenate(found), len(owners[0]))


def _best(duration: Any, owner: Ints, event: Ints, count: int) -> Ints:
    """Of each owner's events the longest; the first `count` stand in for those without any."""
    length = duration[event].astype(np.int64)
    length[:count] = -1
    greatest = np.full(count, -1)
    np.maximum.at(greatest, owner, length)
    is_it = length == greatest[owner]
    chosen = event[:count]
    chosen[owner[is_it]] = event[is_it]
    return chosen


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """All numbers of several ranges one after the other, each with the number of its range."""
    sizes = np.maximum(high - low, 0)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    skipped = np.cumsum(sizes) - sizes
    return owner, np.arange(len(owner)) + np.repeat(low - skipped, sizes)


def _parts_of(file: TimelineFile, node: int, begun: Ints) -> list[int]:
    """The parts in which a call of the node begins."""
    found: set[int] = set()
    for item in np.flatnonzero(file["item_node"] == node).tolist():
        low, high = file["item_at"][item : item + 2].tolist()
        calls = np.diff(before(file["item_order"][low:high], begun))
        found.update(np.flatnonzero(calls).tolist())
    return sorted(found)
