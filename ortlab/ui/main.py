"""The script behind every page: its frame, and the navigation on top."""

import streamlit as st

from ortlab.ui import frame

st.set_page_config(page_title="ortlab", page_icon=str(frame.ICON), layout="wide")
pages = [
    st.Page(frame.page_path(name), title=title, icon=mark, default=name == "start",
            url_path="" if name == "start" else name)
    for name, (title, mark) in frame.PAGES.items()
]  # fmt: skip
current = st.navigation(pages, position="top")
st.set_page_config(page_title=f"{current.title} · ortlab")
frame.guarded(current.run)
