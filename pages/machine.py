"""Machine: what is here, what works, and how quiet it is."""

import streamlit as st

from ortlab.ui import frame, machine_panel

st.title("Machine", anchor=False)
slot = st.container()
found = machine_panel.report()
with slot:
    st.text(machine_panel.hardware_line(found.machine))
    st.subheader("Execution providers", anchor=False)
    machine_panel.provider_table(found)
    st.subheader("Noise", anchor=False)
    machine_panel.self_check(found)
    st.subheader("Hardware and versions", anchor=False)
    machine_panel.facts(found)
    with st.container(horizontal=True):
        if st.button("Look again", icon=":material/refresh:", key="refresh"):
            with st.spinner("Opening a session with every provider …"):
                frame.attempt(lambda: frame.lab().machine(refresh=True))
            machine_panel.forget()
            st.rerun()
        st.download_button("Report as JSON", data=machine_panel.as_text(found), key="report",
                           file_name="machine.json", mime="application/json",
                           on_click="ignore", icon=":material/download:")  # fmt: skip
    with st.expander("Copy report", icon=":material/content_copy:"):
        st.caption("For a bug report: the button at the top right of the box copies it.")
        st.code(machine_panel.as_text(found), language="json", height=320)
