"""What every page stands in: the laboratory, links, and the one place that shows errors."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import streamlit as st

from ortlab.domain.study import StudySpec
from ortlab.errors import OrtlabError
from ortlab.ui import words
from ortlab.ui.door import lab

__all__ = ["PAGES", "go", "guarded", "lab", "page_path", "show_error"]

_FOLDER = Path(__file__).parents[2] / "pages"
ICON = Path(__file__).with_name("icon.png")
PAGES = {
    "start": ("Start", ":material/note_add:"),
    "results": ("Results", ":material/bar_chart:"),
    "profile": ("Profile", ":material/flare:"),
    "history": ("History", ":material/history:"),
    "machine": ("Machine", ":material/memory:"),
}


def page_path(name: str) -> Path:
    """The script of one page, by its key in `PAGES`."""
    return _FOLDER / f"{name}.py"


def go(name: str, **query: str) -> None:
    """Leave for another page; the query is what its link carries."""
    st.switch_page(page_path(name), query_params=query)


def guarded(show: Callable[[], Any]) -> None:
    """Run a page; an error a user can cause becomes a box that says what to do."""
    try:
        show()
    except OrtlabError as error:
        show_error(error)


def show_error(error: OrtlabError, *, title: str | None = None) -> None:
    """What happened, and the next step; the text may hold foreign names."""
    message = words.safe_with_code(error.message, limit=1200)
    lines = [f"**{title}**\n\n{message}" if title else f"**{message}**"]
    if error.hint:
        lines.append(words.safe_with_code(error.hint, limit=1200))
    st.error("\n\n".join(lines), icon=":material/error:")


def attempt(action: Callable[[], Any]) -> Any:
    """What `action` returns, or None after showing its error where the page stands now."""
    try:
        return action()
    except OrtlabError as error:
        show_error(error)
        return None


def view_switch(views: Mapping[str, str], *, key: str = "view") -> str:
    """The chosen view, kept in the address under its id, so that every view has a link."""
    asked = st.query_params.get(key)
    first = asked if asked in views else next(iter(views))
    switch, last = f"{key}-switch", f"{key}-last"
    if last in st.session_state and st.session_state.get(switch) == st.session_state[last] != first:
        # The address changed and the switch did not: the browser went back or forward.
        st.session_state[switch] = first
    given = {} if switch in st.session_state else {"default": first}
    chosen = st.segmented_control(
        "View", list(views), format_func=views.__getitem__, key=switch, required=True,
        label_visibility="collapsed", **given,
    ) or first  # fmt: skip
    # An address without a view is the first one's too; naming it would catch whoever goes back.
    if chosen != first:
        st.query_params[key] = chosen
    st.session_state[last] = chosen
    return chosen


def quietly(action: Callable[[], Any]) -> Any:
    """What `action` returns, or None where only a nicety is lost by its error."""
    try:
        return action()
    except OrtlabError:
        return None


def with_profile(spec: StudySpec) -> StudySpec:
    """The same question, with the profiling pass on."""
    return msgspec.structs.replace(spec, profile=True)


def show_bug(error: BaseException) -> bool:
    """A bug in ortlab, loud and ready to be reported; True, because it was shown."""
    st.error("**This is a bug in ortlab, not in your model.** Nothing that was measured is lost. "
             "Reloading the page may help; the text below says where it happened.",
             icon=":material/bug_report:")  # fmt: skip
    st.code("".join(traceback.format_exception(error)), language=None, height=260)
    return True
