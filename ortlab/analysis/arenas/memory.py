"""Memory of a profile: the arena over one run, its peak, who holds it, and all runs' peaks."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct, structs

from ortlab.analysis.arenas import lifetimes
from ortlab.analysis.arenas.tensors import Tensors
from ortlab.analysis.reading.arrays import Flags, Ints
from ortlab.analysis.reading.derived import Derived
from ortlab.analysis.reading.nesting import NOBODY
from ortlab.analysis.reading.runs import OUTSIDE
from ortlab.analysis.reading.stored_events import UNKNOWN, Words
from ortlab.domain.memory import AliveNode, AllocatorMemory, MemoryPoint, MemoryReport, RunMemory
from ortlab.domain.trace import NOT_TOLD

# A view may send 100 kB: with its node's name a point takes a hundred bytes of the figure.
MAX_POINTS = 500
MAX_ALIVE = 50
MAX_RUNS = 200
# The walk over one run is plain Python; a run of more nodes is told without their names.
MAX_FOLLOWED = 20_000
# Of the allocations that the most telling run shows; in a run with fewer they are planned away.
_AS_TELLING_SHARE = 0.9
# Start and length are cut to whole µs one by one, so neighbours may seem to overlap by one.
_TOUCH_US = 1
_COLUMNS = (
    "mem_bytes_in_use", "mem_in_use_delta", "mem_bytes_requested_in_use",
    "mem_requested_in_use_delta", "mem_in_use_peak", "mem_arena_held",
)  # fmt: skip


def memory(derived: Derived) -> MemoryReport | None:
    """The arena over the run that tells most, and the peaks of all runs.

    None where no node event has memory fields: ORT writes them since 1.28, and only for
    allocators that keep count (the CPU's does not once the arena is switched off).
    """
    fields = _fields(derived)
    if not fields.told.any():
        return None
    shown = _shown(derived, fields)
    found = [_allocator(derived, fields, shown, own) for own in _arenas(derived, fields, shown)]
    return MemoryReport(
        run_index=shown.run,
        warmup=shown.run is not None and bool(derived.table.warmup[shown.run]),
        duration_us=shown.duration_us,
        parallel=shown.parallel,
        allocators=tuple(sorted(found, key=lambda one: -one.peak_bytes)),
        event_count=len(shown.at),
        untold_count=int((~fields.told[shown.at]).sum()),
    )


class _Fields(Struct, frozen=True):
    """The memory columns of all node events, and which events have them."""

    in_use: Ints
    in_use_delta: Ints
    requested: Ints
    requested_delta: Ints
    mark: Ints
    arena: Ints
    told: Flags


class _Shown(Struct, frozen=True, kw_only=True):
    """The run that is shown."""

    run: int | None
    at: Ints
    """Positions of its node events, in file order: the order in which they ended."""
    start_us: int
    duration_us: int
    holds_graph: Flags
    """Per node event of the file: whether others are nested in it."""
    parallel: bool


def _fields(derived: Derived) -> _Fields:
    in_use, in_use_delta, requested, requested_delta, mark, arena = columns = [
        derived.stored.column(name) for name in _COLUMNS
    ]
    told: Flags = np.logical_and.reduce([column != NOT_TOLD for column in columns])
    told &= (in_use >= 0) & (requested >= 0) & (arena >= 0)
    return _Fields(in_use, in_use_delta, requested, requested_delta, mark, arena, told)


def _shown(derived: Derived, fields: _Fields) -> _Shown:
    events, table, parent = derived.events, derived.table, derived.nested.parent
    run = _most_telling_run(derived, fields)
    at = np.flatnonzero(derived.everything if run is None else table.run_of == run)
    holds_graph = np.zeros(len(parent), bool)
    holds_graph[parent[parent != NOBODY]] = True
    start = int(events.start[at].min()) if run is None else int(table.start[run])
    end = int(events.end[at].max()) if run is None else start + int(table.duration[run])
    leaves = at[~holds_graph[at]]
    others = np.arange(len(table)) != (-1 if run is None else run)
    over = (table.start < end) & (table.start + table.duration > start) & others
    return _Shown(
        run=run,
        at=at,
        start_us=start,
        duration_us=end - start,
        holds_graph=holds_graph,
        parallel=_overlap(events.start[leaves], events.end[leaves])
        or (run is not None and bool(over.any())),
    )


def _most_telling_run(derived: Derived, fields: _Fields) -> int | None:
    """The run in which most allocations can be seen; of such runs a steady one, of the middle.

    From the second run with the same shapes on, the sequential executor allocates one planned
    block before the first node, and most nodes change nothing: so it is often the first run.
    """
    table = derived.table
    inside = fields.told & (table.run_of != OUTSIDE)
    if not inside.any():
        return None
    seen = np.bincount(table.run_of[inside], minlength=len(table))
    count = _allocations(derived, fields, inside)
    telling = (seen > 0) & (count >= _AS_TELLING_SHARE * count.max())
    steady = telling & ~table.warmup
    return _middling(np.flatnonzero(steady if steady.any() else telling), table.duration)


def _allocations(derived: Derived, fields: _Fields, among: Flags) -> Ints:
    """Per run: node events that changed what is in use."""
    changed = among & (derived.table.run_of != OUTSIDE) & (fields.requested_delta != 0)
    return np.bincount(derived.table.run_of[changed], minlength=len(derived.table))


def _middling(runs: Ints, duration: Ints) -> int:
    return int(runs[np.argsort(duration[runs], kind="stable")[len(runs) // 2]])


def _overlap(start: Ints, end: Ints) -> bool:
    order = np.argsort(start, kind="stable")
    latest = np.maximum.accumulate(end[order])
    return bool((start[order][1:] + _TOUCH_US < latest[:-1]).any())


def _arenas(derived: Derived, fields: _Fields, shown: _Shown) -> list[Flags]:
    """For each arena of the run that is shown, all node events of the file with its figures.

    One for each provider; together where providers take turns and the highest mark, which an
    arena never lowers, runs on through both: then it is the same arena.
    """
    provider = derived.events.provider.codes
    found: list[Flags] = []
    for code in np.unique(provider[shown.at[fields.told[shown.at]]]):
        own: Flags = (provider == code) & fields.told
        for number, other in enumerate(found):
            if _is_one_arena(own, other, fields.mark):
                found[number] = own | other
                break
        else:
            found.append(own)
    return found


def _is_one_arena(first: Flags, second: Flags, mark: Ints) -> bool:
    at = np.flatnonzero(first | second)
    turns = int((np.diff(first[at].astype(np.int8)) != 0).sum())
    return turns > 1 and bool((np.diff(mark[at]) >= 0).all())


def _allocator(derived: Derived, fields: _Fields, shown: _Shown, own: Flags) -> AllocatorMemory:
    """What the file tells about the arena that has these events."""
    at = shown.at[own[shown.at]]
    highest = int(np.argmax(fields.in_use[at]))
    because = _unnamed_because(shown, highest + 1)
    steps = [] if because else _steps(derived, fields, shown, at[: highest + 1])
    peak, peak_bytes = int(at[highest]), int(fields.in_use[at[highest]])
    held = _held(derived, lifetimes.alive(steps), start_us=shown.start_us, peak_bytes=peak_bytes)
    named = sum(node.bytes for node in held)
    # Some of what was there before may have been released since.
    before = min(_before(fields, at[0]), peak_bytes - named)
    rest = peak_bytes - before - named
    points = _points(derived, fields, shown, at)
    return AllocatorMemory(
        providers=_providers(derived, at),
        points=tuple(points[i] for i in thinned(fields.in_use[at], MAX_POINTS)),
        point_count=len(at),
        peak_bytes=peak_bytes,
        peak_at_us=points[highest].at_us,
        peak_node=int(derived.node[peak]),
        peak_name=_word(derived.events.name, peak),
        peak_op_type=_word(derived.events.op_type, peak),
        before_bytes=before,
        alive=held[:MAX_ALIVE],
        alive_count=len(held),
        alive_bytes=named,
        unexplained_bytes=rest,
        unnamed_because=because or _rest_because(derived, peak, rest=rest, named=named),
        compiled_count=_compiled_count(derived, at),
        session_peak_bytes=int(fields.mark[own].max()),
        planned_bytes=_planned(derived, fields, own, shown),
        **_mark(derived, fields, shown, own),
        **_over_runs(derived, fields, own),
    )


def _before(fields: _Fields, first: int) -> int:
    """In use when this node began."""
    return max(0, int(fields.in_use[first]) - int(fields.in_use_delta[first]))


def _points(derived: Derived, fields: _Fields, shown: _Shown, at: Ints) -> list[MemoryPoint]:
    """One per event: a node's outputs are there while it runs, a body's only at its end."""
    events = derived.events
    late = shown.holds_graph[at] | shown.parallel
    moment = np.where(late, events.end[at], events.start[at]) - shown.start_us
    columns = (moment, fields.in_use[at], fields.requested[at], fields.arena[at], derived.node[at])
    return [MemoryPoint(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def _unnamed_because(shown: _Shown, count: int) -> str:
    """Why the nodes that hold memory cannot be told; empty when they can."""
    if shown.parallel:
        return "parallel"
    return "many" if count > MAX_FOLLOWED else ""


def _rest_because(derived: Derived, peak: int, *, rest: int, named: int) -> str:
    """Why not all that the run allocated is named, though its nodes were followed."""
    if rest and derived.nested.parent[peak] != NOBODY:
        return "bodies"
    return "" if named else "planned"


def _providers(derived: Derived, at: Ints) -> tuple[str, ...]:
    words = derived.events.provider
    codes, counts = np.unique(words.codes[at], return_counts=True)
    return tuple(words.texts[code] for code in codes[np.argsort(-counts, kind="stable")])


def _compiled_count(derived: Derived, at: Ints) -> int:
    """Events of partitions that a provider compiled, which are called `<provider>_<hash>_<k>`."""
    op_type, providers = derived.events.op_type, derived.events.provider.texts
    prefixes = tuple(f"{name}_" for name in providers if name != UNKNOWN)
    compiled = np.array([text.startswith(prefixes) for text in op_type.texts] or [False])
    return int(compiled[op_type.codes[at]].sum())


def _steps(derived: Derived, fields: _Fields, shown: _Shown, at: Ints) -> list[lifetimes.Step]:
    events = derived.events
    inputs, outputs = Tensors(events.input_shapes), Tensors(events.output_shapes)
    sizes = events.numbers["output_size"]
    return [
        lifetimes.Step(
            event=i,
            node=int(derived.node[i]),
            body=int(derived.nested.parent[i]),
            op_type=_word(events.op_type, i),
            in_use=int(fields.in_use[i]),
            requested=int(fields.requested[i]),
            in_use_delta=int(fields.in_use_delta[i]),
            requested_delta=int(fields.requested_delta[i]),
            holds_graph=bool(shown.holds_graph[i]),
            inputs=inputs.of(i),
            outputs=outputs.of(i, total=int(sizes[i])),
        )
        for i in at.tolist()
    ]


def _held(
    derived: Derived, buffers: list[lifetimes.Buffer], *, start_us: int, peak_bytes: int
) -> tuple[AliveNode, ...]:
    """The nodes that own these buffers, most bytes first; never more bytes than the peak."""
    found: dict[int, AliveNode] = {}
    room = peak_bytes
    for buffer in reversed(buffers):
        room -= buffer.bytes
        if buffer.owner == lifetimes.NOBODY or room < 0:
            continue
        node = int(derived.node[buffer.owner])
        one = _alive_node(derived, buffer, start_us=start_us, peak_bytes=peak_bytes)
        found[node] = _joined(found[node], one) if node in found else one
    return tuple(sorted(found.values(), key=lambda node: (-node.bytes, node.since_us)))


def _alive_node(
    derived: Derived, buffer: lifetimes.Buffer, *, start_us: int, peak_bytes: int
) -> AliveNode:
    return AliveNode(
        node=int(derived.node[buffer.owner]),
        name=_word(derived.events.name, buffer.owner),
        op_type=_word(derived.events.op_type, buffer.owner),
        scope=_word(derived.scope, buffer.owner),
        bytes=buffer.bytes,
        requested_bytes=buffer.requested,
        since_us=int(derived.events.start[buffer.owner]) - start_us,
        share=buffer.bytes / max(1, peak_bytes),
        sure=buffer.sure,
    )


def _joined(first: AliveNode, second: AliveNode) -> AliveNode:
    return structs.replace(
        first,
        bytes=first.bytes + second.bytes,
        requested_bytes=first.requested_bytes + second.requested_bytes,
        share=first.share + second.share,
        since_us=min(first.since_us, second.since_us),
        sure=first.sure and second.sure,
    )


def _mark(derived: Derived, fields: _Fields, shown: _Shown, own: Flags) -> dict[str, Any]:
    """The arena's highest mark that a node of the run set, if above all readings after nodes.

    A mark higher than the one before was reached while this node ran or just before it.
    """
    everywhere, at = np.flatnonzero(own), shown.at[own[shown.at]]
    rank = np.searchsorted(everywhere, at)
    # What the first event of the file shows was mostly reached while the model was loaded.
    later = at[rank > 0]
    rose = later[fields.mark[later] > fields.mark[everywhere[rank[rank > 0] - 1]]]
    if not len(rose):
        return {}
    top = int(rose[np.argmax(fields.mark[rose])])
    if fields.mark[top] <= fields.in_use[at].max():
        return {}
    return {
        "inside_bytes": int(fields.mark[top]),
        "inside_node": int(derived.node[top]),
        "inside_name": _word(derived.events.name, top),
        "inside_at_us": int(derived.events.start[top]) - shown.start_us,
    }


def _planned(derived: Derived, fields: _Fields, own: Flags, shown: _Shown) -> int | None:
    """By how much more is in use when a steady run begins, where its nodes allocate less."""
    table = derived.table
    if shown.run is None:
        return None
    count = _allocations(derived, fields, own)
    present = np.bincount(table.run_of[own & (table.run_of != OUTSIDE)], minlength=len(table)) > 0
    fewer = np.flatnonzero(present & (count < _AS_TELLING_SHARE * count[shown.run]))
    fewer = fewer[~table.warmup[fewer]]
    if not len(fewer):
        return None
    usual = _middling(fewer, table.duration)
    firsts = [int(np.flatnonzero(own & (table.run_of == run))[0]) for run in (usual, shown.run)]
    more = _before(fields, firsts[0]) - _before(fields, firsts[1])
    return more if more > 0 else None


def _over_runs(derived: Derived, fields: _Fields, own: Flags) -> dict[str, Any]:
    """Peak and rest of every run, thinned, and what they add up to."""
    table = derived.table
    at = np.flatnonzero(own & (table.run_of != OUTSIDE))
    if not len(at):
        return {}
    run = table.run_of[at]
    peaks, last = np.zeros(len(table), np.int64), np.full(len(table), -1)
    np.maximum.at(peaks, run, fields.in_use[at])
    np.maximum.at(last, run, at)
    present = np.flatnonzero(last >= 0)
    arena = fields.arena[last[present]]
    steady = peaks[present[~table.warmup[present]]]
    rows = [
        RunMemory(int(r), int(peaks[r]), int(fields.in_use[last[r]]), int(fields.arena[last[r]]),
                  bool(table.warmup[r]))
        for r in present[thinned(peaks[present], MAX_RUNS)].tolist()
    ]  # fmt: skip
    return {
        "runs": tuple(rows),
        "run_count": len(present),
        "arena_growth_bytes": int(arena[-1] - arena[0]),
        "steady_peak_bytes": int(np.median(steady)) if len(steady) else None,
    }


def thinned(values: Ints, limit: int) -> list[int]:
    """At most `limit` positions of a series: all, or of each stretch highest, lowest and last."""
    count = len(values)
    if count <= limit:
        return list(range(count))
    stretches = max(1, (limit - 1) // 3)
    kept = {0}
    for part in np.array_split(np.arange(count), stretches):
        kept |= {int(part[np.argmax(values[part])]), int(part[np.argmin(values[part])])}
        kept.add(int(part[-1]))
    return sorted(kept)


def _word(words: Words, event: int) -> str:
    text: str = words.texts[words.codes[event]]
    return text
