"""What would be measured, how long that takes, and the button that starts it."""

from __future__ import annotations

import streamlit as st

from ortlab.domain import units
from ortlab.domain.ask import Ask
from ortlab.domain.model import ModelInfo
from ortlab.domain.study import StudySpec
from ortlab.ui import frame, table_view, words
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

_COLUMNS = (
    Column("number", "", "count"),
    Column("label", "Setting"),
    Column("role", "Role"),
    Column("id", "Id"),
)


def show(model: ModelInfo, ask: Ask) -> None:
    """Count, estimate, *Measure*, the same as a command, and the list of settings."""
    if not (ask.providers and ask.levels and ask.variants):
        st.info("Choose at least one provider, one optimization level and one precision.",
                icon=":material/checklist:")  # fmt: skip
        return
    spec = frame.attempt(lambda: lab().plan(model.id, ask))
    if spec is None:
        return
    count = len(spec.configurations)
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Measure", type="primary", icon=":material/timer:", key="measure",
                          shortcut="Ctrl+Enter")  # fmt: skip
        st.markdown(f"**{count} setting{'s' * (count != 1)}**, about "
                    f"{units.duration(lab().estimate_s(spec))}", width="content")  # fmt: skip
    for note in spec.notes:
        st.caption(f":material/info: {words.safe(note)}")
    st.code(_command(model, ask), language="bash", wrap_lines=True)
    with st.expander(f"The {count} settings" if count != 1 else "The setting",
                     icon=":material/list:"):  # fmt: skip
        _settings(spec)
    if start:
        study_id = frame.attempt(lambda: lab().submit(spec))
        if study_id:
            frame.go("results", run=study_id)


def _command(model: ModelInfo, ask: Ask) -> str:
    from ortlab.measure.plan import command_line

    return command_line(ask, model.name)


def _settings(spec: StudySpec) -> None:
    from ortlab.measure.rows import label_of

    rows = [
        {
            "number": i + 1,
            "label": label_of(c, spec.configurations),
            "role": "baseline" if i == spec.baseline else None,
            "id": c.id,
        }
        for i, c in enumerate(spec.configurations)
    ]
    table_view.show(rows, _COLUMNS, key="settings", alt="The settings to measure", name="settings")
