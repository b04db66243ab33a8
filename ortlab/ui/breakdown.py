"""Profile: how far it can be trusted, its runs, and one of them along time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.trace import Profile, TraceEvent
from ortlab.ui import table_view, words
from ortlab.ui.table_view import Column

_RUNS = (
    Column("index", "Run", "count"),
    Column("kind", "Kind"),
    Column("duration_us", "Duration", "time"),
    Column("node_time_us", "In nodes", "time"),
    Column("node_count", "Node events", "count"),
    Column("start_us", "Started at", "time"),
)
_EVENTS = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("provider", "Provider"),
    Column("start_us", "Started at", "time"),
    Column("duration_us", "Duration", "time"),
    Column("self_us", "Self time", "time", group="sum"),
    Column("thread", "Thread", "count"),
    Column("depth", "Nested", "count"),
)
_GRADES = {"A": "green", "B": "green", "C": "orange", "D": "orange", "E": "red", "F": "red"}


def trust(profile: Profile) -> None:
    """The grade with its reasons, and what the profiler itself cost."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        grade = profile.trust.grade
        st.badge(f"Trust {grade}", icon=":material/verified:",
                 color=_GRADES.get(grade, "gray"))  # type: ignore[arg-type]  # fmt: skip
        st.markdown(_facts(profile), width="content")
    for reason in profile.trust.reasons:
        st.caption(f":material/info: {words.safe(reason.message, limit=400)}")


def _facts(profile: Profile) -> str:
    steady = [r for r in profile.runs if not r.warmup]
    parts = [f"{len(profile.runs)} runs, {len(steady)} of them steady" if profile.runs
             else "no whole run in the file"]  # fmt: skip
    parts.append(f"{units.count(profile.node_event_count)} node events")
    if profile.damaged_event_count:
        parts.append(f"{units.count(profile.damaged_event_count)} damaged")
    if profile.truncated:
        parts.append("cut off: the last run may be missing")
    if profile.twin_p50_us is not None:
        twin = f"{units.time(profile.twin_p50_us)} per run without the profiler"
        if profile.overhead_ratio is not None:
            twin += f", {units.significant(profile.overhead_ratio, 3)}× as long with it"
        parts.append(twin)
    if profile.session.init_us is not None:
        parts.append(f"session opened in {units.time(profile.session.init_us)}")
    return " · ".join(parts)


def runs(profile: Profile) -> None:
    """Run after run, warm-up told apart."""
    from ortlab.charts import samples as charts

    _chart(charts.runs(profile), key="runs", alt="Duration of every run; table below")
    rows = [
        {"index": r.index, "kind": "warm-up" if r.warmup else "steady",
         "duration_us": r.duration_us, "node_time_us": r.node_time_us or None,
         "node_count": r.node_count, "start_us": r.start_us}
        for r in profile.runs
    ]  # fmt: skip
    table_view.show(rows, _RUNS, key="runs-table", alt="Every profiled run", name="runs",
                    search=False)  # fmt: skip


def pick_run(profile: Profile) -> int | None:
    """The run whose timeline is shown: a steady one of middling length unless chosen."""
    if not profile.runs:
        st.info("The file holds no whole run, so there is no timeline.", icon=":material/info:")
        return None
    steady = [r for r in profile.runs if not r.warmup] or list(profile.runs)
    middling = sorted(steady, key=lambda r: r.duration_us)[len(steady) // 2]
    indexes = [r.index for r in profile.runs]
    names = {r.index: f"run {r.index}, {units.time(r.duration_us)}" + ", warm-up" * r.warmup
             for r in profile.runs}  # fmt: skip
    return st.selectbox("Run", indexes, index=indexes.index(middling.index), width=280,
                        format_func=lambda i: names[i], key="timeline-run")  # fmt: skip


def timeline(events: Sequence[TraceEvent]) -> None:
    """One run along time, and its events as a table."""
    from ortlab.charts import timeline as charts

    _chart(charts.timeline(events), key="timeline", alt="Node events of one run; table below")
    left_out = charts.dropped(events)
    if left_out:
        st.caption(f"The {units.count(left_out)} shortest events are left out of the picture.")
    start = min((e.start_us for e in events), default=0)
    rows = [
        {"name": e.name, "op_type": e.op_type, "provider": providers.label(e.provider),
         "start_us": e.start_us - start, "duration_us": e.duration_us, "self_us": e.self_us,
         "thread": e.thread, "depth": e.depth}
        for e in events
    ]  # fmt: skip
    with st.expander("Table", icon=":material/table:"):
        table_view.show(rows, _EVENTS, key="events", alt="Node events of one run", name="events")


def _chart(figure: Any, *, key: str, alt: str) -> None:
    from ortlab.charts import theme

    st.plotly_chart(figure, key=f"{key}-chart", config=theme.CONFIG, alt=alt)
