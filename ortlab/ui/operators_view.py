"""Operators: the same time by operator, by shape, by provider and by module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ortlab.analysis.naming import modules
from ortlab.analysis.profiles import parts
from ortlab.analysis.profiles.parts import Part
from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.trace import Profile
from ortlab.ui import frame, selection, table_view, words
from ortlab.ui.table_view import Column
from ortlab.ui.trees import Scopes, tree_of

BY = {"op": "By operator", "shape": "By operator and shape", "provider": "By provider",
      "module": "By module"}  # fmt: skip
_SENT_ROWS = 300
# The table beneath begins on the first screen.
_BARS = 12
_FIGURES = (
    Column("share", "Share", "share", "Of all node time; nested nodes are not counted twice."),
    Column("cumulative_share", "Running share", "percent", "Of this row and all rows above it."),
    Column("p50_us", "p50 per call", "time", "Nested nodes included.", group="call"),
    Column("mean_us", "Mean per call", "time", group="call"),
    Column("device_us", "On the device, all runs", "time", group="sum"),
    Column("self_us", "Self time, all runs", "time", "Nested nodes left out.", group="sum"),
    Column("total_us", "With nested, all runs", "time", group="sum"),
    Column(
        "corrected_self_us",
        "Less the profiler, all runs",
        "time",
        "What the profiler is proven to add taken off.",
        group="sum",
    ),
    Column("calls", "Calls", "count"),
    Column("node_count", "Nodes", "count"),
)
_OF_MODULES = (
    *_FIGURES[:2],
    Column("p50_us", "Typical run", "time", "Sum of its nodes' own median times per run."),
    Column("self_us", "All runs", "time"),
    *_FIGURES[-2:],
)
_KIND = Column("kind", "The time is", help="Launch and wait times say nothing about the work.")
_FIRST = {
    "op": (Column("name", "Operator"), Column("provider", "Provider")),
    "shape": (Column("name", "Operator"), Column("input_shapes", "Inputs"),
              Column("output_shapes", "Outputs"), Column("provider", "Provider")),
    "provider": (Column("name", "Provider"),),
    "module": (Column("name", "Module"),),
}  # fmt: skip
_KIND_WORDS = {"launch": "a launch", "wait": "a wait", "device": "on the device",
               "profiler": "mostly the profiler", "host": "work"}  # fmt: skip


def show(profile: Profile, scopes: Scopes | None = None) -> None:
    """Bars of the costliest parts, and the table of all of them."""
    if not profile.node_event_count and not profile.nodes:
        st.info("The profile holds no node events, so there is nothing to break down.",
                icon=":material/info:")  # fmt: skip
        return
    by = frame.view_switch(BY, key="by")
    if by == "module":
        selection.breadcrumb()
    found = _parts(profile, by, scopes)
    if not found:
        st.caption(_NOTHING[by])
        return
    doubts(profile)
    _chart(profile, found, by)
    _table(found, by)


_NOTHING = {
    "op": "No operator is named in this file.",
    "shape": "ONNX Runtime writes shapes into profiles since version 1.12; this one has none.",
    "provider": "No provider is named in this file: ONNX Runtime writes them since version 0.5.",
    "module": "Nothing lies deeper in this module.",
}


_NO_DEVICE = "without device events in the file they tell no share of the work."
_DEVICE_KNOWN = "shares are of the time on the device, and by shape none are known."


def doubts(profile: Profile, *, grey: bool = True) -> None:
    """One line for each reason why times are in doubt; nothing where all of them stand.

    Args:
        profile: the one on the page.
        grey: whether what is in doubt is drawn in grey there.
    """
    found = [words.safe(providers.label(name), limit=40) for name in parts.not_work(profile)]
    if found:
        end = _DEVICE_KNOWN if parts.has_device(profile) else _NO_DEVICE
        st.caption(
            f":material/hourglass_empty: {' and '.join(found)} "
            f"return{'s' * (len(found) == 1)} before the work is done. Times of such nodes are "
            f"those of the **launch**, or of the **wait** for the device; {end}"
        )
    if any(row.doubt == "profiler" for row in (*profile.operators, *profile.nodes)):
        start = "Grey: calls" if grey else "Some calls are"
        st.caption(
            f":material/hourglass_empty: {start} so short that the profiler itself may be most of "
            "their time."
        )


def _parts(profile: Profile, by: str, scopes: Scopes | None) -> tuple[Part, ...]:
    if by == "shape":
        return parts.by_shape(profile)
    if by == "provider":
        return parts.by_provider(profile)
    if by == "op":
        return parts.by_operator(profile)
    tree = tree_of(profile, scopes, device=True)
    inside = modules.find(tree, selection.selected_module()) or tree.root
    claimed = parts.claims_shares(profile)
    found = parts.by_module(inside, claimed=claimed)
    # A model in a model in a model: the first level with something to choose from.
    while len(found) == 1 and found[0].path != inside.path:
        inside = modules.find(tree, found[0].path) or tree.root
        found = parts.by_module(inside, claimed=claimed)
    return found


def _chart(profile: Profile, found: Sequence[Part], by: str) -> None:
    from ortlab.charts import operators, theme

    base = f"parts-{by}"
    figure = operators.of_parts(found, runs=profile.counted_runs or len(profile.runs),
                                limit=_BARS, selected=_selected(found, by))  # fmt: skip
    st.plotly_chart(
        figure, key=selection.widget_key(base), selection_mode="points",
        on_select=selection.on_points(base, lambda at: _choose(found, by, at, base)),
        config=theme.CONFIG | {"displayModeBar": False}, alt=f"Time {BY[by].lower()}; table below",
    )  # fmt: skip
    if len(found) > _BARS:
        st.caption(f"The {_BARS} costliest of {units.count(len(found))}; the table has the others.")


def _table(found: Sequence[Part], by: str) -> None:
    rows = [_row(part) for part in found]
    columns = [*_FIRST[by], *(_OF_MODULES if by == "module" else _FIGURES)]
    if any(part.doubt or part.time_kind != "host" for part in found):
        columns.insert(len(_FIRST[by]), _KIND)
    marked = _selected(found, by)
    base = f"parts-{by}-table"
    table_view.show(
        rows, columns, key=selection.widget_key(base), name=f"time-by-{by}", limit=_SENT_ROWS,
        alt=f"Time {BY[by].lower()}", search=by != "module",
        on_row=None if by == "provider" else lambda at: _choose(found, by, at, base),
        marked=next((i for i, part in enumerate(found) if part is marked), None),
    )  # fmt: skip


def _selected(found: Sequence[Part], by: str) -> Part | None:
    key = selection.selected_operator()
    if by not in ("op", "shape") or key is None:
        return None
    return next((part for part in found if (part.op_type, part.provider) == key), None)


def _choose(found: Sequence[Part], by: str, at: Any, base: str) -> None:
    """What a click on a bar or a row selects."""
    if not isinstance(at, int) or not 0 <= at < len(found):
        return
    part = found[at]
    if by == "module":
        selection.select_module(part.path)
    elif by in ("op", "shape"):
        selection.select_operator(part.op_type, part.provider, by=base)


def _row(part: Part) -> dict[str, Any]:
    return {
        "name": providers.label(part.name) if part.name == part.provider else part.name,
        "provider": providers.label(part.provider),
        "input_shapes": part.input_shapes or None,
        "output_shapes": part.output_shapes or None,
        "kind": _KIND_WORDS.get(part.doubt or part.time_kind, part.time_kind),
        "share": part.share,
        "cumulative_share": part.cumulative_share,
        "p50_us": part.p50_us,
        "mean_us": part.mean_us,
        "self_us": part.self_us,
        "total_us": part.total_us,
        "corrected_self_us": part.corrected_self_us,
        "device_us": part.device_us,
        "calls": part.calls,
        "node_count": part.node_count,
    }
