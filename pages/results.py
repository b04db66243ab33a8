"""Results: the answer, while it comes in and after."""

import streamlit as st

from ortlab.ui import (
    compare_panel,
    evidence_panel,
    findings_panel,
    frame,
    intake_panel,
    ranking,
    recent,
    running,
    takeaway,
)

study_id = st.query_params.get("run")
if not study_id:
    st.title("Results", anchor=False)
    st.markdown("**No study chosen.** Measure a model, or open one of the last studies.")
    intake_panel.sample_buttons()
    recent.links(frame.lab().history(limit=recent.SHOWN))
    st.stop()

study = frame.lab().study(study_id).record
if running.active(study):
    running.show(study)
    if not running.some_measured(study):
        st.stop()

best = running.best_with_profile(study)
if running.active(study):
    place = None
else:
    ranking.heading(study)
    ranking.doubts(study)
    place = ranking.cards(study)

ranking.bars(study)
if place is not None:
    with place:
        ranking.fallback(study, running.placement(study, best))
selected = ranking.table(study)
with st.container(horizontal=True):
    if best and st.button("Where does the time go?", type="primary", icon=":material/flare:",
                          key="profile"):  # fmt: skip
        frame.go("profile", run=study.id, cfg=best.id)
    takeaway.menu(study)
    running.again(study)
compare_panel.show(study, selected)
ranking.failures(study)

if not running.active(study):
    st.subheader("What stands out", anchor=False)
    findings_panel.show(study, frame.lab().findings(study.id))
    with st.expander("Raw samples", icon=":material/scatter_plot:", on_change="rerun",
                     key="raw") as raw:  # fmt: skip
        if raw.open:
            evidence_panel.samples(study, selected)
    with st.expander("What else the machine did", icon=":material/speed:"):
        evidence_panel.interference(study)
        evidence_panel.inputs(study)
