"""History: every study on this disk, and what can be done with one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ortlab.domain.study import StudySummary
from ortlab.ui import frame, table_view, words
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

_COLUMNS = (
    Column("title", "Study"),
    Column("model", "Model"),
    Column("status", "Status"),
    Column("settings", "Settings", "count"),
    Column("best", "Fastest setting"),
    Column("best_p50_us", "Its p50", "time"),
    Column("when", "When"),
    Column("created_at", "Date"),
    Column("machine", "Machine"),
    Column("id", "Id"),
)
_ALL = "all models"


def filters() -> tuple[str, str | None]:
    """Search text and model id, both kept in the address."""
    models = {m.id: m.name for m in lab().models()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", key="search", bind="query-params", width=320,
                             icon=":material/search:",
                             placeholder="title, model, id or winner")  # fmt: skip
        model = st.selectbox("Model", [_ALL, *models], key="model-filter", width=280,
                             format_func=lambda i: words.plain(models.get(i, i)))  # fmt: skip
    return text.strip(), None if model == _ALL else model


def nothing(total: int) -> None:
    """What stands where the table would: nothing measured at all, or nothing that matches."""
    if not total:
        st.markdown("**Nothing measured yet.** Every study is kept here until you delete it.")
        if st.button("Go to Start", type="primary", icon=":material/play_arrow:", key="to-start"):
            frame.go("start")
        return
    st.markdown(f"**0 of {total} studies match.**")
    st.button("Clear the filters", key="clear", on_click=_clear)


def _clear() -> None:
    st.session_state["search"] = ""
    st.session_state["model-filter"] = _ALL


def table(found: Sequence[StudySummary]) -> StudySummary | None:
    """All studies; the selected one comes back."""
    rows: list[dict[str, Any]] = [
        {"title": s.title, "model": s.model_name, "status": s.status,
         "settings": s.configuration_count, "best": s.best_label, "best_p50_us": s.best_p50_us,
         "when": words.ago(s.created_at), "created_at": s.created_at[:16].replace("T", " "),
         "machine": s.machine_id, "id": s.id}
        for s in found
    ]  # fmt: skip
    chosen = table_view.show(rows, _COLUMNS, key="history", alt="All studies", name="history",
                             select="single-row")  # fmt: skip
    return found[chosen[0]] if chosen else None


def actions(study: StudySummary | None) -> None:
    """Open, rename, measure again, delete; each on the selected study."""
    if study is None:
        st.caption("Select a study to open, rename, repeat or delete it.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Open", type="primary", icon=":material/bar_chart:", key="open"):
            frame.go("results", run=study.id)
        with st.popover("Rename", icon=":material/edit:"), st.form("rename", border=False):
            title = st.text_input("Title", value=study.title, key=f"title-{study.id}")
            if st.form_submit_button("Save", type="primary"):
                frame.attempt(lambda: lab().rename(study.id, title))
                st.rerun()
        if st.button("Measure again", icon=":material/replay:", key="rerun"):
            study_id = frame.attempt(lambda: lab().rerun(study.id))
            if study_id:
                frame.go("results", run=study_id)
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"Delete **{words.safe(study.title)}** with its samples and profiles? "
                        "This cannot be undone.")  # fmt: skip
            if st.button("Delete for good", type="primary", key="delete"):
                frame.attempt(lambda: lab().delete(study.id))
                st.rerun()
