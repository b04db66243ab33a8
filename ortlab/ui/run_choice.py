"""Which run is on the page: a chosen one, or the median of the steady ones."""

from __future__ import annotations

import streamlit as st

from ortlab.analysis.reading.slow_run import median_run
from ortlab.domain import units
from ortlab.domain.trace import Profile, Run
from ortlab.ui import selection

# A list of more runs than these is no longer read, and each costs the browser some bytes.
MAX_LISTED = 200


def shown(profile: Profile) -> Run | None:
    """The run in the address, else the median one; None for a trace without runs."""
    asked = selection.selected_run()
    found = next((run for run in profile.runs if run.index == asked), None)
    return found or (median_run(profile.runs) if profile.runs else None)


def pick(profile: Profile) -> Run | None:
    """A way to choose a run, and the one that is chosen."""
    run = shown(profile)
    if run is None:
        st.caption("The file holds no whole run, so all of it is shown.")
        return None
    names = {r.index: name(r) for r in _listed(profile, run)}
    st.selectbox(
        "Run", list(names), index=list(names).index(run.index), width=320,
        format_func=lambda index: names[index], key=f"run-choice-{run.index}",
        on_change=_choose, args=(f"run-choice-{run.index}",),
    )  # fmt: skip
    if len(names) < len(profile.runs):
        st.caption(
            f"The list has the {units.count(len(names))} most telling of "
            f"{units.count(len(profile.runs))} runs; click any other in Runs."
        )
    return run


def name(run: Run) -> str:
    """What a run is called in a list."""
    words = {"warm-up": run.warmup, "outlier": run.outlier, "cut off": run.partial}
    marks = "".join(f", {word}" for word, holds in words.items() if holds)
    return f"run {run.index}, {units.time(run.duration_us)}{marks}"


def _listed(profile: Profile, chosen: Run) -> list[Run]:
    """All runs, or the chosen one, outliers, the longest and the first ones."""
    if len(profile.runs) <= MAX_LISTED:
        return list(profile.runs)
    ranked = sorted(profile.runs, key=lambda run: (not run.outlier, -run.duration_us))
    kept = {run.index for run in (*profile.runs[:20], *ranked[: MAX_LISTED - 40], chosen)}
    kept.add(median_run(profile.runs).index)
    return [run for run in profile.runs if run.index in kept]


def _choose(key: str) -> None:
    selection.select_run(st.session_state[key])
