"""What a profile can be compared with: other settings, other studies, traces, a file."""

from __future__ import annotations

from typing import Protocol

import streamlit as st

from ortlab.errors import RequestError
from ortlab.ui import frame, upload, words
from ortlab.ui.door import lab

WITH = "with"
"""The key of the other side in the address: an opened trace, or `STUDY/CONFIGURATION`."""
_STUDIES = 12
_TRACES = 12
_NAME_LIMIT = 90


class Source(Protocol):
    """The profile on the page: an opened trace, or a study's row."""

    run: str | None
    row: str | None
    trace: str | None


def address(source: Source) -> str:
    """What names the profile for `Lab.compare`."""
    return source.trace or f"{source.run}/{source.row}"


def pick_other(source: Source) -> str | None:
    """What to compare with, kept in the address; None while nothing is chosen."""
    choices = _choices(source)
    asked = st.query_params.get(WITH)
    if asked and asked not in choices:
        choices[asked] = _name(asked)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Compare with", list(choices), index=list(choices).index(asked) if asked else None,
            key=f"compare-with-{address(source)}-{asked or ''}", format_func=choices.__getitem__,
            placeholder="A setting, a study or a trace" if choices else "Nothing recorded yet",
            help="Ratios are this profile ÷ the other: above 1 the other is faster.",
        )  # fmt: skip
        _open_file()
        if chosen:
            st.button("Swap", icon=":material/swap_horiz:", key="compare-swap",
                      on_click=_swap, args=(address(source), chosen),
                      help="Look from the other side")  # fmt: skip
    if chosen and chosen != asked:
        st.query_params[WITH] = chosen
    if not chosen:
        st.caption("Pick another recording. Profiles of other providers, levels, versions of ONNX "
                   "Runtime and machines can be compared: nodes are matched by name, then by "
                   "operator and shapes.")  # fmt: skip
    return chosen


def _choices(source: Source) -> dict[str, str]:
    """Address → name, the nearest first."""
    found: dict[str, str] = {}
    if source.run:
        found |= _rows_of(source.run, without=source.row, own=True)
    for summary in lab().history(limit=_STUDIES):
        if summary.id != source.run:
            found |= _rows_of(summary.id, without=None, own=False)
    for trace_id, name in lab().store.traces.opened(limit=_TRACES):
        if trace_id != source.trace:
            found[trace_id] = f"Trace: {words.plain(name, limit=_NAME_LIMIT)}"
    return found


def _rows_of(study_id: str, *, without: str | None, own: bool) -> dict[str, str]:
    study = lab().study(study_id).record
    start = "This study" if own else words.plain(study.title or study.model_name, limit=50)
    return {
        f"{study_id}/{row.id}": f"{start}: {words.plain(row.label, limit=_NAME_LIMIT)}"
        for row in study.configurations
        if row.trace_artifact and row.id != without
    }


def _name(asked: str) -> str:
    """The name of what a link asks for.

    Raises:
        RequestError: there is no such recording.
    """
    study_id, _, row_id = asked.partition("/")
    if not row_id:
        return f"Trace: {words.plain(lab().trace(asked).record.source, limit=_NAME_LIMIT)}"
    names = _rows_of(study_id, without=None, own=False)
    if asked not in names:
        raise RequestError(
            f"Study '{study_id}' has no profile of '{row_id}'.", hint="Pick another recording."
        )
    return names[asked]


def _swap(here: str, other: str) -> None:
    """The same comparison from the other side."""
    for key in ("trace", "run", "cfg"):
        if key in st.query_params:
            del st.query_params[key]
    study_id, _, row_id = other.partition("/")
    st.query_params.update({"run": study_id, "cfg": row_id} if row_id else {"trace": other})
    if row_id:
        # The page's own picker would go back to what was chosen in it.
        st.session_state[f"setting-{study_id}"] = row_id
    st.query_params[WITH] = here


def _open_file() -> None:
    """A profile from a file, to compare with; it is kept like any other."""
    turn = st.session_state.setdefault("compare-turn", 0)
    with st.popover("Open a file", icon=":material/folder_open:"):
        files = st.file_uploader("Profile that ONNX Runtime wrote", key=f"compare-file-{turn}",
                                 accept_multiple_files=True)  # fmt: skip
    if not files:
        return
    with st.spinner("Reading the profile …"), upload.on_disk(files[:1]) as paths:
        st.session_state["compare-turn"] = turn + 1
        opened = frame.attempt(lambda: lab().open_trace(next(iter(paths.values()))))
    if opened:
        st.query_params[WITH] = opened
        st.rerun()
