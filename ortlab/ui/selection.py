"""What is selected on the Profile page, shared by charts, tables, the timeline and the link.

It lives in the address and nowhere else: `node=` (the number `NodeRow.order`), `op=` (operator and
provider), `scope=` (a module) and `at=` (a run). A chart or table writes it when it is clicked,
in its callback, so before the page is drawn again; every view reads it. A widget that loses its
own mark, because its figure changed, does not unselect anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from ortlab.analysis.naming.module_names import Path
from ortlab.analysis.profiles import parts
from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.trace import NodeRow, OperatorRow, Profile
from ortlab.ui import words

NODE, OPERATOR, MODULE, RUN = "node", "op", "scope", "at"
_AT, _INSIDE = "@", "/"
_GENERATIONS = "selection-generations"
_SHAPES_LIMIT = 90
_NAME_LIMIT = 110
_PART_LIMIT = 32
_STEPS = 7


def selected_node() -> int | None:
    """Number of the selected node (`NodeRow.order`), or None."""
    return _number(NODE)


def select_node(order: int | None, *, by: str = "") -> None:
    """Select a node; `by` is the key of the widget that was clicked."""
    _write(by, {NODE: None if order is None else str(order), OPERATOR: None})


def selected_operator() -> tuple[str, str] | None:
    """Operator and provider (as ORT names it) that are selected, or None."""
    text = st.query_params.get(OPERATOR)
    if not text:
        return None
    op_type, mark, provider = text.rpartition(_AT)
    return (op_type, provider) if mark else (provider, "")


def select_operator(op_type: str, provider: str, *, by: str = "") -> None:
    """Select all nodes of one operator on one provider."""
    _write(by, {OPERATOR: f"{op_type}{_AT}{provider}", NODE: None})


def selected_module() -> Path:
    """Path of the module that is looked into; empty for the whole model."""
    return tuple(part for part in st.query_params.get(MODULE, "").split(_INSIDE) if part)


def select_module(path: Sequence[str], *, by: str = "") -> None:
    """Look into a module; an empty path is the whole model."""
    _write(by, {MODULE: _INSIDE.join(path) or None, NODE: None, OPERATOR: None})


def selected_run() -> int | None:
    """Index of the selected run, or None."""
    return _number(RUN)


def select_run(index: int | None, *, by: str = "") -> None:
    """Select a run; a selected node stays, to be seen in it."""
    _write(by, {RUN: None if index is None else str(index)})


def clear() -> None:
    """Unselect node, operator and module; the run stays."""
    _write("", {NODE: None, OPERATOR: None, MODULE: None})


def widget_key(base: str) -> str:
    """The key for a chart or table that selects.

    It changes when something else made or cleared the selection, so that the widget does not keep
    a mark that is no longer true.
    """
    generations = st.session_state.setdefault(_GENERATIONS, {})
    return f"{base}-{generations.setdefault(base, 0)}"


def on_points(base: str, choose: Callable[[Any], None]) -> Callable[[], None]:
    """The callback of a Plotly chart: `choose` gets the `customdata` of the clicked mark."""

    def clicked() -> None:
        state = st.session_state.get(widget_key(base)) or {}
        points = (state.get("selection") or {}).get("points") or []
        data = points[0].get("customdata") if points else None
        if isinstance(data, list):
            data = data[0] if data else None
        if data is not None:
            choose(data)

    return clicked


def on_rows(base: str, choose: Callable[[int], None]) -> Callable[[], None]:
    """The callback of a table: `choose` gets the position of the clicked row."""

    def clicked() -> None:
        state = st.session_state.get(widget_key(base)) or {}
        rows = (state.get("selection") or {}).get("rows") or []
        if rows:
            choose(rows[0])

    return clicked


def open_view(view: str) -> None:
    """Show another view of the Profile page, with the same selection. For `on_click`."""
    st.query_params["view"] = view
    st.session_state["view-switch"] = view


def node_of(profile: Profile) -> NodeRow | None:
    """The selected node; None also where this profile has no node of that number."""
    order = selected_node()
    return next((n for n in profile.nodes if n.order == order), None)


def operator_of(profile: Profile) -> OperatorRow | None:
    """The selected operator's row; None also where this profile has none."""
    key = selected_operator()
    return next((o for o in profile.operators if (o.op_type, o.provider) == key), None)


def strip(profile: Profile, *, views: Sequence[str] = ("timeline", "nodes")) -> None:
    """One line on what is selected, with ways to see the same thing elsewhere; else nothing."""
    text = _text(profile)
    if text is None:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small",
                      key="selection-strip"):  # fmt: skip
        st.markdown(text, width="stretch")
        with st.container(horizontal=True, width="content", gap="small"):
            _elsewhere([view for view in views if view != st.query_params.get("view")])
            st.button("Clear", key="selection-clear", on_click=clear, type="tertiary",
                      icon=":material/close:", help="Select nothing")  # fmt: skip


def _elsewhere(views: Sequence[str]) -> None:
    for view in views:
        # Only a node has a place along time.
        if view != "timeline" or selected_node() is not None:
            st.button(view.capitalize(), key=f"selection-{view}", on_click=open_view,
                      args=(view,), type="tertiary", icon=_ICONS.get(view),
                      help=_HELP.get(view))  # fmt: skip


def breadcrumb() -> None:
    """The way from the model to the module that is looked into; each part leads back to it."""
    path = selected_module()
    steps = [(), *(path[: i + 1] for i in range(len(path)))]
    # Modules nest deep; the start, and what is near, is what people go back to.
    shown = steps if len(steps) <= _STEPS else [steps[0], *steps[1 - _STEPS :]]
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall",
                      key="module-path"):  # fmt: skip
        for i, step in enumerate(shown):
            name = words.safe(_part_name(step[-1]), limit=_PART_LIMIT) if step else "Model"
            if step == path:
                st.markdown(f"**{name}**", width="content")
                continue
            skipped = len(shown[i + 1]) > len(step) + 1
            st.button(f"{name} ›" + " … ›" * skipped, key=f"module-{i}", type="tertiary",
                      on_click=select_module, args=(step,), help="Look into it")  # fmt: skip


def _part_name(part: str) -> str:
    """A part of a path; the path of a profile without modules begins with a provider."""
    return providers.label(part) if part.endswith("ExecutionProvider") else part


_ICONS = {"timeline": ":material/view_timeline:", "nodes": ":material/table_rows:",
          "icicle": ":material/account_tree:"}  # fmt: skip
_HELP = {"timeline": "See it along time", "nodes": "See it in the table of nodes",
         "icicle": "See it among the modules"}  # fmt: skip


def _text(profile: Profile) -> str | None:
    """The selection as Markdown; every name in it is foreign, so every name is escaped."""
    if selected_node() is not None:
        node = node_of(profile)
        return _node_text(node, profile) if node else _gone(f"Node {selected_node()}")
    key = selected_operator()
    if key is not None:
        row = operator_of(profile)
        return _operator_text(row, profile) if row else _gone(words.safe(key[0], limit=60))
    path = selected_module()
    # The flame has the way to the module, and would jump below a line that comes and goes.
    if path and st.query_params.get("view") != "icicle":
        name = words.safe(_INSIDE.join(map(_part_name, path)), limit=_NAME_LIMIT)
        return f":material/account_tree: Inside **{name}**"
    return None


def _gone(what: str) -> str:
    return f"{what} is selected, but this profile has no such thing."


def _node_text(node: NodeRow, profile: Profile) -> str:
    name = words.safe(node.name or f"unnamed {node.op_type}", limit=_NAME_LIMIT)
    facts = [_operator_on(node.op_type, node.provider)]
    if node.device_p50_us is not None:
        facts.append(f"p50 **{units.time(node.device_p50_us)}** on the device")
    else:
        p50 = units.time(node.p50_us)
        facts.append(f"p50 **{p50}**" + _spread(node) + _KINDS.get(node.time_kind, ""))
    share = parts.node_shares(profile)[node.order]
    if share is not None:
        facts.append(f"**{units.share(share)}** of node time")
    if node.input_shapes:
        facts.append(words.safe(node.input_shapes, limit=_SHAPES_LIMIT))
    return f"**{name}** · " + " · ".join(facts)


def _operator_text(row: OperatorRow, profile: Profile) -> str:
    facts = []
    if row.p50_us is not None:
        facts.append(f"p50 **{units.time(row.p50_us)}** a call{_KINDS.get(row.time_kind, '')}")
    if row.share is not None:
        facts.append(f"**{units.share(row.share)}** of node time")
    runs = max(1, profile.counted_runs)
    facts.append(f"{units.count(row.node_count)} node{'s' * (row.node_count != 1)}, "
                 f"{units.count(row.calls / runs)} calls a run")  # fmt: skip
    on = words.safe(providers.label(row.provider), limit=40)
    return f"**{words.safe(row.op_type, limit=60)}** on {on} · " + " · ".join(facts)


_KINDS = {"launch": " (launch)", "wait": " (wait)"}
"""What a host time is where it is not the work itself."""


def _operator_on(op_type: str, provider: str) -> str:
    label = words.safe(providers.label(provider), limit=40)
    return f"{words.safe(op_type or 'unknown', limit=60)}" + (f" on {label}" if label else "")


def _spread(node: NodeRow) -> str:
    if node.p25_us is None or node.p75_us is None or node.p25_us == node.p75_us:
        return ""
    unit = units.time_unit([node.p75_us])
    low, high = node.p25_us / unit[0], node.p75_us / unit[0]
    return f" ({low:.3g}–{high:.3g}{units.THIN}{unit[1]})"


def _number(key: str) -> int | None:
    text = st.query_params.get(key, "")
    return int(text) if text.isdecimal() and len(text) < 12 else None


def _write(by: str, values: dict[str, str | None]) -> None:
    for key, value in values.items():
        if value is not None:
            st.query_params[key] = value
        elif key in st.query_params:
            del st.query_params[key]
    generations = st.session_state.setdefault(_GENERATIONS, {})
    for base in generations:
        if base != by:
            generations[base] += 1
