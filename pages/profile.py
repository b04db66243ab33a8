"""Profile: where the time of one setting, or of a foreign trace, goes."""

import streamlit as st

from ortlab.ui import (
    findings_panel,
    frame,
    profile_source,
    profile_views,
    selection,
    takeaway_trace,
    trust_panel,
)

source = profile_source.pick()
if source is None:
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    view = frame.view_switch(profile_views.VIEWS)
    steady = st.toggle("Steady runs only", value=True, key="steady", bind="query-params",
                       help="Leaves warm-up runs out of every sum.")  # fmt: skip
    shown = source.view(steady=steady)
    takeaway_trace.menu(shown, run=selection.selected_run())

trust_panel.show(shown.record)
if view not in ("roofline", "compare"):
    selection.strip(shown.record)
profile_views.show(view, source, shown.record)

if source.run:
    study = frame.lab().study(source.run).record
    found = [f for f in frame.lab().findings(study.id) if f.configuration_id == source.row]
    st.subheader("What stands out", anchor=False)
    findings_panel.show(study, found)
