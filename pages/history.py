"""History: every study kept on this machine."""

import streamlit as st

from ortlab.ui import archive, frame

st.title("History", anchor=False)
text, model = archive.filters()
found = frame.lab().history(text or None, model=model)
if not found:
    archive.nothing(len(frame.lab().history()))
    st.stop()
archive.actions(archive.table(found))
