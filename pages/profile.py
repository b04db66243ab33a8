"""Profile: where the time of one setting, or of a foreign trace, goes."""

import streamlit as st

from ortlab.ui import (
    breakdown,
    findings_panel,
    flame_view,
    frame,
    nodes_view,
    operators_view,
    placement_panel,
    profile_source,
    selection,
)

VIEWS = {
    "operators": "Operators",
    "icicle": "Flame",
    "nodes": "Nodes",
    "timeline": "Timeline",
    "placement": "Placement",
    "runs": "Runs and warm-up",
}

source = profile_source.pick()
if source is None:
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    view = frame.view_switch(VIEWS)
    steady = st.toggle("Steady runs only", value=True, key="steady", bind="query-params",
                       help="Leaves warm-up runs out of every sum.")  # fmt: skip

profile = source.profile(steady=steady)
breakdown.trust(profile)
selection.strip(profile)
if view == "timeline":
    run = breakdown.pick_run(profile)
    if run is not None:
        breakdown.timeline(source.timeline(run))
elif view == "placement":
    placement_panel.show(source.placement(profile))
elif view == "runs":
    breakdown.runs(profile)
else:
    views = {"operators": operators_view, "icicle": flame_view, "nodes": nodes_view}
    views[view].show(profile, source.scopes())

if source.run:
    study = frame.lab().study(source.run).record
    found = [f for f in frame.lab().findings(study.id) if f.configuration_id == source.row]
    st.subheader("What stands out", anchor=False)
    findings_panel.show(study, found)
