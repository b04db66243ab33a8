"""Runs: how long each took, which are warm-up or stand out, and why one of them did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from ortlab.analysis.reading import slow_run
from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.trace import Profile, Run, TraceEvent
from ortlab.ui import selection, table_view, words
from ortlab.ui.table_view import Column

ROW_LIMIT = 300
_NAMED = 3
_CHART, _TABLE = "runs-chart", "runs-table"
_RUNS = (
    Column("index", "Run", "count"),
    Column("kind", "Kind"),
    Column("duration_us", "Duration", "time", group="run"),
    Column("node_time_us", "In nodes", "time", "Own time of all its node events.", group="run"),
    Column("framework_us", "Around the executor", "time",
           "What ONNX Runtime does before and after it executes the graph.", group="run"),
    Column("node_count", "Node events", "count"),
    Column("executor_count", "Graphs executed", "count",
           "The model's, and one for each time that If, Loop or Scan ran a body."),
    Column("session", "Session", "count"),
    Column("start_us", "Started at", "time"),
)  # fmt: skip
_NODES = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("provider", "Provider"),
    Column("more_us", "More than usual", "time", group="beside"),
    Column("us", "In this run", "time", group="beside"),
    Column("usual_us", "In the median run", "time", group="beside"),
    Column("calls", "Calls", "count"),
    Column("usual_calls", "Calls, median run", "count"),
)


def show(profile: Profile, events: Callable[[int], Sequence[TraceEvent]] | None = None) -> None:
    """Every run as a chart and a table; a chosen one beside the median run.

    Args:
        profile: whose runs to show.
        events: the node events of a run by its index; without it no run is taken apart.
    """
    from ortlab.charts import runs as charts
    from ortlab.charts import theme

    if not profile.runs:
        st.info("The file holds no whole run, so there is nothing to compare.",
                icon=":material/info:")  # fmt: skip
        return
    st.markdown(summary(profile))
    chosen = selection.selected_run()
    st.plotly_chart(
        charts.runs(profile, selected=chosen), key=selection.widget_key(_CHART),
        config=theme.CONFIG, alt="Duration of every run; the table below holds the numbers",
        on_select=selection.on_points(_CHART, lambda i: selection.select_run(int(i), by=_CHART)),
        selection_mode="points",
    )  # fmt: skip
    run = next((r for r in profile.runs if r.index == chosen), None)
    if run is None:
        st.caption("Click a run to see which nodes made it slow or fast.")
    elif events is not None:
        _beside(profile, run, events)
    with st.expander("Table of runs", icon=":material/table:"):
        _table(profile, chosen)


def summary(profile: Profile) -> str:
    """What the durations say, in one line; numbers only."""
    counted = [r for r in profile.runs if not (r.warmup or r.partial)]
    warm, far = sum(r.warmup for r in profile.runs), sum(r.outlier for r in profile.runs)
    parts = []
    if counted:
        middle = sorted(r.duration_us for r in counted)[(len(counted) - 1) // 2]
        parts.append(f"Median of {units.count(len(counted))} steady runs "
                     f"**{units.time(middle)}**")  # fmt: skip
    if warm:
        longest = max(r.duration_us for r in profile.runs if r.warmup)
        parts.append(f"{warm} warm-up run{'s' * (warm > 1)}, up to {units.time(longest)}")
    parts += [f"{far} outlier{'s' * (far > 1)}"] * bool(far)
    missing = sum(r.partial for r in profile.runs)
    parts += [f"{missing} without all nodes"] * bool(missing)
    parts += [f"changed from run {r.index} on" for r in profile.runs if r.changed][:1]
    return " · ".join(parts)


def _table(profile: Profile, chosen: int | None) -> None:
    rows = _Rows(profile.runs)
    columns = [c for c in _RUNS if c.key != "session" or rows.several]
    at = next((i for i, r in enumerate(profile.runs) if r.index == chosen), None)
    table_view.show(
        rows, columns, key=selection.widget_key(_TABLE), alt="Every profiled run", name="runs",
        search=False, limit=ROW_LIMIT, marked=at,
        on_row=lambda i: selection.select_run(profile.runs[i].index, by=_TABLE),
    )  # fmt: skip


class _Rows(Sequence[dict[str, Any]]):
    """A row per run, made when it is looked at: a long recording has more than are shown."""

    def __init__(self, found: Sequence[Run]) -> None:
        self._found = found
        self.several = found[-1].session > 0

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, at: Any) -> Any:
        return _row(self._found[at], several=self.several)


def _row(run: Run, *, several: bool) -> dict[str, Any]:
    from ortlab.charts import runs as charts

    around = None if run.executor_us is None else max(0, run.duration_us - run.executor_us)
    return {
        "index": run.index, "kind": charts.kind(run) + ", changed here" * run.changed,
        "duration_us": run.duration_us, "node_time_us": run.node_time_us or None,
        "framework_us": around, "node_count": run.node_count,
        "executor_count": run.executor_count or None,
        "session": run.session + 1 if several else None, "start_us": run.start_us,
    }  # fmt: skip


def _beside(profile: Profile, run: Run, events: Callable[[int], Sequence[TraceEvent]]) -> None:
    """A run beside the median run: how much of the difference is in which nodes."""
    usual = slow_run.usual_run(profile.runs, run)
    found = slow_run.beside(run, usual, events=events(run.index), usual_events=events(usual.index))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"Run {run.index} beside the median run", anchor=False)
        st.button("Timeline", icon=":material/view_timeline:", key="run-timeline", type="tertiary",
                  on_click=selection.open_view, args=("timeline",))  # fmt: skip
        st.button("Close", icon=":material/close:", key="run-close", type="tertiary",
                  on_click=selection.select_run, args=(None,))  # fmt: skip
    st.markdown(beside_text(found))
    if run.index != usual.index:
        with st.expander("Nodes by difference", icon=":material/table:"):
            _node_table(found)


def beside_text(found: slow_run.RunBeside) -> str:
    """How the run differs, and which nodes it is; as Markdown."""
    run, usual = found.run, found.usual
    if run.index == usual.index:
        return f"Run {run.index} is the median run itself: **{units.time(run.duration_us)}**."
    way = "longer" if found.more_us >= 0 else "shorter"
    more = units.time(abs(found.more_us))
    text = f"It took **{units.time(run.duration_us)}**, {more} {way} than run {usual.index}."
    if not found.more_us or not found.nodes:
        return text
    part = found.nodes_more_us / found.more_us
    inside = units.share(min(1.0, max(0.0, part)))
    text += f" {inside} of the difference is inside nodes, the rest between them."
    for lead, on_device in (("Most of it", False), ("On the device", True)):
        rows = [row for row in found.nodes if row.is_device == on_device]
        named = _named(rows, longer=found.more_us > 0)
        text += f" {lead}: {named}." if named else ""
    return text


def _named(rows: Sequence[slow_run.NodeBeside], *, longer: bool) -> str:
    """The few rows that make most of the difference, as Markdown."""
    sign, way = (1, "longer") if longer else (-1, "shorter")
    first = [row for row in rows if row.more_us * sign > 0][:_NAMED]
    return ", ".join(
        f"**{words.safe(row.name or row.op_type, limit=60)}** "
        f"({units.time(abs(row.more_us))} {way})" for row in first
    )  # fmt: skip


def _node_table(found: slow_run.RunBeside) -> None:
    rows = [
        {"name": row.name or f"unnamed {row.op_type}", "op_type": row.op_type,
         "provider": providers.label(row.provider) + ", on the device" * row.is_device,
         "more_us": row.more_us, "us": row.us,
         "usual_us": row.usual_us, "calls": row.calls, "usual_calls": row.usual_calls}
        for row in found.nodes
    ]  # fmt: skip
    table_view.show(rows, _NODES, key="run-nodes", alt="Nodes of the run beside the median run",
                    name=f"run-{found.run.index}-nodes", limit=ROW_LIMIT)  # fmt: skip
