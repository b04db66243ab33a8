"""Profile: how far it can be trusted, then the same time seen five ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.trace import NodeRow, Profile, TraceEvent
from ortlab.ui import table_view, words
from ortlab.ui.table_view import Column

_OPERATORS = (
    Column("op_type", "Operator"),
    Column("provider", "Provider"),
    Column("share", "Share", "share", "Of all node time, nested nodes not counted twice."),
    Column("self_us", "Self time, all runs", "time", group="sum"),
    Column("total_us", "With nested, all runs", "time", group="sum"),
    Column("mean_us", "Mean per call", "time"),
    Column("calls", "Calls", "count"),
    Column("node_count", "Nodes", "count"),
)
_NODES = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("provider", "Provider"),
    Column("share", "Share", "share"),
    Column("p50_us", "p50", "time", group="per call"),
    Column("p95_us", "p95", "time", group="per call"),
    Column("self_us", "Self time, all runs", "time", group="sum"),
    Column("calls", "Calls", "count"),
    Column("input_shapes", "Input shapes"),
    Column("output_shapes", "Output shapes"),
    Column("output_bytes", "Output", "bytes"),
    Column("scope", "Inside"),
)
_PROVIDERS = (
    Column("provider", "Provider"),
    Column("node_count", "Nodes", "count"),
    Column("share", "Share", "share"),
    Column("self_us", "Self time, all runs", "time", group="sum"),
)
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


def operators(profile: Profile) -> None:
    """Bars of the costliest operators, the table of all, and the providers."""
    from ortlab.charts import operators as charts

    _chart(charts.bars(profile), key="operators", alt="Self time by operator; table below")
    table_view.show(_operator_rows(profile), _OPERATORS, key="operators-table", name="operators",
                    alt="Time by operator")  # fmt: skip
    rows = [
        {"provider": _provider(p.provider, profile), "node_count": p.node_count, "share": p.share,
         "self_us": p.self_us or p.total_us}
        for p in profile.providers
    ]  # fmt: skip
    if len(rows) > 1:
        table_view.show(rows, _PROVIDERS, key="providers-table", name="providers",
                        alt="Time by provider")  # fmt: skip


def icicle(profile: Profile) -> None:
    """Provider, operator, node as one picture; its table is that of the nodes."""
    from ortlab.charts import icicle as charts

    _chart(charts.icicle(profile), key="icicle", alt="Self time by provider, operator and node")
    st.caption("Width is self time. Click a block to look inside it, the bar on top to go back.")
    with st.expander("Table", icon=":material/table:"):
        _node_table(profile, key="icicle-nodes")


def nodes(profile: Profile) -> None:
    """Every node with its shapes; the table sorts by any column."""
    _node_table(profile, key="nodes")


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


def _provider(name: str, profile: Profile) -> str:
    """The provider's label; where it returns before its work is done, times are launch times."""
    label = providers.label(name)
    return f"{label}, launch times" if name in profile.async_providers else label


def _chart(figure: Any, *, key: str, alt: str) -> None:
    from ortlab.charts import theme

    st.plotly_chart(figure, key=f"{key}-chart", config=theme.CONFIG, alt=alt)


def _operator_rows(profile: Profile) -> list[dict[str, Any]]:
    return [
        {"op_type": r.op_type, "provider": _provider(r.provider, profile), "share": r.share,
         "self_us": r.self_us, "total_us": r.total_us, "calls": r.calls,
         "mean_us": r.mean_us or r.total_us / max(1, r.calls), "node_count": r.node_count or None}
        for r in sorted(profile.operators, key=lambda r: -r.self_us)
    ]  # fmt: skip


def _node_table(profile: Profile, *, key: str) -> None:
    total = sum(n.self_us for n in profile.nodes) or 1
    rows = [_node_row(n, total, profile) for n in sorted(profile.nodes, key=lambda n: -n.self_us)]
    if not rows:
        st.caption("The profile holds no node events.")
        return
    st.caption(f"{units.count(len(rows))} nodes over {profile.counted_runs} runs. A fused node "
               "stands for all nodes it was made of.")  # fmt: skip
    table_view.show(rows, _NODES, key=key, alt="Time by node", name="nodes", height=520)


def _node_row(node: NodeRow, total_us: int, profile: Profile) -> dict[str, Any]:
    return {
        "name": node.name or f"unnamed {node.op_type}",
        "op_type": node.op_type,
        "provider": _provider(node.provider, profile),
        "share": node.self_us / total_us,
        "p50_us": node.p50_us,
        "p95_us": node.p95_us,
        "self_us": node.self_us,
        "calls": node.calls,
        "input_shapes": node.input_shapes or None,
        "output_shapes": node.output_shapes or None,
        "output_bytes": node.output_bytes,
        "scope": node.scope or None,
    }
