"""Nodes: every node with its spread, shapes and bytes; searched and sorted on the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from ortlab.analysis.profiles import parts
from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.trace import NodeRow, Profile
from ortlab.ui import operators_view, selection, table_view, words
from ortlab.ui.table_view import Column
from ortlab.ui.trees import Scopes, tree_of

# What a person reads of a table, in what a browser takes at once (about 80 kB).
SENT_ROWS = 300
# A table lower than that needs no height of its own.
_LOW_ROWS, _HEIGHT_PX = 10, 560
_TABLE = "nodes-table"
_ANY = "All"
_COLUMNS = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("provider", "Provider"),
    Column("share", "Share", "percent", "Of all node time; nested nodes are not counted twice."),
    Column("p50_us", "p50 per run", "time", "The median run, nested nodes included.", group="run"),
    Column("spread", "p25–p75", help="Half of all runs lie in between; same unit as p50."),
    Column("p95_us", "p95 per run", "time", "From 20 runs on.", group="run"),
    Column("run_count", "Runs", "count"),
    Column("self_us", "Self time, all runs", "time", group="sum"),
    Column("corrected_self_us", "Less the profiler, all runs", "time", group="sum"),
    Column("device_us", "On the device, all runs", "time", group="sum"),
    Column("kind", "The time is"),
    Column("calls", "Calls", "count"),
    Column("input_shapes", "Inputs"),
    Column("output_shapes", "Outputs"),
    Column("output_bytes", "Output", "bytes", group="bytes"),
    Column("parameter_bytes", "Parameters", "bytes", group="bytes"),
    Column("module", "Module"),
    Column("scope", "Runs inside"),
)
_SORTS: dict[str, Callable[[NodeRow], Any]] = {
    "Self time": lambda n: -n.self_us,
    "p50": lambda n: -n.p50_us,
    "p95": lambda n: -(n.p95_us or 0.0),
    "Spread": lambda n: -_spread_us(n),
    "Calls": lambda n: -n.calls,
    "Output bytes": lambda n: -(n.output_bytes or 0),
    "Order of execution": lambda n: n.order,
    "Name": lambda n: n.name,
}
_KINDS = {"launch": "a launch", "wait": "a wait", "device": "on the device",
          "profiler": "mostly the profiler"}  # fmt: skip
_FILTERS = ("nodes-search", "nodes-op", "nodes-provider")


def show(profile: Profile, scopes: Scopes | None = None) -> None:
    """Search, filters and the table; a click on a row selects its node."""
    if not profile.nodes:
        st.info("The profile holds no node events.", icon=":material/info:")
        return
    tree = tree_of(profile, scopes, device=True)
    found = _sorted(_filtered(profile, tree.path_of))
    operators_view.doubts(profile, grey=False)
    if not found:
        st.caption(f"0 of {units.count(len(profile.nodes))} nodes match.")
        st.button("Clear filters", key="nodes-clear", on_click=_clear_filters)
        return
    st.caption(_count(profile, len(found)))
    shares = parts.node_shares(profile)
    unit = units.time_unit([n.p50_us for n in found])
    modules = tree.path_of if tree.grouped_by == "module" else {}
    rows = [_row(node, shares, unit, modules) for node in found]
    table_view.show(
        rows, _COLUMNS, key=selection.widget_key(_TABLE), alt="Time by node", name="nodes",
        height=_HEIGHT_PX if len(rows) > _LOW_ROWS else "auto", search=False, limit=SENT_ROWS,
        marked=_marked(found),
        on_row=lambda at: selection.select_node(found[at].order, by=_TABLE),
    )  # fmt: skip


def _count(profile: Profile, found: int) -> str:
    runs = profile.counted_runs
    whole = len(profile.nodes)
    shown = f"{units.count(found)} of " if found < whole else ""
    return (
        f"{shown}{units.count(whole)} node{'s' * (whole != 1)}{_only()}, {units.count(runs)} "
        f"run{'s' * (runs != 1)}. A fused node stands for all nodes it was made of."
    )


def _filtered(profile: Profile, path_of: dict[int, tuple[str, ...]]) -> list[NodeRow]:
    """The nodes that match the search box, the two filters and the module looked into."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        wanted = st.text_input(
            "Search", key="nodes-search", placeholder="Search name, operator, shape",
            label_visibility="collapsed", icon=":material/search:", width=300,
        ).strip().lower()  # fmt: skip
        op_type = _pick("Operator", [n.op_type for n in profile.nodes], key="nodes-op")
        provider = _pick("Provider", [n.provider for n in profile.nodes], key="nodes-provider")
        st.selectbox("Sort by", list(_SORTS), key="nodes-sort", width=190,
                     label_visibility="collapsed", format_func=lambda s: f"Sort: {s}")  # fmt: skip
    inside, chosen = selection.selected_module(), selection.selected_operator()
    return [
        node
        for node in profile.nodes
        if op_type in (None, node.op_type)
        and provider in (None, node.provider)
        and (chosen is None or (node.op_type, node.provider) == chosen)
        and path_of[node.order][: len(inside)] == inside
        and (not wanted or _matches(node, path_of[node.order], wanted))
    ]


def _only() -> str:
    """Which nodes the selection leaves, in words; empty where it leaves all."""
    told, chosen = "", selection.selected_operator()
    if chosen is not None:
        on = words.safe(providers.label(chosen[1]), limit=40)
        told += f", only {words.safe(chosen[0], limit=60)} on {on}"
    if selection.selected_module():
        told += f", only in {words.safe('/'.join(selection.selected_module()), limit=110)}"
    return told


def _matches(node: NodeRow, path: tuple[str, ...], wanted: str) -> bool:
    texts = (node.name, node.op_type, node.input_shapes, node.output_shapes, node.scope)
    return any(wanted in text.lower() for text in texts) or wanted in "/".join(path).lower()


def _pick(label: str, values: Sequence[str], *, key: str) -> str | None:
    """One of the values, or None for all of them; not asked where there is but one."""
    known = sorted({value for value in values if value})
    if len(known) < 2:
        return None
    plain = {value: words.plain(providers.label(value), limit=48) for value in known}
    chosen = st.selectbox(label, [_ANY, *known], key=key, label_visibility="collapsed", width=190,
                          format_func=lambda v: plain.get(v, f"{label}: all"))  # fmt: skip
    return chosen if chosen in plain else None


def _sorted(nodes: list[NodeRow]) -> list[NodeRow]:
    key = _SORTS[st.session_state.get("nodes-sort") or next(iter(_SORTS))]
    return sorted(nodes, key=lambda n: (key(n), n.order))


def _clear_filters() -> None:
    for key in _FILTERS:
        if key in st.session_state:
            st.session_state[key] = "" if key == "nodes-search" else _ANY
    selection.clear()


def _marked(found: Sequence[NodeRow]) -> int | None:
    order = selection.selected_node()
    return next((i for i, node in enumerate(found) if node.order == order), None)


def _spread_us(node: NodeRow) -> float:
    return (node.p75_us or 0.0) - (node.p25_us or 0.0)


def _row(
    node: NodeRow,
    shares: dict[int, float | None],
    unit: tuple[float, str],
    modules: dict[int, tuple[str, ...]],
) -> dict[str, Any]:
    return {
        "name": node.name or f"unnamed {node.op_type}",
        "op_type": node.op_type,
        "provider": providers.label(node.provider),
        "share": shares[node.order],
        "p50_us": node.p50_us,
        "spread": _spread(node, unit),
        "p95_us": node.p95_us,
        "run_count": node.run_count or None,
        "self_us": node.self_us,
        "corrected_self_us": node.corrected_self_us,
        "device_us": node.device_us,
        "kind": _KINDS.get(node.doubt or node.time_kind),
        "calls": node.calls,
        "input_shapes": node.input_shapes or None,
        "output_shapes": node.output_shapes or None,
        "output_bytes": node.output_bytes,
        "parameter_bytes": node.parameter_bytes,
        "module": "/".join(modules.get(node.order, ())) or None,
        "scope": node.scope or None,
    }


def _spread(node: NodeRow, unit: tuple[float, str]) -> str | None:
    """`12.1–13.4` in the unit of the column beside it."""
    if node.p25_us is None or node.p75_us is None or node.run_count < 2:
        return None
    low, high = node.p25_us / unit[0], node.p75_us / unit[0]
    return f"{low:.3g}–{high:.3g}"
