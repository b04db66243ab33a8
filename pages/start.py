"""Start: choose what to measure, and ask."""

import streamlit as st

from ortlab.ui import configure, frame, intake_panel, machine_panel, model_card, preview, recent

QUESTION = "Which setting runs this model fastest here?"

main, aside = st.columns([8, 5], gap="large")
model_id = st.query_params.get("model")

with main:
    st.title(QUESTION, anchor=False)
    st.caption(
        "ortlab measures an ONNX model on every execution provider, optimization level and "
        "precision this machine has, says which is fastest and how surely, and shows where the "
        "time goes. Nothing leaves this machine."
    )
    intake_panel.drop_zone()
    intake_panel.refused()
    intake_panel.sample_buttons()
    note_slot = st.container()

with aside:
    with st.container(border=True):
        st.markdown("**This machine**")
        machine_slot = st.container()
    with st.container(border=True):
        st.markdown("**Recent**")
        recent.links(frame.lab().history(limit=recent.SHOWN))

asked = st.container(border=True) if model_id else None
if asked is not None:
    with asked:
        model = frame.lab().model(model_id)
        model_card.show(model)
else:
    st.caption("The same from the shell")
    st.code("ortlab bench sample_models/digits_cnn.onnx --level disabled --level all",
            language="bash")  # fmt: skip

# Last, because proving which providers work takes seconds on the very first visit.
with machine_slot:
    machine = machine_panel.report()
    machine_panel.card(machine)
with note_slot:
    intake_panel.sample_note(machine)
if asked is not None:
    with asked:
        if model_card.blocking(model):
            st.caption("This model cannot be measured until the problems above are solved.")
        else:
            preview.show(model, configure.form(model, machine))
