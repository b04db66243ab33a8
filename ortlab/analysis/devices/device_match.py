"""Which node each device event belongs to: by correlation, by name, or by place in the file."""

from __future__ import annotations

import numpy as np

from ortlab.analysis.reading.arrays import Flags, Floats, Ints, combined
from ortlab.analysis.reading.stored_events import UNKNOWN, Events
from ortlab.domain.trace import NOT_TOLD

NOBODY = -1
# Both times are cut to whole µs.
_TOLERANCE_US = 2
# Where the first kernel of a node does not begin with it, so many nodes are tried as its own.
_MAX_CANDIDATES = 64
# Sessions joined into one file, each with a clock of its own.
_MAX_CLOCKS = 8
_CPU = "CPUExecutionProvider"


def by_correlation(device: Events, ids: Ints, nodes: Events, *, sessions: int) -> Ints:
    """Per device event the node whose start it names, in µs of another clock.

    The distance of the two clocks is not in the file. It is the one that makes the most
    identifiers begin with a node; each session of the file has one of its own.
    """
    parent = np.full(len(device), NOBODY, np.int64)
    told = ids != NOT_TOLD
    if not told.any() or not len(nodes):
        return parent
    distinct, of = np.unique(ids[told], return_inverse=True)
    begins = np.full(len(distinct), np.iinfo(np.int64).max)
    np.minimum.at(begins, of.reshape(-1), device.start[told])
    by_start = np.lexsort((-nodes.order, nodes.start))
    start = nodes.start[by_start]
    found = np.full(len(distinct), NOBODY, np.int64)
    # Where nodes are dense, any distance fits some of them: a clock fits most of its session's.
    least = max(1, len(distinct) // (2 * sessions))
    for _ in range(min(sessions, _MAX_CLOCKS)):
        open_ = np.flatnonzero(found == NOBODY)
        if not len(open_):
            break
        at = _best_match(distinct[open_], begins[open_], start, least=least)
        if not (at >= 0).any():
            break
        found[open_[at >= 0]] = at[at >= 0]
    parent[told] = np.where(found == NOBODY, NOBODY, by_start[found])[of.reshape(-1)]
    return _on_provider(parent, device, nodes)


def _best_match(ids: Ints, begins: Ints, start: Ints, *, least: int) -> Ints:
    """Per identifier the rank of its node, for the clock distance that fits most of them."""
    distances, votes = np.unique(ids - begins, return_counts=True)
    likely = distances[np.argsort(-votes, kind="stable")[:_MAX_CANDIDATES]]
    together = _fitting(ids, start, tried=likely, least=least)
    # Kernels may begin after their node. Then one identifier alone would fit any node.
    free = _fitting(ids, start, tried=ids[0] - start[:_MAX_CANDIDATES], least=max(2, least))
    return free if (free >= 0).sum() > (together >= 0).sum() else together


def _fitting(ids: Ints, start: Ints, *, tried: Ints, least: int) -> Ints:
    """Per identifier the rank of its node, for the distance of those tried that fits most."""
    best = np.full(len(ids), NOBODY, np.int64)
    most = least - 1
    for distance in tried.tolist():
        at = _nearest(start, ids - distance)
        fits = np.abs(start[at] - (ids - distance)) <= _TOLERANCE_US
        if int(fits.sum()) > most:
            best, most = np.where(fits, at, NOBODY), int(fits.sum())
    return best


def _nearest(ordered: Ints, wanted: Ints) -> Ints:
    right = np.clip(np.searchsorted(ordered, wanted), 0, len(ordered) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.abs(ordered[left] - wanted) < np.abs(ordered[right] - wanted)
    at: Ints = np.where(nearer, left, right)
    return at


def _on_provider(parent: Ints, device: Events, nodes: Events) -> Ints:
    """The parents, without those whose provider is another than the event's."""
    known = {text: code for code, text in enumerate(nodes.provider.texts)}
    same = np.array([known.get(text, NOBODY) for text in device.provider.texts] or [NOBODY])
    silent = np.array([text == UNKNOWN for text in device.provider.texts] or [True])
    code = device.provider.codes
    good = (parent != NOBODY) & (silent[code] | (nodes.provider.codes[parent] == same[code]))
    return np.where(good, parent, NOBODY)


def by_place(device: Events, nodes: Events, session: Events) -> Ints:
    """Per kernel the node written right before it; kernels of the file's end have none.

    ORT puts a GPU's kernels behind the node that launched them. Where the kernel names an
    operator, or the node is one of the CPU's, a mismatch leaves it without a node.
    """
    at = np.searchsorted(nodes.order, device.order) - 1
    last_session = np.searchsorted(session.order, device.order) - 1
    node_rank = np.where(at >= 0, nodes.order[np.maximum(at, 0)], NOBODY) if len(nodes) else at
    session_rank = (
        np.where(last_session >= 0, session.order[np.maximum(last_session, 0)], NOBODY)
        if len(session)
        else np.full(len(device), NOBODY)
    )
    good = (at >= 0) & (node_rank > session_rank)
    if not good.any():
        return np.full(len(device), NOBODY, np.int64)
    same = np.array([t in (UNKNOWN, "") for t in device.op_type.texts] or [True])
    codes = {text: code for code, text in enumerate(nodes.op_type.texts)}
    wanted = np.array([codes.get(t, NOBODY) for t in device.op_type.texts] or [NOBODY])
    operator = nodes.op_type.codes[np.maximum(at, 0)]
    good &= same[device.op_type.codes] | (wanted[device.op_type.codes] == operator)
    on_cpu = np.array([t == _CPU for t in nodes.provider.texts] or [False])
    good &= ~on_cpu[nodes.provider.codes[np.maximum(at, 0)]]
    return np.where(good, at, NOBODY).astype(np.int64)


def by_name(device: Events, nodes: Events) -> Ints:
    """Per WebGPU event (`node&operator&program`) the call of that node that it belongs to.

    The device works in the order of the calls, so that a program's k-th dispatch is of the
    k-th call; of several per call, where their number is the same in each.
    """
    parent = np.full(len(device), NOBODY, np.int64)
    if not len(device) or not len(nodes):
        return parent
    key_of_node, keys = _node_keys(nodes)
    wanted = np.array([keys.get(_key(text), NOBODY) for text in device.name.texts], np.int64)
    key = wanted[device.name.codes]
    programs = np.flatnonzero(key != NOBODY)
    if not len(programs):
        return parent
    calls, first_call = _calls(key_of_node, nodes, count=len(keys))
    program = combined(key[programs], device.name.codes[programs])
    order = np.lexsort((device.order[programs], device.start[programs], program))
    rank, size = rank_in_group(program[order])
    of = key[programs][order]
    count = calls.counts[of]
    fits = (count > 0) & (size % np.maximum(count, 1) == 0)
    per_call = np.maximum(size // np.maximum(count, 1), 1)
    at = first_call[of] + np.minimum(rank // per_call, np.maximum(count - 1, 0))
    parent[programs[order]] = np.where(fits, calls.by_call[np.minimum(at, len(nodes) - 1)], NOBODY)
    return parent


class _ByCall:
    """Node events by key and start, and how many each key has."""

    def __init__(self, by_call: Ints, counts: Ints) -> None:
        self.by_call, self.counts = by_call, counts


def _calls(key_of_node: Ints, nodes: Events, *, count: int) -> tuple[_ByCall, Ints]:
    by_call = np.lexsort((nodes.order, nodes.start, key_of_node))
    counts = np.bincount(key_of_node, minlength=count)
    return _ByCall(by_call, counts), np.concatenate(([0], np.cumsum(counts)[:-1]))


def _key(text: str) -> tuple[str, str] | None:
    parts = text.rsplit("&", 2)
    return (parts[0], parts[1]) if len(parts) == 3 else None


def _node_keys(nodes: Events) -> tuple[Ints, dict[tuple[str, str] | None, int]]:
    """A code per node event, equal for equal name and operator, and what the codes mean."""
    width = len(nodes.op_type.texts)
    pairs, of = np.unique(nodes.name.codes * width + nodes.op_type.codes, return_inverse=True)
    keys: dict[tuple[str, str] | None, int] = {}
    for number, pair in enumerate(pairs.tolist()):
        keys[nodes.name.texts[pair // width], nodes.op_type.texts[pair % width]] = number
    return of.reshape(-1).astype(np.int64), keys


def rank_in_group(groups: Ints) -> tuple[Ints, Ints]:
    """For sorted groups: each member's rank in its group from 0, and the group's size."""
    begin = np.concatenate(([True], groups[1:] != groups[:-1]))
    first = np.flatnonzero(begin)
    sizes = np.diff(np.concatenate((first, [len(groups)])))
    return np.arange(len(groups)) - np.repeat(first, sizes), np.repeat(sizes, sizes)


def unaveraged(duration: Ints, groups: Ints, rank: Ints) -> tuple[Floats, Flags]:
    """Durations of single runs from running means, and which of them were such.

    OpenVINO writes for each layer the mean over all runs so far: the k-th run took
    k·mean(k) - (k-1)·mean(k-1). Layers for which that would be negative are left as they are.

    Args:
        duration: of each event, µs.
        groups: the layer that it belongs to; events of a layer stand together, by run.
        rank: of the run, from 0.
    """
    k = rank + 1
    total = duration * k
    before = np.concatenate(([0], total[:-1])) if len(total) else total
    single = (total - np.where(rank > 0, before, 0)).astype(np.float64)
    # Means are cut to whole µs, which run k multiplies by k.
    impossible = single < -2.0 * k
    bad = np.zeros(int(groups.max(initial=-1)) + 1, bool)
    bad[groups[impossible]] = True
    averaged: Flags = ~bad[groups]
    return np.where(averaged, np.maximum(single, 0.0), duration.astype(np.float64)), averaged
