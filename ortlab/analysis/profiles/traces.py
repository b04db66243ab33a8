"""What a stored trace means: the profile that pages, tables and the command line show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from ortlab.analysis.devices.device import with_device
from ortlab.analysis.profiles.node_rows import node_rows
from ortlab.analysis.profiles.operators import (
    Counted,
    copies,
    counted,
    operator_rows,
    provider_rows,
    shape_rows,
)
from ortlab.analysis.profiles.summary import with_twin
from ortlab.analysis.reading.arrays import Flags
from ortlab.analysis.reading.derived import Derived, derive
from ortlab.analysis.reading.runs import OUTSIDE, run_rows
from ortlab.analysis.reading.stored_events import Events, StoredTrace
from ortlab.analysis.trusting.claims import Rows, claimed
from ortlab.analysis.trusting.trust import Evidence, async_providers, trust
from ortlab.domain.trace import NOT_TOLD, Profile, SessionTimes

# Session, Node, Kernel and Api; the worker lists what else it met after them.
KNOWN_CATEGORIES = 4
_LOADING = "model_loading"
_INITIALIZATION = "session_initialization"


def profile(
    parquet_path: Path, *, source: str, steady: bool = False, twin_p50_us: float | None = None
) -> Profile:
    """Where the time of a profiled session went; see `profile_of`.

    Raises:
        TraceError: the stored events cannot be read.
    """
    found, evidence = profile_of(derive(parquet_path), source=source, steady=steady)
    return with_twin(found, evidence, twin_p50_us=twin_p50_us)


def profile_of(derived: Derived, *, source: str, steady: bool) -> tuple[Profile, Evidence]:
    """Where the time went, and what its trust is judged by.

    Args:
        derived: the node events, worked out once.
        source: name of the file or configuration, for people.
        steady: leave warm-up runs out, and events that belong to no run.
    """
    stored, table = derived.stored, derived.table
    rows = run_rows(derived.events, table, derived.nested)
    keep = table.steady() if steady else derived.everything
    kept = counted(derived, keep)
    told = _claimed(kept, derived, keep)
    device = None if derived.device is None else derived.device.facts
    evidence = Evidence(
        facts=stored.facts,
        runs=rows,
        providers=told.providers,
        node_event_count=len(derived.node),
        outside_count=int((table.run_of == OUTSIDE).sum()),
        overlapping=table.overlap,
        ambiguous_count=table.ambiguous_count,
        thread_count=len(np.unique(derived.events.lane)),
        device_event_count=stored.device_count,
        steady_only=steady,
        overhead_ratio=None,
        tail_count=table.tail_count,
        drift=table.drift,
        from_executors=table.from_executors,
        clock=derived.clock,
        # What ran on the device is in the profile; the doubts need no more than its sums.
        device=device and replace(device, kernels=()),
    )
    found = Profile(
        source=source,
        runs=rows,
        node_event_count=len(kept.events),
        node_time_us=int(kept.events.duration.sum()),
        toplevel_us=int(kept.events.duration[derived.nested.top[keep]].sum()),
        operators=told.operators,
        providers=told.providers,
        nodes=told.nodes,
        node_count=len(np.unique(kept.node)),
        shapes=told.shapes,
        copies=copies(told.nodes),
        session=_session_times(stored.session),
        trust=trust(evidence),
        steady_only=steady,
        counted_runs=sum(not (steady and (run.warmup or run.partial)) for run in rows),
        async_providers=async_providers(told.providers),
        device=device,
        thread_count=evidence.thread_count,
        pool_run_us=_pool_time(kept, "pool_run_us"),
        pool_wait_us=_pool_time(kept, "pool_wait_us"),
        **_file_fields(stored),
    )
    return found, evidence


def _claimed(kept: Counted, derived: Derived, keep: Flags) -> Rows:
    """The rows of all tables, with device time, and with shares where they may be claimed."""
    nodes = with_device(
        node_rows(kept),
        derived.device,
        node=derived.node,
        run_of=derived.table.run_of,
        keep=keep,
    )
    rows = Rows(
        nodes=nodes,
        operators=operator_rows(kept),
        shapes=shape_rows(kept),
        providers=provider_rows(kept),
    )
    return claimed(rows, None if derived.device is None else derived.device.facts)


def _file_fields(stored: StoredTrace) -> dict[str, Any]:
    """Fields of the profile that the whole file has, whichever runs are counted."""
    facts = stored.facts
    known = set(facts.categories[:KNOWN_CATEGORIES])
    return {
        "ort_version": facts.ort_version,
        "damaged_event_count": facts.damaged_count,
        "recovered_event_count": facts.recovered_count,
        "fence_event_count": facts.fence_count,
        "device_event_count": stored.device_count,
        "device_time_us": stored.device_us,
        "truncated": facts.truncated or facts.dropped_count is not None or facts.capped_count > 0,
        "unknown_fields": facts.unknown_fields,
        "unknown_categories": {
            name: count for name, count in facts.category_counts.items() if name not in known
        },
    }


def _session_times(session: Events) -> SessionTimes:
    """Times of loading and initialization, of all sessions in the file together."""
    load = _time_of(session, lambda name: name.startswith(_LOADING))
    return SessionTimes(load_us=load, init_us=_time_of(session, lambda n: n == _INITIALIZATION))


def _time_of(session: Events, wanted: Callable[[str], bool]) -> int | None:
    marks = np.array([wanted(text) for text in session.name.texts] or [False])
    chosen = marks[session.name.codes] if len(session) else np.zeros(0, bool)
    return int(session.duration[chosen].sum()) if chosen.any() else None


def _pool_time(of: Counted, key: str) -> int | None:
    values = of.derived.stored.column(key, of.events)
    told = values != NOT_TOLD
    return int(values[told].sum()) if told.any() else None
