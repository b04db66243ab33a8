"""The events of one run, or of several, as exports show them: rows of spans from time 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Flags, Ints
from ortlab.analysis.reading.nesting import nesting
from ortlab.analysis.reading.runs import runs
from ortlab.analysis.reading.slow_run import median_run
from ortlab.analysis.reading.stored_events import API, KERNEL, Events, StoredTrace, Words
from ortlab.analysis.reading.stored_window import Window, window
from ortlab.catalog.exports import ALL_RUNS
from ortlab.domain.trace import Profile, Run, Signature
from ortlab.errors import RequestError
from ortlab.export.layout import Layout

# What a viewer in a browser still opens: about 100 MB of JSON.
MAX_EVENTS = 200_000
MODEL_RUN = "model_run"
# Start and length are cut to whole µs one by one.
_LATE_US = 1
_FOREVER_US = 2**61
# Runs, executors and device events come beside node events, which runs are counted by.
_BESIDE_NODES = 4


class Row(Struct, frozen=True):
    """One line of a viewer: a thread, or a stream of a device."""

    process: object
    thread: object
    """Process and thread as the trace names them."""
    is_device: bool
    has_runs: bool
    part: int
    """Above 0: holds what crosses other events of the same thread."""


class Cut(Struct, frozen=True, kw_only=True):
    """What an export shows, and what it does not; the lists have one entry per event.

    Events are in the order of the file, which is the order in which they ended.
    """

    title: str
    start_us: int = 0
    """Where it begins in the trace."""
    signatures: tuple[Signature, ...] = ()
    categories: tuple[str, ...] = ()
    """Name of each category code of the signatures."""
    rows: tuple[Row, ...] = ()
    signature: list[int] = []
    row: list[int] = []
    start: list[int] = []
    """µs from the beginning of the cut; of Api events, from the first of them."""
    duration: list[int] = []
    parent: list[int] = []
    """Position of the event that holds it, or -1."""
    self_us: list[int | None] = []
    """Own time of node events."""
    numbers: dict[str, list[int]] = {}
    """Memory and correlation; `NOT_TOLD` where an event has none."""
    left_out: tuple[str, ...] = ()
    moved_count: int = 0
    moved_most_us: int = 0


def cut(
    profile: Profile, events: Path, *, run: int | str | None = None, limit: int = MAX_EVENTS
) -> Cut:
    """The events of run number `run`; of a middling steady run, or of all with `ALL_RUNS`.

    Args:
        profile: of the same trace.
        events: the stored events of the trace.
        run: which one; None for a steady one of middling length.
        limit: at most so many events.

    Raises:
        RequestError: there is no such run.
        TraceError: the stored events cannot be read.
    """
    chosen = chosen_run(profile, run)
    if chosen is None:
        return _all_runs(profile, events, limit)
    end_us = chosen.start_us + chosen.duration_us + _LATE_US
    found = window(events, start_us=chosen.start_us, end_us=end_us, limit=limit)
    parts, notes = _of_run(found.stored, chosen)
    others = len(profile.runs) - 1
    return _placed(
        found,
        parts,
        start_us=chosen.start_us,
        title=f"run {chosen.index} of {len(profile.runs)}, counted from 0",
        notes=[*([f"{others} other runs"] if others else []), *notes],
    )


def chosen_run(profile: Profile, run: int | str | None) -> Run | None:
    """The run with this index, or a steady one of middling length; None for all of them.

    Raises:
        RequestError: there is no such run.
    """
    if run == ALL_RUNS or not profile.runs:
        return None
    if run is None:
        return median_run(profile.runs)
    for found in profile.runs:
        if found.index == run:
            return found
    raise RequestError(
        f"There is no run {run} in this trace; it has {len(profile.runs)}, counted from 0.",
        hint=f"Choose a run from 0 to {len(profile.runs) - 1}, or '{ALL_RUNS}'.",
    )


def _all_runs(profile: Profile, events: Path, limit: int) -> Cut:
    """From the beginning to the last run that there is room for."""
    shown, seen = 0, 0
    for run in profile.runs:
        seen += run.node_count
        if seen > limit and shown:
            break
        shown += 1
    notes, title, end_us = [], f"all {shown} runs", _FOREVER_US
    if shown < len(profile.runs):
        end_us = max(run.start_us + run.duration_us for run in profile.runs[:shown]) + _LATE_US
        title = f"the first {shown} runs"
        notes = [f"the last {len(profile.runs) - shown} of {len(profile.runs)} runs"]
    found = window(events, start_us=-_FOREVER_US, end_us=end_us, limit=_BESIDE_NODES * limit)
    stored = found.stored
    session, nodes = (part.where(part.end <= end_us) for part in (stored.session, stored.nodes))
    start_us = min((int(part.start.min()) for part in (session, nodes) if len(part)), default=0)
    parts = _Parts(session, nodes, stored.device, stored.others)
    if fences := stored.facts.fence_count:
        notes = [*notes, f"{fences} fence events"]
    return _placed(found, parts, start_us=start_us, title=title, notes=notes)


class _Parts(Struct, frozen=True):
    session: Events
    nodes: Events
    device: Events
    others: Events


def _of_run(stored: StoredTrace, run: Run) -> tuple[_Parts, list[str]]:
    """Session, node and device events of one run, and what was not taken."""
    end_us = run.start_us + run.duration_us
    session, table = stored.session, runs(stored.nodes, stored.session)
    mine = np.flatnonzero((table.start == run.start_us) & (table.duration == run.duration_us))[:1]
    inside = (session.start >= run.start_us) & (session.end <= end_us + _LATE_US)
    itself = (session.start == run.start_us) & (session.duration == run.duration_us)
    inside &= ~_named(session, MODEL_RUN) | itself
    if table.overlap and len(mine):
        inside &= session.lane == int(table.lane[mine[0]])
    device = stored.device
    on_device = _of_category(stored, device, KERNEL)
    on_device &= (device.start >= run.start_us) & (device.start <= end_us)
    nodes = stored.nodes
    # A run that is told by what lies outside the window is known here by its time alone.
    belongs = (
        np.isin(table.run_of, mine)
        if len(mine)
        else ((nodes.start >= run.start_us) & (nodes.end <= end_us + _LATE_US))
    )
    nodes = nodes.where(belongs)
    other_clock = int(stored.facts.category_counts.get("Api", 0))
    notes = [f"{other_clock} events of the device, whose clock is not that of the runs"]
    others = stored.others
    around = (others.start >= run.start_us) & (others.end <= end_us + _LATE_US)
    parts = _Parts(session.where(inside), nodes, device.where(on_device), others.where(around))
    return parts, notes if other_clock else []


def _placed(found: Window, parts: _Parts, *, start_us: int, title: str, notes: list[str]) -> Cut:
    stored = found.stored
    if found.shortest_left_out:
        notes = [*notes, f"the {found.shortest_left_out} shortest events"]
    events = _joined([parts.session, parts.nodes, parts.device, parts.others])
    nested = nesting(events)
    layout = Layout(events, nested)
    clock = np.full(len(events), start_us, np.int64)
    on_api = _of_category(stored, events, API)
    clock[on_api] = events.start[on_api].min(initial=_FOREVER_US)
    return Cut(
        title=title,
        start_us=start_us,
        signatures=stored.signatures,
        categories=stored.facts.categories,
        rows=tuple(_row(stored, events, lane, part) for lane, part in layout.rows),
        signature=events.sig.tolist(),
        row=layout.row,
        start=(np.array(layout.start, np.int64) - clock).tolist(),
        duration=events.duration.tolist(),
        parent=nested.parent.tolist(),
        self_us=_own_times(parts.nodes, events),
        numbers={name: values[events.order].tolist() for name, values in found.numbers.items()},
        left_out=tuple(notes),
        moved_count=layout.moved_count,
        moved_most_us=layout.moved_most_us,
    )


def _row(stored: StoredTrace, events: Events, lane: int, part: int) -> Row:
    here = events.where(events.lane == lane)
    process, thread = stored.lanes[lane][:2]
    return Row(
        process=process,
        thread=thread,
        is_device=stored.signatures[int(here.sig[0])].category in (KERNEL, API),
        has_runs=bool(_named(here, MODEL_RUN).any()),
        part=part,
    )


def _own_times(nodes: Events, events: Events) -> list[int | None]:
    """Own time of node events, nested among themselves; None for all others."""
    own: list[int | None] = [None] * len(events)
    at = np.searchsorted(events.order, nodes.order).tolist()
    for position, time_us in zip(at, nesting(nodes).self_us.tolist(), strict=True):
        own[position] = time_us
    return own


def _joined(parts: Sequence[Events]) -> Events:
    """The events of all parts in the order of the file; they share one table of signatures."""

    def together(arrays: Sequence[Ints]) -> Ints:
        joined: Ints = np.concatenate(arrays)[by_order]
        return joined

    by_order = np.argsort(np.concatenate([part.order for part in parts]), kind="stable")
    words = {
        word: Words(together([getattr(part, word).codes for part in parts]),
                    getattr(parts[0], word).texts)
        for word in ("name", "op_type", "provider", "input_shapes", "output_shapes")
    }  # fmt: skip
    return Events(
        start=together([part.start for part in parts]),
        duration=together([part.duration for part in parts]),
        order=together([part.order for part in parts]),
        lane=together([part.lane for part in parts]),
        sig=together([part.sig for part in parts]),
        numbers={},
        **words,
    )


def _named(events: Events, name: str) -> Flags:
    wanted = np.array([text == name for text in events.name.texts] or [False])
    flags: Flags = wanted[events.name.codes] if len(events) else np.zeros(0, bool)
    return flags


def _of_category(stored: StoredTrace, events: Events, category: int) -> Flags:
    wanted = np.array([s.category == category for s in stored.signatures] or [False])
    flags: Flags = wanted[events.sig] if len(events) else np.zeros(0, bool)
    return flags
