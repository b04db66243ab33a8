"""A profile to take away: for Perfetto, speedscope, Model Explorer and spreadsheets."""

from __future__ import annotations

import re

import streamlit as st

from ortlab.analysis.reading.slow_run import median_run
from ortlab.catalog.exports import FORMATS, Format
from ortlab.domain import units
from ortlab.domain.trace import Profile
from ortlab.views import ProfileView

_ICONS = {"chrome": ":material/view_timeline:", "speedscope": ":material/local_fire_department:",
          "model-explorer": ":material/account_tree:", "csv": ":material/table:"}  # fmt: skip
_NOT_FOR_NAMES = re.compile(r"[^\w.-]+")


def menu(view: ProfileView, *, run: int | None = None) -> None:
    """*Export* as a popover; files are made when they are asked for.

    Args:
        view: the profile that is on the page.
        run: the run that is on the page; without one, one of middling length is offered.
    """
    profile = view.record
    with st.popover("Export", icon=":material/ios_share:"):
        chosen = _run(profile, run)
        for form in FORMATS:
            _button(view, form, chosen)


def _run(profile: Profile, run: int | None) -> int | None:
    """The run whose events are shown; None where there is none to choose."""
    if len(profile.runs) < 2:
        return None
    by_index = {r.index: r for r in profile.runs}
    start = run if run in by_index else median_run(profile.runs).index
    # Not a list to choose from: every option would be sent with every change of the page.
    chosen = st.number_input(
        "Run for Chrome trace and speedscope", min(by_index), max(by_index), start,
        key=f"export-run-{start}",
    )  # fmt: skip
    if chosen not in by_index:
        return start
    found = by_index[chosen]
    kind = ", as a warm-up run" if found.warmup else ""
    st.caption(f"It took {units.time(found.duration_us)}{kind}.")
    return chosen


def _button(view: ProfileView, form: Format, run: int | None) -> None:
    packed = f"{form.suffix}.gz" if form.of_runs else ".zip"
    part = f"-run{run}" if form.of_runs and run is not None else ""
    st.download_button(
        form.title,
        data=lambda: view.as_download(form.id, run=run),
        file_name=f"{_stem(view.record.source)}{part}.{form.id}{packed}",
        mime="application/gzip" if form.of_runs else "application/zip",
        icon=_ICONS[form.id], help=form.about, key=f"export-{form.id}", on_click="ignore",
        width="stretch",
    )  # fmt: skip


def _stem(source: str) -> str:
    """The source's name as one that every file system takes."""
    name = _NOT_FOR_NAMES.sub("-", source.removesuffix(".json")).strip("-.")
    return name[:80] or "profile"
