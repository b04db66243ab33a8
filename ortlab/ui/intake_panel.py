"""How a model or a trace gets in: dropped files, a path, or a sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from ortlab.domain import units
from ortlab.domain.files import begins_as_json, looks_like_trace
from ortlab.domain.machine import MachineReport
from ortlab.domain.model import SampleModel
from ortlab.errors import OrtlabError, as_dict, from_dict
from ortlab.ui import frame, machine_panel, upload, words
from ortlab.ui.door import lab

SAMPLE_FIRST = "digits_cnn"


def drop_zone() -> None:
    """The file area; what is dropped goes to disk at once and leaves memory."""
    turn = st.session_state.setdefault("drop-turn", 0)
    files = st.file_uploader(
        "Drop a model, its data files, or an ONNX Runtime profile",
        accept_multiple_files=True, key=f"drop-{turn}",
        help="A .onnx file, together with its external data files if it has any; a .zip that "
        "holds them; or the .json profile that ONNX Runtime wrote, even one cut off. Larger than "
        "2 GiB: use a path on this machine.",
    )  # fmt: skip
    if not files:
        return
    with st.spinner("Reading what was dropped …"), upload.on_disk(files) as paths:
        # A new key makes a new, empty widget in the next run, whatever becomes of these files.
        st.session_state["drop-turn"] = turn + 1
        _follow(lambda: _open(paths))


def refused() -> None:
    """Why the last file was not taken, until something else is given."""
    told = st.session_state.get("refused")
    if told:
        frame.show_error(from_dict(told), title="This file cannot be used")


def _follow(give: Callable[[], tuple[str, dict[str, str]]]) -> None:
    """Go where what was given is shown; what is refused is told in a fresh run.

    The fresh run matters: files dropped on the old widget would belong to nobody.
    """
    try:
        name, query = give()
    except OrtlabError as error:
        st.session_state["refused"] = as_dict(error)
        st.rerun()
    st.session_state.pop("refused", None)
    frame.go(name, **query)


def path_field() -> None:
    """A path on this machine, for what is too large to send through a browser."""
    with st.popover("Open a path", icon=":material/folder_open:"):
        with st.form("by-path", border=False):
            text = st.text_input("Path of a .onnx, .zip or profile .json", key="path")
            sent = st.form_submit_button("Open", type="primary")
        st.caption("The file is read where it is; a model over 1 GiB is not copied.")
    if sent and text.strip():
        path = Path(text.strip()).expanduser()
        _follow(lambda: _open({path.name: path}, by_path=True))


def sample_buttons() -> None:
    """*Try the sample model*, the other samples, a foreign profile, a path."""
    samples = _samples()
    with st.container(horizontal=True, vertical_alignment="center"):
        if samples and st.button("Try the sample model", type="primary", key="sample",
                                 icon=":material/play_arrow:"):  # fmt: skip
            _open_sample(samples[0])
        chosen = st.menu_button("Other samples", [s.name for s in samples[1:]], key="samples",
                                icon=":material/apps:", format_func=words.safe)  # fmt: skip
        trace_button()
        path_field()
    if chosen:
        _open_sample(next(s for s in samples if s.name == chosen))


def sample_note(found: MachineReport) -> None:
    """What the sample is, and how long measuring it takes on this machine."""
    samples = _samples()
    if not samples:
        st.caption("No sample models are installed here.")
        return
    first = samples[0]
    seconds = frame.quietly(lambda: _sample_seconds(first.path, found.machine.id))
    time = f", about {units.duration(seconds)} to measure" if seconds else ""
    st.caption(f"The sample: {words.safe(first.about.rstrip('.'))}, "
               f"{units.size(first.bytes)}{time}.")  # fmt: skip


def _samples() -> list[SampleModel]:
    return sorted(lab().samples(), key=lambda s: s.name != SAMPLE_FIRST)


@st.cache_data(max_entries=4, show_spinner=False)
def _sample_seconds(path: str, machine_id: str) -> float:
    """Time for the form's own defaults on this machine; nothing is added to the store."""
    from ortlab.measure import plan
    from ortlab.ui import configure

    model, found = lab().inspect(path), machine_panel.report()
    spec = plan.plan(configure.defaults(model, found), model, found)
    return plan.estimate_s(spec, model)


def trace_button() -> None:
    """*Open an ORT profile*: a drop field of its own, which says what it takes."""
    with st.popover("Open an ORT profile", icon=":material/flare:"):
        st.markdown(
            "A profile is the `.json` that ONNX Runtime writes when `enable_profiling` is set. "
            "It opens without its model, also when it was cut off."
        )
        turn = st.session_state.setdefault("trace-turn", 0)
        files = st.file_uploader("Profile", key=f"trace-{turn}", label_visibility="collapsed",
                                 accept_multiple_files=True)  # fmt: skip
    if files:
        with st.spinner("Reading the profile …"), upload.on_disk(files[:1]) as paths:
            st.session_state["trace-turn"] = turn + 1
            _follow(lambda: _trace(paths))


def _open_sample(sample: SampleModel) -> None:
    _follow(lambda: ("start", {"model": lab().add_model(sample.path).id}))


def _open(paths: dict[str, Path], *, by_path: bool = False) -> tuple[str, dict[str, str]]:
    """The page and query where what was given is shown."""
    if len(paths) == 1 and _is_trace(next(iter(paths.values()))):
        return _trace(paths)
    if by_path:
        return "start", {"model": lab().add_model(next(iter(paths.values()))).id}
    return "start", {"model": lab().add_upload(paths).id}


def _trace(paths: dict[str, Path]) -> tuple[str, dict[str, str]]:
    return "profile", {"trace": lab().open_trace(next(iter(paths.values())))}


def _is_trace(path: Path) -> bool:
    # A drop is not asked twice: a profile whose name says model is a profile.
    return looks_like_trace(path) or begins_as_json(path)
