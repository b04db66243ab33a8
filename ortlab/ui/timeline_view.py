"""One run along time, or two under each other; the browser asks for what it shows by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import streamlit as st

from ortlab.analysis.timelines import timeline
from ortlab.domain.timeline import DEVICE_CLOCK, HOST_CLOCK, Contents
from ortlab.domain.trace import Profile
from ortlab.ui import run_choice, selection, timeline_data, words

_ENDPOINT = "api/timeline"
_LABEL_CHARACTERS = 60


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "ortlab.timeline",
    html=_part("timeline_view.html"),
    css=_part("timeline_view.css"),
    js="".join(map(_part, ("timeline_draw.js", "timeline_table.js", "timeline_view.js"))),
)


class Source(Protocol):
    """What a profile is read from: a row of a study, or an opened trace."""

    run: str | None
    row: str | None
    trace: str | None


def show(source: Source, profile: Profile, *, run: int | None, beside: int | None = None) -> None:
    """Draw one run, or with `beside` two under each other on the same scale of time.

    Args:
        source: where the profile comes from; the browser fetches its windows by the same ids.
        profile: the profile of that source, for the names of its runs.
        run: index of the run; None shows the whole trace.
        beside: index of a second run, drawn below from its own beginning on.
    """
    path = timeline_data.path(source.trace or source.run or "", source.row)
    contents = timeline.contents(path)
    if not contents.event_count:
        st.info("The file holds no node events, so there is no timeline.", icon=":material/info:")
        return
    runs = [index for index in (run, beside) if index is not None and profile.runs]
    panes = [_pane(path, contents, profile, index, titled=len(runs) > 1) for index in runs]
    _mount(source, contents, panes or [_whole(contents, HOST_CLOCK)])
    for clock in contents.extents:
        if clock == DEVICE_CLOCK:
            st.subheader("On the device", anchor=False)
            st.caption("Times of the device's own clock, which starts with its first work: they "
                       "cannot be laid over the threads above.")  # fmt: skip
            _mount(source, contents, [_whole(contents, clock)])


def _mount(source: Source, contents: Contents, panes: list[dict[str, Any]]) -> None:
    """One component; its panes share zoom and scale."""
    shown = "-".join(f"{pane['clock']}{pane['run']}" for pane in panes)
    name = f"timeline-{source.trace or source.run}-{source.row}-{shown}"
    view = {"from": 0, "to": max(1, *(pane.pop("length") for pane in panes))}
    own_run = panes[0]["run"] is not None
    data = {
        "id": name,
        "endpoint": _ENDPOINT,
        "source": {"source": source.trace or source.run}
        | ({"cfg": source.row} if source.row else {}),
        "panes": panes,
        "view": view,
        "kinds": _kinds(contents, foreign=source.trace is not None),
        "node": selection.selected_node(),
        "start": ("These runs" if len(panes) > 1 else "This run") if own_run else "",
        "label": "Timeline of " + " and ".join(pane["label"] for pane in panes),
    }
    _COMPONENT(key=name, data=data, on_picked_change=_picking(name))


def _picking(key: str) -> Callable[[], None]:
    """The callback of a click on an event: its node is selected, or unselected."""

    def picked() -> None:
        node = (st.session_state.get(key) or {}).get("picked")
        if isinstance(node, int) and node >= 0:
            again = node == selection.selected_node()
            selection.select_node(None if again else node, by=key)

    return picked


def _kinds(contents: Contents, *, foreign: bool) -> list[dict[str, Any]]:
    """Colour and words of each operator and provider; the names are foreign."""
    from ortlab.charts import timeline as charts

    return [
        look._asdict()
        | {
            "op": words.plain(look.op, limit=_LABEL_CHARACTERS),
            "label": words.plain(look.label, limit=_LABEL_CHARACTERS),
        }
        for look in charts.looks(contents.kinds, foreign=foreign)
    ]


def _pane(
    path: Path, contents: Contents, profile: Profile, run: int, *, titled: bool
) -> dict[str, Any]:
    """One run, with its beginning as zero."""
    clock, start_us, end_us = timeline.run_extent(path, run)
    label = run_choice.name(next(row for row in profile.runs if row.index == run))
    low, high = contents.extents[clock]
    return {
        "run": run, "clock": clock, "origin": start_us, "length": end_us - start_us, "low": low,
        "high": high, "label": label, "title": label.capitalize() if titled else "",
    }  # fmt: skip


def _whole(contents: Contents, clock: str) -> dict[str, Any]:
    """Everything that a clock has times of."""
    known = contents.extents.get(clock) or next(iter(contents.extents.values()))
    low, high = known
    return {
        "run": None, "clock": clock, "origin": low, "length": high - low, "low": low, "high": high,
        "label": "the device" if clock == DEVICE_CLOCK else "the whole trace", "title": "",
    }  # fmt: skip
