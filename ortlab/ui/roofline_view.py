"""Roofline: what holds each node back here, and which nodes are worth optimizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ortlab.analysis.rooflines import roofs
from ortlab.analysis.rooflines.node_work import Tensor
from ortlab.analysis.rooflines.roofline import roofline
from ortlab.domain import units
from ortlab.domain.roofline import NodeRoof, Peaks, RooflineReport
from ortlab.domain.trace import Profile
from ortlab.measure.peaks import TYPICAL_S
from ortlab.ui import frame, selection, table_view, words
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

Weights = Mapping[str, Sequence[Tensor | None]]

_SENTENCES = 5
_CHART = "roofline"
_TABLE = "roofline-nodes"
_NODES = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("bound", "Bound", help="What holds it back: arithmetic, memory, or being a node."),
    Column("gain_us", "Gain per run", "time", "If it ran at its bound.", "time"),
    Column("gain_share", "Gain", "share", "Part of the node time of a run."),
    Column("time_us", "Time per run", "time", "Without what the profiler adds.", "time"),
    Column("reached_share", "Of its bound", "share", "How much of what its bound allows."),
    Column("flops", "Arithmetic per run", "flops"),
    Column("flop_per_s", "Arithmetic per second", "flops"),
    Column("bytes", "Moved per run", "traffic"),
    Column("bytes_per_s", "Moved per second", "traffic"),
    Column("intensity", "Arithmetic per byte", "flops"),
    Column("kind", "Numbers"),
    Column("level", "Memory", help="The roof that most of its memory time is counted at."),
    Column("calls_per_run", "Calls per run", "count"),
    Column("why", "Why not known"),
)
_BOUND_WORDS = {
    "compute": "compute-bound",
    "memory": "memory-bound",
    "dispatch": "dispatch-bound",
    "launch": "launches, not classified",
    "unknown": "not classified",
}
_METHOD = (
    "FLOPs and bytes come from the shapes in the trace; a multiply-add counts two, and what one "
    "element of an activation or a normalization costs is an estimate. Bytes are inputs, outputs "
    "and weights, once per call, at the roof of the smallest cache that holds them. A fused node "
    "is counted as its operator says, so what was fused into it is left out. The roofs are the "
    "best of many repeats in ONNX Runtime itself, and not every shape can reach them."
)


def show(
    profile: Profile,
    *,
    threads: int | None = None,
    foreign: bool = False,
    weights: Weights | None = None,
) -> None:
    """The whole view; offers to measure this machine where that was not done yet.

    Args:
        profile: steady runs.
        threads: of one operator when the profile was recorded: None where that is not known,
            0 for as many as ONNX Runtime takes by itself.
        foreign: the trace may come from another machine.
        weights: where the graph is known, the weights of its nodes.
    """
    if not profile.nodes:
        st.info("The profile holds no node events.", icon=":material/info:")
        return
    # The first look at a machine opens a session with every provider, which takes seconds.
    with st.spinner("Looking at this machine …"):
        known = lab().known_peaks(threads)
    peaks = known or _measured(threads)
    if peaks is None:
        return
    asked = None if threads is None else threads or peaks.threads
    report = roofline(profile, peaks, threads=asked, weights=weights, foreign=foreign)
    _headline(report)
    _worth(report)
    selection.strip(profile)
    _figure(report)
    _table(report)
    for caveat in report.caveats:
        st.caption(f":material/info: {words.safe(caveat, limit=500)}")
    st.caption(words.safe(_METHOD, limit=900))
    _roofs(peaks, threads)


def _measured(threads: int | None) -> Peaks | None:
    """The roofs once somebody asked for them; None leaves a button."""
    slot = st.container()
    with slot:
        st.markdown("**Against what?** The roofline compares each node with the best that this "
                    "machine reaches, and that has not been measured yet.")  # fmt: skip
        label = f"Measure this machine's peaks (about {units.duration(TYPICAL_S)})"
        if not st.button(label, icon=":material/speed:", key="peaks", type="primary"):
            return None
    found = _measure(threads)
    if found is not None:
        st.rerun()
    return None


def _measure(threads: int | None) -> Peaks | None:
    """The roofs, measured now with a bar of progress; None after an error was shown."""
    bar = st.progress(0.0, text="Starting …")

    def tell(done_share: float, what: str) -> None:
        bar.progress(done_share, text=f"Measuring {what} …")

    found = frame.attempt(lambda: lab().peaks(threads, refresh=True, on_progress=tell))
    bar.empty()
    return found  # type: ignore[no-any-return]


def _headline(report: RooflineReport) -> None:
    parts = [
        _BOUND_WORDS[row.bound]
        + (f" **{units.share(row.share)}**" if row.share is not None else "")
        + f" ({_nodes(row.node_count)})"
        for row in sorted(report.bounds, key=lambda row: -row.time_us)
    ]
    if not any(row.bound in ("compute", "memory", "dispatch") for row in report.bounds):
        st.markdown(f"No node could be set against the roofs: {', '.join(parts)}.")
        return
    gain, share = units.time(report.total_gain_us), units.share(report.total_gain_share)
    st.markdown(
        f"If every classified node ran at its bound, a run would be **{gain}** ({share} of the "
        f"node time) shorter. Part of the time: {', '.join(parts)}."
    )


def _worth(report: RooflineReport) -> None:
    """What to look at first, a sentence for each node or for several alike."""
    st.subheader("Worth optimizing", anchor=False)
    if not report.alike:
        st.caption("No node would gain a thousandth of the run at its bound.")
        return
    lines = [f"1. {words.safe(row.sentence, limit=400)}" for row in report.alike[:_SENTENCES]]
    st.markdown("\n".join(lines))
    st.caption("Alike are nodes of one operator with the same shapes. The table below has every "
               "node, the largest gain first.")  # fmt: skip


def _figure(report: RooflineReport) -> None:
    from ortlab.charts import roofline as charts
    from ortlab.charts import theme

    chosen = selection.selected_node()
    figure = charts.roofline(report, selected=chosen)
    st.plotly_chart(
        figure, key=selection.widget_key(_CHART), config=theme.CONFIG, selection_mode="points",
        on_select=selection.on_points(_CHART, _choose),
        alt="Nodes under the roofs of this machine; table below",
    )  # fmt: skip
    st.caption(_left_out(report, drawn=len(charts.drawn(report, selected=chosen))))


def _choose(data: Any) -> None:
    order = data[0] if isinstance(data, list) else data
    selection.select_node(int(order), by=_CHART)


def _left_out(report: RooflineReport, *, drawn: int) -> str:
    """What the figure shows, and how many nodes it does not."""
    text = "Area is time per run. Lines are the roofs: flat for arithmetic, sloped for memory."
    without = [n for n in report.nodes if n.flops is not None and not n.intensity]
    if without:
        text += f" {_nodes(len(without))} without arithmetic are in the table only."
    hidden = sum(1 for n in report.nodes if n.intensity and n.flop_per_s) - drawn
    if hidden:
        text += f" {_nodes(hidden)} with the least time or speed are left out of the picture."
    return text


def _nodes(count: int) -> str:
    return f"{units.count(count)} node{'s' * (count != 1)}"


def _table(report: RooflineReport) -> None:
    ordered = sorted(report.nodes, key=lambda node: (-node.gain_us, -node.time_us, node.order))
    orders = [node.order for node in ordered]
    chosen = selection.selected_node()
    table_view.show(
        [_row(node) for node in ordered], _NODES, key=selection.widget_key(_TABLE),
        name="roofline", height=420, alt="Every node with its bound and its gain",
        limit=1000, marked=orders.index(chosen) if chosen in orders else None,
        on_row=lambda row: selection.select_node(orders[row], by=_TABLE),
    )  # fmt: skip


def _row(node: NodeRoof) -> dict[str, Any]:
    fields = (
        "op_type", "gain_us", "gain_share", "time_us", "reached_share", "flops", "flop_per_s",
        "bytes", "bytes_per_s", "intensity", "kind", "level", "calls_per_run",
    )  # fmt: skip
    return {name: getattr(node, name) for name in fields} | {
        "name": node.name or f"unnamed {node.op_type}",
        "bound": _BOUND_WORDS[node.bound],
        "why": node.why or None,
    }


def _roofs(peaks: Peaks, threads: int | None) -> None:
    """The roofs in figures, when they were measured, and the button that measures them again."""
    with st.expander("The roofs of this machine", icon=":material/roofing:"):
        st.table({words.safe(k): words.safe(v) for k, v in roofs.facts(peaks).items()},
                 border="horizontal", width="content", alt="Roofs of this machine")  # fmt: skip
        again = f"Measure again (about {units.duration(TYPICAL_S)})"
        if st.button(again, icon=":material/refresh:", key="peaks-again") and _measure(threads):
            st.rerun()
