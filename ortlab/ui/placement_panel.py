"""Placement: what was asked, what is active, and which nodes ran elsewhere."""

from __future__ import annotations

import streamlit as st

from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.placement import Placement
from ortlab.ui import table_view, words
from ortlab.ui.table_view import Column

_FALLBACK = (
    Column("node", "Node"),
    Column("op_type", "Operator"),
    Column("reason", "Reason"),
    Column("cost_us", "Time per run", "time"),
    Column("class", "Kind"),
)
_SWITCHES = (
    Column("number", "", "count"),
    Column("provider", "Provider"),
    Column("node_count", "Nodes", "count"),
    Column("first", "First node"),
    Column("last", "Last node"),
)
_CROSSINGS = (
    Column("tensor", "Tensor"),
    Column("source", "From"),
    Column("target", "To"),
    Column("bytes", "Size", "bytes"),
    Column("time_us", "Time per run", "time"),
)
_NODES = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("assigned", "Assigned"),
    Column("observed", "Seen in the trace"),
    Column("time_us", "Time per run", "time"),
)


def show(placement: Placement, *, steady: bool = False) -> None:
    """The whole picture: providers, order, fallback, copies, every node.

    Args:
        placement: where each node ran.
        steady: its times leave warm-up runs out.
    """
    from ortlab.charts import placement as charts
    from ortlab.charts import theme

    if placement.requested:
        asked, active = _names(placement.requested), _names(placement.active)
        st.markdown(
            f"Asked for **{words.safe(asked)}**; the session activated **{words.safe(active)}**."
        )
        _verdict(placement)
    else:
        st.info("A trace does not say which providers were asked for, so none of its nodes can be "
                "called a fallback. Below is where each one ran.",
                icon=":material/info:")  # fmt: skip
    st.plotly_chart(charts.shares(placement), key="placement-shares", config=theme.CONFIG,
                    alt="Share of nodes and of time by provider")  # fmt: skip
    if len(placement.partitions) > 1:
        st.plotly_chart(charts.order(placement), key="placement-order", config=theme.CONFIG,
                        alt="Provider of each stretch of the graph, in graph order")  # fmt: skip
    _fallback(placement)
    _switches(placement)
    _nodes(placement)
    counted = "steady runs only" if steady else "every profiled run"
    st.caption(f"From: {words.safe(placement.source)}. Shares of time count {counted}.")


def _verdict(placement: Placement) -> None:
    count = len(placement.fallback)
    if not count:
        st.success("Every node runs on the provider that was asked for first.",
                   icon=":material/check_circle:")  # fmt: skip
        return
    cost = [f.cost_us for f in placement.fallback if f.cost_us is not None]
    parts = [f"**{count} of {len(placement.nodes)} nodes fell back**"]
    if cost:
        parts.append(f"they take {units.time(sum(cost))} per run")
    if placement.copy_count:
        copies = f"{placement.copy_count} copies between providers"
        copies += f" add {units.time(placement.copy_us)}" if placement.copy_us else ""
        parts.append(copies)
    costly = any(f.severity == "costly" for f in placement.fallback)
    box = st.warning if costly else st.info
    box("; ".join(parts) + ".", icon=":material/alt_route:")


def _fallback(placement: Placement) -> None:
    if not placement.fallback:
        return
    st.markdown("**Nodes that fell back**")
    rows = [{"node": f.node, "op_type": f.op_type, "reason": f.reason, "cost_us": f.cost_us,
             "class": f.severity} for f in placement.fallback]  # fmt: skip
    table_view.show(rows, _FALLBACK, key="fallback", alt="Nodes that fell back, with the reason",
                    name="fallback")  # fmt: skip


def _switches(placement: Placement) -> None:
    if len(placement.partitions) < 2:
        return
    count = len(placement.partitions) - 1
    with st.expander(f"{count} switch{'es' * (count != 1)} of provider, in graph order",
                     icon=":material/swap_horiz:"):  # fmt: skip
        rows = [{"number": i + 1, "provider": providers.label(p.provider),
                 "node_count": p.node_count, "first": p.first, "last": p.last}
                for i, p in enumerate(placement.partitions)]  # fmt: skip
        table_view.show(rows, _SWITCHES, key="switches", name="partitions",
                        alt="Stretches of the graph on one provider")  # fmt: skip
        crossings = [{"tensor": c.tensor, "source": providers.label(c.source),
                      "target": providers.label(c.target), "bytes": c.bytes,
                      "time_us": c.time_us} for c in placement.crossings]  # fmt: skip
        if crossings:
            table_view.show(crossings, _CROSSINGS, key="crossings", name="crossings",
                            alt="Tensors that go from one provider to another")  # fmt: skip


def _nodes(placement: Placement) -> None:
    with st.expander(f"All {len(placement.nodes)} nodes", icon=":material/table:"):
        rows = [{"name": n.name, "op_type": n.op_type,
                 "assigned": n.assigned and providers.label(n.assigned),
                 "observed": n.observed and providers.label(n.observed),
                 "time_us": n.time_us} for n in placement.nodes]  # fmt: skip
        if rows:
            table_view.show(rows, _NODES, key="placed", alt="Provider of every node",
                            name="placement", height=420)  # fmt: skip


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(providers.label(n) for n in names) or "nothing known"
