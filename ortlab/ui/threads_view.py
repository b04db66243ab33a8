"""Threads: what the calling thread did in ORT's pool, and how often the helpers took part."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.threads import ALONE, HANDS_OUT, ONE_THREAD, WAITS, PoolRow, ThreadReport
from ortlab.domain.trace import Profile
from ortlab.ui import selection, table_view
from ortlab.ui.table_view import Column

_SAYS = {
    WAITS: "waits for helpers",
    ALONE: "helpers come too late",
    HANDS_OUT: "loops too short",
    ONE_THREAD: "one thread only",
}
_MEANING = {
    WAITS: "the calling thread waits at least half of its time in loops. Their work is split "
    "unevenly, or the helpers' cores are busy with something else; more threads will not help.",
    ALONE: "the calling thread runs nearly all loops alone. The helpers come too late, or their "
    "cores are busy.",
    HANDS_OUT: "a quarter or more of the time in loops goes into handing them out: too little work "
    "for so many threads.",
    ONE_THREAD: "one thread only, so more threads make no difference.",
}
_FIGURES = (
    Column("provider", "Provider"),
    Column("says", "What stands out"),
    Column("duration_us", "Time", "time", "All calls in steady runs.", "sum"),
    Column("run_us", "Work in loops", "time", "The calling thread's own part.", "sum"),
    Column("wait_us", "Waiting", "time",
           "The calling thread has done its part and waits for the others.", "sum"),
    Column("distribution_us", "Handing out", "time", group="sum"),
    Column("pool_share", "In loops", "share", "Of the node time, spent in parallel loops."),
    Column("wait_share", "Waiting, of that", "share"),
    Column("joined_share", "Helpers present", "share",
           "Of the times that helper threads could have taken part in a loop."),
    Column("imbalance", "Imbalance", "number",
           "Loops of the busiest thread ÷ mean over all threads: 1 is even, the number of threads "
           "is one thread alone."),
    Column("loop_count", "Loops", "count"),
    Column("block_size", "Block", "count", "Median iterations that a thread takes at a time."),
    Column("calls", "Calls", "count"),
)  # fmt: skip
_OPERATORS = (Column("op_type", "Operator"), *_FIGURES)
_NODES = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    *_FIGURES,
    Column("scope", "Inside"),
)
_HELPERS = (
    Column("helper", "Helper", "count"),
    Column("pool", "Pool"),
    Column("loop_count", "Loops it took part in", "count"),
    Column("share", "Of all loops", "share"),
)
_SCOPE = (
    "Steady runs only; nodes that hold a graph of their own are left out. ONNX Runtime records the "
    "calling thread's times, the loops that each helper took part in, and the size of blocks; how "
    "many blocks each thread took is not recorded."
)


_OPERATOR_LIMIT = 100
_NODES_KEY = "threads-nodes"


def show(report: ThreadReport | None, profile: Profile) -> None:
    """The whole view; says what is missing where the trace tells of no pool."""
    if report is None:
        written = f" This one looks like {profile.ort_version}." if profile.ort_version else ""
        st.info(
            "This trace tells nothing about a thread pool: the session ran with one thread, or "
            f"ONNX Runtime is older than 1.10, or another provider did the work.{written}",
            icon=":material/info:",
        )
        return
    st.markdown(_headline(report))
    for note in _notes(report):
        st.caption(note)
    _operators(report)
    _nodes(report)
    _threads(report)
    st.caption(_SCOPE)


def _headline(report: ThreadReport) -> str:
    in_loops = report.run_us + report.wait_us + report.distribution_us
    if not in_loops:
        if report.untold_count:
            return "No node that tells about the thread pool ran a parallel loop."
        return "No node ran a parallel loop: everything ran on the calling thread."
    several = report.helper_count > 1
    helpers = f"The {report.helper_count} helper threads" if several else "The helper thread"
    text = (
        f"Of {units.time(report.node_us)} in nodes, **{units.share(in_loops / report.node_us)}** "
        f"are parallel loops; in these the calling thread waits for others "
        f"**{units.share(report.wait_us / in_loops)}** of the time."
    )
    if report.joined_share is not None:
        text += f" {helpers} took part in **{units.share(report.joined_share)}** of these loops."
    return text


def _notes(report: ThreadReport) -> list[str]:
    notes = [_standing_out(report, kind) for kind in (WAITS, ALONE, HANDS_OUT, ONE_THREAD)]
    if report.no_pool_count:
        notes.append(
            f"{units.count(report.no_pool_count)} of {units.count(report.event_count)} node events "
            f"used no pool at all ({units.time(report.no_pool_us)})."
        )
    if report.untold_count:
        notes.append(f"{units.count(report.untold_count)} node events tell nothing about a pool, "
                     "or launched work on a device.")  # fmt: skip
    if report.concurrent:
        notes.append(
            "Nodes or runs overlapped and share the pool's counters, so who took part in which "
            "loop is not sure."
        )
    return [note for note in notes if note]


def _standing_out(report: ThreadReport, kind: str) -> str:
    """How many nodes, else operators, the figures say this of, and what it means."""
    for what, rows in (("node", report.nodes), ("operator", report.operators)):
        found = [row for row in rows if row.says == kind]
        if found:
            time = units.time(sum(row.duration_us for row in found))
            return f"{len(found)} {what}{'s' * (len(found) != 1)}, {time}: {_MEANING[kind]}"
    return ""


def _operators(report: ThreadReport) -> None:
    from ortlab.charts import threads as charts

    rows = [_row(row) | {"op_type": row.op_type} for row in report.operators]
    table_view.chart_and_table(
        lambda: charts.by_operator(report),
        lambda: table_view.show(rows, _OPERATORS, key="threads-operators", name="threads",
                                limit=_OPERATOR_LIMIT,
                                alt="Thread pool by operator"),
        key="threads",
        alt="What the calling thread did, by operator; table below",
    )  # fmt: skip


def _nodes(report: ThreadReport) -> None:
    st.subheader("By node", anchor=False)
    rows = [
        _row(row) | {"name": row.name or f"unnamed {row.op_type}", "op_type": row.op_type,
                     "scope": row.scope or None}
        for row in report.nodes
    ]  # fmt: skip
    nodes = [row.node for row in report.nodes]
    selected = selection.selected_node()
    table_view.show(
        rows, _NODES, key=selection.widget_key(_NODES_KEY), name="threads-nodes", height=420,
        alt="Thread pool by node",
        marked=nodes.index(selected) if selected in nodes else None,
        on_row=lambda i: selection.select_node(nodes[i], by=_NODES_KEY),
    )  # fmt: skip
    if len(report.nodes) < report.node_count:
        st.caption(f"The {len(report.nodes)} costliest of {units.count(report.node_count)} nodes.")


def _threads(report: ThreadReport) -> None:
    """Loops of each helper, where there are several to compare."""
    if len(report.threads) < 2 or not report.loop_count:
        return
    from ortlab.charts import threads as charts

    st.subheader("By helper thread", anchor=False)
    rows = [
        {"helper": t.number, "pool": t.pool or None, "loop_count": t.loop_count, "share": t.share}
        for t in report.threads
    ]
    table_view.chart_and_table(
        lambda: charts.helpers(report),
        lambda: table_view.show(rows, _HELPERS, key="threads-helpers", name="helpers",
                                alt="Loops by helper thread", search=False),
        key="threads-by-helper",
        alt="Loops that each helper took part in, whole file; table below",
    )  # fmt: skip


def _row(row: PoolRow) -> dict[str, Any]:
    return {
        "provider": providers.label(row.provider),
        "says": _SAYS.get(row.says),
        "duration_us": row.duration_us,
        "run_us": row.run_us,
        "wait_us": row.wait_us,
        "distribution_us": row.distribution_us,
        "pool_share": row.pool_share,
        "wait_share": row.wait_share,
        "joined_share": row.joined_share,
        "imbalance": row.imbalance,
        "loop_count": row.loop_count,
        "block_size": row.block_size,
        "calls": row.calls,
    }
