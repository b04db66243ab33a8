"""The views of one profile: each a way to see the same recording."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ortlab.analysis.profiles import parts
from ortlab.analysis.reading import slow_run
from ortlab.catalog import providers
from ortlab.domain.trace import Profile
from ortlab.ui import (
    compare_traces,
    device_panel,
    flame_view,
    memory_view,
    nodes_view,
    operators_view,
    placement_panel,
    roofline_view,
    run_choice,
    runs_view,
    selection,
    threads_view,
    timeline_view,
    words,
)
from ortlab.ui.profile_source import Source

Show = Callable[[Source, Profile], None]


def show(view: str, source: Source, profile: Profile) -> None:
    """One view by its id in `VIEWS`."""
    _SHOW[view](source, profile)


def _operators(source: Source, profile: Profile) -> None:
    operators_view.show(profile, source.scopes())
    device_panel.show(profile)


def _timeline(source: Source, profile: Profile) -> None:
    launching = " and ".join(providers.label(name) for name in parts.not_work(profile))
    if launching:
        st.caption(f":material/hourglass_empty: On {words.safe(launching)}, a block is the "
                   "**launch** of work or the **wait** for it, not the work itself.")  # fmt: skip
    run = run_choice.pick(profile)
    timeline_view.show(source, profile, run=run.index if run else None)


def _runs(source: Source, profile: Profile) -> None:
    runs_view.show(profile, source.timeline)
    chosen = next((r for r in profile.runs if r.index == selection.selected_run()), None)
    usual = None if chosen is None else slow_run.usual_run(profile.runs, chosen)
    if chosen is None or usual is None or chosen.index == usual.index:
        return
    st.subheader("The two runs along time", anchor=False)
    timeline_view.show(source, profile, run=chosen.index, beside=usual.index)


def _roofline(source: Source, profile: Profile) -> None:
    roofline_view.show(
        profile, threads=source.threads(), foreign=source.trace is not None,
        weights=source.weights(),
    )  # fmt: skip


_SHOW: dict[str, Show] = {
    "operators": _operators,
    "icicle": lambda source, profile: flame_view.show(profile, source.scopes()),
    "nodes": lambda source, profile: nodes_view.show(profile, source.scopes()),
    "timeline": _timeline,
    "runs": _runs,
    "memory": lambda source, profile: memory_view.show(source.summary().memory, profile),
    "threads": lambda source, profile: threads_view.show(source.summary().threads, profile),
    "roofline": _roofline,
    "placement": lambda source, profile: placement_panel.show(
        source.placement(profile), steady=source.trace is not None and profile.steady_only
    ),
    "compare": lambda source, _profile: compare_traces.show(source),
}
VIEWS = {
    "operators": "Operators",
    "icicle": "Flame",
    "nodes": "Nodes",
    "timeline": "Timeline",
    "runs": "Runs",
    "memory": "Memory",
    "threads": "Threads",
    "roofline": "Roofline",
    "placement": "Placement",
    "compare": "Compare",
}
"""Views by their id in the address, in the order of the switch."""
