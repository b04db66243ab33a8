"""Files a person takes away: code and recipe of one setting, the study as JSON, the link."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import streamlit as st

from ortlab import __version__
from ortlab.domain.study import Study
from ortlab.ui import frame, words
from ortlab.ui.door import lab

KINDS = {"python": ("Python code", ":material/code:"), "recipe": ("Recipe", ":material/tune:")}


def menu(study: Study) -> None:
    """*Export* as a popover: which setting, then what."""
    measured = [row for row in study.configurations if row.latency is not None]
    with st.popover("Export", icon=":material/ios_share:"):
        if measured:
            ids = [row.id for row in measured]
            start = ids.index(study.best) if study.best in ids else 0
            labels = {row.id: row.label for row in measured}
            chosen = st.selectbox("Setting", ids, index=start, key="export-setting",
                                  format_func=lambda i: words.plain(labels[i]))  # fmt: skip
            for kind in KINDS:
                _files(study, chosen, kind)
        st.download_button(
            "Everything as JSON", data=lambda: as_json(study), key="export-json",
            file_name=f"study-{study.id}.json", mime="application/json", on_click="ignore",
            icon=":material/data_object:", width="stretch",
        )  # fmt: skip


def as_json(study: Study) -> bytes:
    """The study as the contract's JSON document."""
    document = {"schema": "ortlab.study/1", "ortlab_version": __version__,
                "study": msgspec.to_builtins(study)}  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _files(study: Study, row_id: str, kind: str) -> None:
    title, icon = KINDS[kind]
    written = frame.attempt(lambda: _written(study.id, row_id, kind))
    for name, data in written or []:
        st.download_button(
            f"{title}: {words.safe(name)}", data=data, file_name=name, icon=icon,
            key=f"export-{kind}-{name}", on_click="ignore", width="stretch",
        )  # fmt: skip


@st.cache_data(max_entries=16, show_spinner=False)
def _written(study_id: str, row_id: str, kind: str) -> list[tuple[str, bytes]]:
    """Name and bytes of every file of one export."""
    with tempfile.TemporaryDirectory(prefix="ortlab-") as folder:
        paths = lab().export(study_id, row_id, kind=kind, folder=Path(folder))
        return [(path.name, path.read_bytes()) for path in paths]
