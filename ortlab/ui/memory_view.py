"""Memory: the arena over one run, the peak and who holds it, and the peaks of all runs."""

from __future__ import annotations

import streamlit as st

from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.memory import AllocatorMemory, MemoryReport
from ortlab.domain.trace import Profile
from ortlab.ui import selection, table_view, words
from ortlab.ui.table_view import Column

_ALIVE = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("requested_bytes", "Requested", "bytes", group="bytes"),
    Column("bytes", "Taken", "bytes",
           "The arena hands out pieces that can be larger than what was asked for.", "bytes"),
    Column("share", "Share of the peak", "share"),
    Column("since_us", "Since", "time", "When the node began, from the start of the run."),
    Column("sure", "Told by", help="Where several outputs have the same size, which of them is "
           "still there is inferred from types, shapes and order."),
    Column("scope", "Inside"),
)  # fmt: skip
_POINTS = (
    Column("name", "Node"),
    Column("at_us", "At", "time"),
    Column("in_use_bytes", "In use", "bytes", group="bytes"),
    Column("requested_bytes", "Requested", "bytes", "Without the arena's rounding.", "bytes"),
    Column("arena_bytes", "Held by the arena", "bytes", group="bytes"),
)
_RUNS = (
    Column("index", "Run", "count"),
    Column("kind", "Kind"),
    Column("peak_bytes", "Peak", "bytes", group="bytes"),
    Column("last_bytes", "After the last node", "bytes", group="bytes"),
    Column("arena_bytes", "Held by the arena", "bytes", group="bytes"),
)
_UNNAMED = {
    "planned": "In this run nodes allocate nothing one by one: ONNX Runtime planned one block for "
    "all of them before the first node, so whose bytes they are cannot be told.",
    "parallel": "Nodes or runs went on at the same time, so each figure holds what others "
    "allocated meanwhile, and no bytes can be given to a node.",
    "bodies": "The peak lies in the graph of an If, Loop or Scan. What its iterations hand on, and "
    "the block that is planned for them, cannot be told apart, so no node is given those bytes.",
    "many": "This run has too many nodes to follow one by one, so no bytes are given to them.",
}
_SCOPE = (
    "These are the bytes of the provider's arena in ONNX Runtime as of the end of each node. In "
    "them: outputs of nodes, the model's outputs, and such weights and packed copies of weights as "
    "ONNX Runtime keeps there. Not in them: the model's inputs, the rest of the process, memory "
    "that a provider allocates for itself, and what a node takes and gives back while it runs."
)


_ALIVE_KEY = "memory-alive"
# Of the figures' rows; the CSV has all of them, and a view sends 100 kB at most.
_TABLE_LIMIT = 100


def show(report: MemoryReport | None, profile: Profile) -> None:
    """The whole view; says what is missing where the trace has no memory fields."""
    if report is None:
        _nothing(profile)
        return
    allocator = _picked(report)
    _headline(report, allocator)
    _usage(report, allocator, profile)
    _alive(allocator, profile)
    _runs(allocator)
    st.caption(_SCOPE)


def _nothing(profile: Profile) -> None:
    written = f" This one looks like {profile.ort_version}." if profile.ort_version else ""
    st.info(
        "This trace has no memory fields. ONNX Runtime writes them since 1.28, for providers "
        f"whose allocator counts; with the CPU arena switched off there are none.{written}",
        icon=":material/info:",
    )


def _picked(report: MemoryReport) -> AllocatorMemory:
    """The arena that is shown: the one with the highest peak unless another is chosen."""
    if len(report.allocators) == 1:
        return report.allocators[0]
    numbers = list(range(len(report.allocators)))
    chosen = st.radio(
        "Arena of", numbers, key="memory-arena", horizontal=True,
        format_func=lambda i: _arena_label(report.allocators[i]),
    )  # fmt: skip
    return report.allocators[chosen]


def _arena_label(allocator: AllocatorMemory) -> str:
    return words.safe(" and ".join(map(providers.label, allocator.providers)), limit=80)


def _headline(report: MemoryReport, allocator: AllocatorMemory) -> None:
    st.markdown(_peak_words(report, allocator))
    st.caption(_run_words(report))
    notes = _notes(report, allocator)
    if notes:
        st.caption(" ".join(notes))


def _peak_words(report: MemoryReport, allocator: AllocatorMemory) -> str:
    name = words.safe(allocator.peak_name or allocator.peak_op_type, limit=80)
    # Another run may reach more; the peak of every run is further down.
    where = "At" if report.run_index is None else f"In run {report.run_index}, at"
    text = (
        f"{where} most **{units.size(allocator.peak_bytes)}** are in use after a node, "
        f"{name} ({words.safe(allocator.peak_op_type)})."
    )
    if allocator.inside_bytes is not None:
        inside = words.safe(allocator.inside_name, limit=80)
        text += (
            f" While {inside} ran, or just before it, the arena reached "
            f"**{units.size(allocator.inside_bytes)}**."
        )
    return text


def _run_words(report: MemoryReport) -> str:
    if report.run_index is None:
        return "The file holds no whole run, so all its nodes are shown as one."
    kind = "a warm-up run" if report.warmup else "a steady run"
    return (
        f"Run {report.run_index}, {kind}, is shown: of all runs it is the one, or one of those, "
        "in which most allocations can be seen."
    )


def _notes(report: MemoryReport, allocator: AllocatorMemory) -> list[str]:
    notes = []
    if allocator.planned_bytes is not None:
        notes.append(
            f"Later runs begin with {units.size(allocator.planned_bytes)} more in use: the block "
            "that ONNX Runtime plans from the first run with the same shapes and allocates at "
            "once, and outputs that the program still keeps."
        )
    if allocator.steady_peak_bytes not in (None, allocator.peak_bytes):
        notes.append(f"Steady runs reach {units.size(allocator.steady_peak_bytes)} (median).")
    if allocator.session_peak_bytes > max(allocator.peak_bytes, allocator.inside_bytes or 0):
        notes.append(
            f"The arena's own highest mark, loading the model included, is "
            f"{units.size(allocator.session_peak_bytes)}."
        )
    if allocator.compiled_count:
        notes.append(
            f"{units.count(allocator.compiled_count)} node events of this run stand for parts of "
            "the model that a provider compiled; what those allocate for themselves is not counted."
        )
    if report.untold_count:
        notes.append(
            f"{units.count(report.untold_count)} of {units.count(report.event_count)} node events "
            "of this run have no memory fields."
        )
    return notes


def _usage(report: MemoryReport, allocator: AllocatorMemory, profile: Profile) -> None:
    from ortlab.charts import memory as charts

    names = _names(profile)
    rows = [
        {"name": names.get(p.node, f"node {p.node}"), "at_us": p.at_us,
         "in_use_bytes": p.in_use_bytes, "requested_bytes": p.requested_bytes,
         "arena_bytes": p.arena_bytes}
        for p in allocator.points
    ]  # fmt: skip
    table_view.chart_and_table(
        lambda: charts.usage(allocator, duration_us=report.duration_us, names=names),
        lambda: table_view.show(rows, _POINTS, key="memory-points", name="memory",
                                limit=_TABLE_LIMIT,
                                alt="Bytes in use after each node"),
        key="memory",
        alt="Bytes in use over the run, the peak marked; table below",
    )  # fmt: skip
    if len(allocator.points) < allocator.point_count:
        st.caption(
            f"{units.count(len(allocator.points))} of {units.count(allocator.point_count)} node "
            "events are drawn: the highest, lowest and last of each stretch, so no peak is missing."
        )


def _alive(allocator: AllocatorMemory, profile: Profile) -> None:
    st.subheader("In use at the peak", anchor=False)
    if allocator.unnamed_because:
        st.caption(_UNNAMED[allocator.unnamed_because])
    st.markdown(_split_words(allocator))
    if not allocator.alive:
        return
    rows = [
        {"name": node.name or f"unnamed {node.op_type}", "op_type": node.op_type,
         "requested_bytes": node.requested_bytes, "bytes": node.bytes,
         "share": node.share, "since_us": node.since_us,
         "sure": "its size" if node.sure else "size and order", "scope": node.scope or None}
        for node in allocator.alive
    ]  # fmt: skip
    nodes = [node.node for node in allocator.alive]
    selected = selection.selected_node()
    table_view.show(
        rows, _ALIVE, key=selection.widget_key(_ALIVE_KEY), name="alive-at-peak",
        alt="Nodes whose bytes are in use at the peak",
        marked=nodes.index(selected) if selected in nodes else None,
        on_row=lambda i: selection.select_node(nodes[i], by=_ALIVE_KEY),
    )  # fmt: skip
    if len(allocator.alive) < allocator.alive_count:
        st.caption(f"The {len(allocator.alive)} largest of {allocator.alive_count} nodes.")


def _split_words(allocator: AllocatorMemory) -> str:
    """The peak as a sum, in one sentence."""
    parts = [f"{units.size(allocator.before_bytes)} were there before the run's first node"]
    if allocator.alive:
        parts.append(f"{units.size(allocator.alive_bytes)} are outputs of the nodes below")
    if allocator.unexplained_bytes:
        parts.append(f"{units.size(allocator.unexplained_bytes)} cannot be told")
    return f"Of {units.size(allocator.peak_bytes)}, " + ", ".join(parts) + "."


def _runs(allocator: AllocatorMemory) -> None:
    """Peaks of all runs, where there is more than one."""
    if allocator.run_count < 2:
        return
    from ortlab.charts import memory as charts

    peaks = {run.peak_bytes for run in allocator.runs}
    if len(peaks) == 1 and not allocator.arena_growth_bytes:
        st.caption(
            f"All {units.count(allocator.run_count)} runs have the same peak, and what the arena "
            "holds does not grow."
        )
        return
    st.subheader("Peak of every run", anchor=False)
    rows = [
        {"index": r.index, "kind": "warm-up" if r.warmup else "steady",
         "peak_bytes": r.peak_bytes, "last_bytes": r.last_bytes, "arena_bytes": r.arena_bytes}
        for r in allocator.runs
    ]  # fmt: skip
    table_view.chart_and_table(
        lambda: charts.runs(allocator),
        lambda: table_view.show(rows, _RUNS, key="memory-runs", name="memory-runs", search=False,
                                limit=_TABLE_LIMIT,
                                alt="Peak of every run"),
        key="memory-run-peaks",
        alt="Peak of every run; table below",
    )  # fmt: skip
    growth = allocator.arena_growth_bytes
    if growth:
        st.caption(
            f"From the first run to the last, what the arena holds "
            f"{'grows' if growth > 0 else 'shrinks'} by {units.size(abs(growth))}."
        )


def _names(profile: Profile) -> dict[int, str]:
    return {node.order: node.name or f"unnamed {node.op_type}" for node in profile.nodes}
