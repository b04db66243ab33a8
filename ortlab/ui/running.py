"""A study on its way: whether it is, its live progress, cancel, and measuring again."""

from __future__ import annotations

import streamlit as st

from ortlab.charts.labels import short_labels
from ortlab.domain.placement import Placement
from ortlab.domain.study import ConfigurationResult, Study
from ortlab.ui import frame, live, words
from ortlab.ui.door import lab

_ACTIVE = ("queued", "running")


def active(study: Study) -> bool:
    """Whether the study still waits or measures."""
    return study.status in _ACTIVE


def some_measured(study: Study) -> bool:
    """Whether there is a row to show already."""
    return any(row.latency or row.error for row in study.configurations)


def show(study: Study) -> None:
    """Title, live progress by configuration, cancel, and that the page may be closed."""
    from ortlab.measure.rows import label_of

    with st.container(horizontal=True, horizontal_alignment="distribute",
                      vertical_alignment="center"):  # fmt: skip
        st.title(words.safe_with_code(study.title or study.model_name, limit=100), anchor=False,
                 width="content")  # fmt: skip
        if st.button("Cancel", icon=":material/cancel:", key="cancel"):
            frame.attempt(lambda: lab().cancel(study.id))
    names = {c.id: label_of(c, study.spec.configurations) for c in study.spec.configurations}
    names |= {k: v for k, v in short_labels(study.configurations).items() if not names.get(k)}
    done = sum(bool(row.latency or row.error) for row in study.configurations)
    with st.container(border=True):
        live.show(study.id, labels=names, finished=done)
    st.caption("You may close this page: the measurement goes on, and this address brings it "
               "back, in any tab.")  # fmt: skip


def best_with_profile(study: Study) -> ConfigurationResult | None:
    """The fastest row whose time can be broken down, else any row that has a profile."""
    best = words.row_by_id(study, study.best)
    if best is not None and best.trace_artifact is not None:
        return best
    return next((row for row in study.configurations if row.trace_artifact), None)


def placement(study: Study, row: ConfigurationResult | None) -> Placement | None:
    """Where the nodes of this row ran; None without a profile of the fastest setting."""
    if row is None or row.id != study.best:
        return None
    return frame.quietly(lambda: lab().placement_of(study.id, row.id))


def again(study: Study) -> None:
    """*Measure again*: the same question, once it has ended."""
    if active(study):
        return
    if st.button("Measure again", icon=":material/replay:", key="again"):
        study_id = frame.attempt(lambda: lab().rerun(study.id))
        if study_id:
            frame.go("results", run=study_id)
