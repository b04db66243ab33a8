"""Compare: this profile against another one; what is slower, faster, added or removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ortlab.analysis.comparing import compare_text
from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.compare import NOT_WORK, Difference, GroupChange, LoneNode, NodeChange, Side
from ortlab.ui import compare_sources, selection, table_view, words
from ortlab.ui.compare_sources import Source
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

_FLAME = "difference"
_TABLE = "difference-nodes"
# What a person reads of a table, in what a browser takes at once (about 40 kB).
_SENT_ROWS = 200
_SHOWN_CAVEATS = 2
_NAMES = 4
_NODES = (
    Column("name", "Node"),
    Column("op_type", "Operator"),
    Column("verdict", "Verdict", help="Of the other against this one. A verdict needs a change "
           "beyond what two recordings of the same show."),
    Column("base_p50_us", "p50 here", "time", group="run"),
    Column("other_p50_us", "p50 other", "time", group="run"),
    Column("delta_us", "Change", "time", "Own time of a middling run: other minus here. These "
           "figures add up to the change of the whole.", group="run"),
    Column("ratio", "Ratio", "ratio", "p50 here ÷ p50 other: above 1 the other is faster."),
    Column("ci95", "95 %", help="Where the ratio lies, by the spread of the runs."),
    Column("shift_adjusted_ratio", "Ratio less shift", "ratio",
           "With the shift that all nodes have in common taken out."),
    Column("match", "Matched by"),
    Column("provider", "Provider"),
)  # fmt: skip
_GROUPS = (
    Column("kind", "What happened"),
    Column("removed", "Here"),
    Column("added", "Other"),
    Column("base_us", "Here, per run", "time", group="run"),
    Column("other_us", "Other, per run", "time", group="run"),
    Column("delta_us", "Change", "time", group="run"),
)
_OPERATORS = (
    Column("op_type", "Operator"),
    Column("base_us", "Here, per run", "time", group="run"),
    Column("other_us", "Other, per run", "time", group="run"),
    Column("delta_us", "Change", "time", group="run"),
    Column("base_node_count", "Nodes here", "count"),
    Column("other_node_count", "Nodes other", "count"),
    Column("kind", "The time is"),
)


def show(source: Source, other: str | None = None) -> None:
    """The section: what to compare with, the answer in a sentence, picture and tables.

    Args:
        source: the profile on the page.
        other: what `compare_sources.pick_other` gave; asked for when it is not given.
    """
    chosen = other or compare_sources.pick_other(source)
    if chosen is None:
        return
    found = lab().compare(compare_sources.address(source), chosen).record
    _answer(found)
    if not (found.nodes or found.added or found.removed):
        st.info("There are no nodes on either side.", icon=":material/info:")
        return
    _selected(found)
    _flame(found)
    _operators(found)
    st.subheader("Node by node", anchor=False)
    st.caption(words.safe(compare_text.counts(found)) + ".")
    _node_table(found)
    _groups(found)
    with st.expander("Both recordings", icon=":material/table:"):
        _sides(found.base, found.other)


def _answer(found: Difference) -> None:
    """The summary, then what limits it: the gravest reasons at once, the others on request."""
    first, *rest = compare_text.sentences(found)
    st.markdown(f"**{words.safe(first, limit=600)}** " + words.safe(" ".join(rest), limit=900))
    doubts = [words.safe(notice.message, limit=500) for notice in found.caveats]
    for doubt in doubts[:_SHOWN_CAVEATS]:
        st.caption(f":material/info: {doubt}")
    more = doubts[_SHOWN_CAVEATS:]
    if more:
        with st.expander(f"{len(more)} more to keep in mind", icon=":material/info:"):
            st.markdown("\n".join(f"- {doubt}" for doubt in more))


def _selected(found: Difference) -> None:
    """One line on the selected node and what became of it, with ways to see it elsewhere."""
    order = selection.selected_node()
    if order is None:
        return
    pair = next((node for node in found.nodes if node.order == order), None)
    lone = next((node for node in found.removed if node.order == order), None)
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        text = "The selected node is in neither list."
        if pair is not None:
            text = _pair_text(pair)
        elif lone is not None:
            text = (
                f"**{words.safe(lone.name, limit=110)}** has no counterpart in the other profile."
            )
        st.markdown(text, width="stretch")
        for view in ("nodes", "timeline"):
            st.button(view.capitalize(), key=f"compare-{view}", on_click=selection.open_view,
                      args=(view,), type="tertiary")  # fmt: skip
        st.button("Clear", key="compare-clear", on_click=selection.clear, type="tertiary",
                  icon=":material/close:", help="Select nothing")  # fmt: skip


def _pair_text(node: NodeChange) -> str:
    """A pair as Markdown; names are foreign, so they are escaped."""
    facts = [
        f"**{words.safe(compare_text.name(node), limit=160)}**",
        words.safe(compare_text.op_type(node), limit=80),
        f"p50 {units.time(node.base_p50_us)} → {units.time(node.other_p50_us)}",
    ]
    if node.ratio is not None:
        interval = f" ({_interval(node.ci95)})" if node.ci95 else ""
        facts.append(f"ratio {units.speedup(node.ratio)}{interval}: **{node.verdict}**")
    elif node.time_kind in NOT_WORK:
        facts.append(f"not compared: {node.time_kind} time")
    return " · ".join([*facts, f"matched by {node.match}"])


def _flame(found: Difference) -> None:
    from ortlab.charts import difference, theme

    st.plotly_chart(
        difference.flame(found, selected=selection.selected_node()),
        key=selection.widget_key(_FLAME), selection_mode="points",
        on_select=selection.on_points(_FLAME, _choose),
        config=theme.CONFIG | {"displayModeBar": False},
        alt="Change of time by module as blocks under blocks; the tables below have the numbers",
    )  # fmt: skip
    floor = units.share(found.floor_share)
    st.caption(
        "Width is the time of the slower side, left to right is the order of execution. Blue with "
        "▼ takes less in the other profile, orange with ▲ and hatched takes more; crossed was "
        "added, blue and hatched was removed. Grey changes by less than "
        f"{floor}, as two recordings of the same do, or holds launch times. Click a node to select "
        "it."
    )


def _choose(key: Any) -> None:
    kind, _, rest = str(key).partition(":")
    if kind == "n" and rest.isdecimal():
        selection.select_node(int(rest), by=_FLAME)


def _operators(found: Difference) -> None:
    from ortlab.charts import difference

    rows = [
        {"op_type": o.op_type, "base_us": o.base_us, "other_us": o.other_us,
         "delta_us": o.delta_us, "base_node_count": o.base_node_count,
         "other_node_count": o.other_node_count, "kind": _kind(o.time_kind)}
        for o in found.operators
    ]  # fmt: skip
    st.subheader("By operator", anchor=False)
    table_view.chart_and_table(
        lambda: difference.bars(found),
        lambda: table_view.show(rows, _OPERATORS, key="difference-operators",
                                name="operator-changes", limit=_SENT_ROWS,
                                alt="Time by operator on both sides"),
        key="difference-bars", alt="Change of time by operator; table below",
    )  # fmt: skip


def _node_table(found: Difference) -> None:
    rows = [_pair(node) for node in found.nodes]
    rows += [_lone(node, "removed") for node in found.removed]
    rows += [_lone(node, "added") for node in found.added]
    rows.sort(key=lambda row: -abs(row["delta_us"]))

    def clicked(at: int) -> None:
        if rows[at]["order"] is not None:
            selection.select_node(rows[at]["order"], by=_TABLE)

    chosen = selection.selected_node()
    marked = next(
        (i for i, row in enumerate(rows) if chosen is not None and row["order"] == chosen), None
    )
    table_view.show(rows, _NODES, key=selection.widget_key(_TABLE), height=460,
                    name="node-changes", limit=_SENT_ROWS, marked=marked, on_row=clicked,
                    alt="Every node on both sides")  # fmt: skip


def _pair(node: NodeChange) -> dict[str, Any]:
    launches = node.time_kind in NOT_WORK
    return {
        "name": compare_text.name(node),
        "op_type": compare_text.op_type(node),
        "provider": _providers(node.provider, node.other_provider),
        "base_p50_us": node.base_p50_us,
        "other_p50_us": node.other_p50_us,
        "delta_us": node.delta_us,
        "ratio": node.ratio,
        "ci95": _interval(node.ci95),
        "shift_adjusted_ratio": node.shift_adjusted_ratio,
        "verdict": f"not compared: {node.time_kind} time" if launches else node.verdict,
        "match": node.match,
        "order": node.order,
    }


def _lone(node: LoneNode, word: str) -> dict[str, Any]:
    sign = -1 if word == "removed" else 1
    side = "base_p50_us" if word == "removed" else "other_p50_us"
    return {
        "name": node.name or f"unnamed {node.op_type}",
        "op_type": node.op_type,
        "provider": providers.label(node.provider),
        side: node.p50_us,
        "delta_us": sign * node.us,
        "verdict": word,
        "order": node.order if word == "removed" else None,
    }


def _groups(found: Difference) -> None:
    """Fusions and their opposite, as far as names tell."""
    if not found.groups:
        return
    rows = [
        {"kind": _GROUP_KINDS[g.kind], "removed": _side_names(g, "split", g.removed),
         "added": _side_names(g, "folded", g.added), "base_us": g.base_us,
         "other_us": g.other_us, "delta_us": g.delta_us}
        for g in found.groups
    ]  # fmt: skip
    with st.expander("Probably fused, replaced or split", icon=":material/call_merge:"):
        st.caption("A profile does not say what was fused. These nodes stand at the same place of "
                   "the graph and in the same module; times hold all of them.")  # fmt: skip
        table_view.show(rows, _GROUPS, key="difference-groups", name="groups", limit=_SENT_ROWS,
                        alt="Nodes that stand at the same place on both sides")  # fmt: skip


_GROUP_KINDS = {"folded": "fused into", "replaced": "replaced by", "split": "split into"}


def _side_names(group: GroupChange, kind: str, names: Sequence[str]) -> str:
    """The names on one side; of a node that others went into, its name."""
    shown = [group.into or ""] if group.kind == kind else list(names[:_NAMES])
    more = len(names) - len(shown) if group.kind != kind else 0
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _sides(base: Side, other: Side) -> None:
    rows = {
        name: [of(side) for side in (base, other)]
        for name, of in _FACTS.items()
        if any(of(side) != units.MISSING for side in (base, other))
    }
    table = {"": list(rows), "here": [words.safe(r[0]) for r in rows.values()],
             "other": [words.safe(r[1]) for r in rows.values()]}  # fmt: skip
    st.table(table, border="horizontal", width="content", alt="Both recordings")


_FACTS = {
    "Recording": lambda s: s.label,
    "Runs counted": lambda s: units.count(s.run_count),
    "Warm-up runs left out": lambda s: units.count(s.warmup_count),
    "Median run": lambda s: units.time(s.run_p50_us),
    "Median run without the profiler": lambda s: units.time(s.unprofiled_p50_us),
    "Node time per run": lambda s: units.time(s.node_us),
    "Between nodes": lambda s: units.time(s.between_us),
    "Nodes": lambda s: units.count(s.node_count),
    "Copies per run": lambda s: units.time(s.copy_us) if s.copy_count else units.MISSING,
    "Session opened in": lambda s: units.time(s.init_us),
    "Providers": lambda s: ", ".join(map(providers.label, s.providers)) or units.MISSING,
    "ONNX Runtime": lambda s: s.onnxruntime_version or s.format_version or units.MISSING,
    "Machine": lambda s: (s.machine_id or units.MISSING)[:12],
    "Trust": lambda s: s.grade or units.MISSING,
}


def _interval(ci95: tuple[float, float] | None) -> str | None:
    if ci95 is None:
        return None
    return f"{units.significant(ci95[0])} to {units.significant(ci95[1])}"


def _providers(base: str, other: str) -> str:
    names = dict.fromkeys((providers.label(base), providers.label(other)))
    return " → ".join(names)


def _kind(time_kind: str) -> str | None:
    return None if time_kind == "host" else time_kind
