"""Exact sums over the parts of a window: time by kind, calls, the longest event of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from ortlab.analysis.arrays import Ints
from ortlab.analysis.timeline_file import BLOCK, TimelineFile


class Cells(Struct, frozen=True):
    """The parts of one row that are not empty."""

    at: Ints
    busy_us: Ints
    kind: Ints
    calls: Ints
    item: Ints
    selected: Ints


def cells(file: TimelineFile, bounds: tuple[int, int], edges: Ints, node: int | None) -> Cells:
    """Time by part and kind, from the sums before each border of a part."""
    begin, end = bounds
    begun = begin + before(file["start"][begin:end], edges)
    by_kind = np.diff(_time_before(file, begin, begun, edges), axis=0)
    busy, calls = by_kind.sum(axis=1), np.diff(begun)
    at = np.flatnonzero((busy > 0) | (calls > 0))
    return Cells(
        at=at,
        busy_us=busy[at],
        kind=np.argmax(by_kind[at], axis=1),
        calls=calls[at],
        item=file["item"][_longest(file, begun[at], begun[at + 1], begin)].astype(np.int64),
        selected=_parts_of(file, node, begun) if node is not None else np.empty(0, np.int64),
    )


def before(numbers: Any, limits: Ints) -> Ints:
    """How many of the sorted numbers lie below each limit."""
    # In the type of the numbers, whose highest value is never used: numpy would make a wider
    # copy of all of them.
    highest = np.iinfo(numbers.dtype).max
    found: Ints = np.searchsorted(numbers, np.clip(limits, 0, highest).astype(numbers.dtype))
    return found


def _time_before(file: TimelineFile, begin: int, begun: Ints, moments: Ints) -> Ints:
    """Time of each kind in one row before each moment, counted from anywhere before the row.

    `begun` tells how many events had begun at each moment; the last of them may last longer.
    """
    covered = file.arrays.get("covered", file["duration"])
    started = begun > begin
    last = np.where(started, begun - 1, begin)
    block = last // BLOCK
    sums: Ints = file["sums"][block].astype(np.int64)
    cell = np.arange(len(last)) * sums.shape[1]
    owner, inside = _ranges(block * BLOCK, last)
    kinds = file["item_kind"][file["item"][inside]]
    np.add.at(sums.reshape(-1), cell[owner] + kinds, covered[inside].astype(np.int64))
    open_at = np.flatnonzero(started)
    event = last[open_at]
    lasted = np.minimum(moments[open_at] - file["start"][event], covered[event].astype(np.int64))
    kinds = file["item_kind"][file["item"][event]]
    np.add.at(sums.reshape(-1), cell[open_at] + kinds, lasted)
    return sums


def _longest(file: TimelineFile, low: Ints, high: Ints, begin: int) -> Ints:
    """Position of the longest event of each range; of the one before where a range is empty."""
    duration, blocks = file["duration"], file["longest"]
    first = np.minimum(-(-low // BLOCK), high // BLOCK)
    last = high // BLOCK
    apart = first * BLOCK >= low
    owner, inside = _ranges(low, np.where(apart, np.minimum(first * BLOCK, high), high))
    tails, tail = _ranges(np.where(apart, np.maximum(last * BLOCK, low), high), high)
    middles, middle = _ranges(np.where(apart, first, 0), np.where(apart, last, 0))
    owners = np.concatenate((np.arange(len(low)), owner, tails, middles))
    found = np.concatenate(
        (np.maximum(low - 1, begin), inside, tail, blocks[middle].astype(np.int64))
    )
    length = duration[found].astype(np.int64)
    length[: len(low)] = -1
    greatest = np.full(len(low), -1)
    np.maximum.at(greatest, owners, length)
    is_it = length == greatest[owners]
    chosen = found[: len(low)]
    chosen[owners[is_it]] = found[is_it]
    return chosen


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """All numbers of several ranges one after the other, each with the number of its range."""
    sizes = np.maximum(high - low, 0)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    skipped = np.cumsum(sizes) - sizes
    return owner, np.arange(len(owner)) + np.repeat(low - skipped, sizes)


def _parts_of(file: TimelineFile, node: int, begun: Ints) -> Ints:
    """The parts in which a call of the node begins."""
    found = []
    for item in np.flatnonzero(file["item_node"] == node).tolist():
        low, high = file["item_at"][item : item + 2].tolist()
        events = file["item_order"][low:high]
        calls = np.diff(before(events, begun))
        found.append(np.flatnonzero(calls))
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
