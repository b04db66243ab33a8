"""Which profile the address names: one row of a study, or a trace that was opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from ortlab.domain.placement import Placement
from ortlab.domain.study import Study
from ortlab.domain.trace import Profile, TraceEvent
from ortlab.ui import frame, intake_panel, recent, selection, words
from ortlab.ui.door import lab
from ortlab.ui.trees import Scopes
from ortlab.views import ProfileView

if TYPE_CHECKING:
    from ortlab.analysis.profiles.summary import TraceSummary
    from ortlab.jobs.node_weights import Weights


class Source:
    """One profile with what belongs to it."""

    def __init__(self, *, run: str | None, row: str | None, trace: str | None) -> None:
        self.run, self.row, self.trace = run, row, trace

    def view(self, *, steady: bool) -> ProfileView:
        """The profile, with or without its warm-up runs, and what can be made of it."""
        if self.trace:
            return lab().trace(self.trace, steady=steady)
        return lab().profile_of(self.run or "", self.row or "", steady=steady)

    def summary(self) -> TraceSummary:
        """What is known of the trace beside its times: memory and threads."""
        if self.trace:
            return lab().summary(self.trace)
        return lab().summary(self.run or "", self.row)

    def threads(self) -> int | None:
        """Threads that one operator was given; None for a trace that does not tell."""
        if not self.run:
            return None
        rows = lab().study(self.run).record.configurations
        return next((row.threads for row in rows if row.id == self.row), None)

    def timeline(self, run: int) -> list[TraceEvent]:
        """The node events of one run."""
        if self.trace:
            return lab().timeline(self.trace, run=run)
        return lab().timeline(self.run or "", self.row, run=run)

    def weights(self) -> Weights | None:
        """Weights of the nodes where their graph is known; a foreign trace has no graph."""
        return lab().node_weights(self.run, self.row) if self.run and self.row else None

    def scopes(self) -> Scopes | None:
        """The module of each node by name; None where the model's file is not known."""
        return lab().scopes(lab().study(self.run).record.model_id) if self.run else None

    def placement(self, profile: Profile) -> Placement:
        """Where each node ran: of a foreign trace only what the trace itself shows."""
        if self.run and self.row:
            return lab().placement_of(self.run, self.row)
        from ortlab.analysis.placement import placement

        return placement(requested=(), active=(), assignment=None, log=None, profile=profile)


def pick() -> Source | None:
    """The source in the address, with a setting picker for a study; None shows what to do."""
    trace, run = st.query_params.get("trace"), st.query_params.get("run")
    if trace:
        st.title("Where the time goes", anchor=False)
        st.text(words.plain(lab().trace(trace).record.source, limit=200))
        return Source(run=None, row=None, trace=trace)
    if not run:
        _nothing()
        return None
    study = lab().study(run).record
    with_profile = [row for row in study.configurations if row.trace_artifact]
    if not with_profile:
        _no_profile(study)
        return None
    st.title("Where the time goes", anchor=False)
    st.text(words.plain(study.title or study.model_name))
    ids = [row.id for row in with_profile]
    labels = {row.id: row.label for row in with_profile}
    asked = st.query_params.get("cfg")
    start = ids.index(asked) if asked in ids else ids.index(study.best) if study.best in ids else 0
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Setting", ids, index=start, key=f"setting-{run}",
                              format_func=lambda i: words.plain(labels[i]))  # fmt: skip
        if st.button("Back to results", icon=":material/arrow_back:", key="back"):
            frame.go("results", run=run)
    if chosen != asked:
        if asked in ids:
            # Nodes are numbered by profile: the same number is another node here.
            selection.select_node(None)
        st.query_params["cfg"] = chosen
    return Source(run=run, row=chosen, trace=None)


def _nothing() -> None:
    st.title("Profile", anchor=False)
    st.markdown("**No profile chosen.** Profiling is a separate, slower pass after measuring. "
                "Open a study that has one, or a profile that ONNX Runtime wrote.")  # fmt: skip
    with st.container(horizontal=True):
        intake_panel.trace_button()
    recent.links(lab().history(limit=recent.SHOWN), page="profile")


def _no_profile(study: Study) -> None:
    st.title("Profile", anchor=False)
    st.markdown("**This study has no profile.** Profiling is a separate, slower pass, and it was "
                "switched off, is not done yet, or failed.")  # fmt: skip
    for row in study.configurations:
        for notice in row.warnings:
            if notice.code == "no-profile":
                st.caption(words.safe(f"{row.label}: {notice.message}", limit=500))
    with st.container(horizontal=True):
        if st.button("Back to results", icon=":material/arrow_back:", key="back"):
            frame.go("results", run=study.id)
        if st.button("Measure and profile it again", icon=":material/replay:", key="reprofile"):
            spec = frame.with_profile(study.spec)
            study_id = frame.attempt(lambda: lab().submit(spec))
            if study_id:
                frame.go("results", run=study_id)
