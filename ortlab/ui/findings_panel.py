"""Advice: what was seen, what it means, what to do, and whether it helped."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ortlab.domain import units
from ortlab.domain.finding import Finding, Trial
from ortlab.domain.study import Study
from ortlab.ui import frame, words
from ortlab.ui.door import lab

_LOOKS = {
    "problem": (":material/error:", "orange"),
    "advice": (":material/lightbulb:", "blue"),
    "doubt": (":material/help:", "gray"),
}
_ORDER = tuple(_LOOKS)
_SHOWN = 3
_EFFECTS = {
    "faster": "It helped",
    "slower": "It made things worse",
    "same": "It changed nothing",
}


def show(study: Study, found: Sequence[Finding], *, key: str = "finding") -> None:
    """Cards for every finding, problems first; a sentence when there is none."""
    if not found:
        st.caption("No known symptom shows here.")
        return
    ordered = sorted(found, key=lambda f: _ORDER.index(f.severity) if f.severity in _ORDER else 9)
    for index, finding in enumerate(ordered[:_SHOWN]):
        _card(study, finding, f"{key}-{index}")
    rest = ordered[_SHOWN:]
    if rest:
        with st.expander(f"{len(rest)} more", icon=":material/expand_more:"):
            for index, finding in enumerate(rest, start=_SHOWN):
                _card(study, finding, f"{key}-{index}")


def _card(study: Study, finding: Finding, key: str) -> None:
    icon, color = _LOOKS.get(finding.severity, _LOOKS["advice"])
    row = words.row_by_id(study, finding.configuration_id)
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(finding.severity, icon=icon, color=color)  # type: ignore[arg-type]
            st.markdown(f"**{words.safe(finding.title)}**", width="content")
        st.markdown(words.safe_with_code(finding.evidence))
        st.markdown(f":material/build: {words.safe_with_code(finding.fix)}")
        about = [words.safe(row.label)] if row else []
        met = [f"[{words.safe(_issue_name(u))}]({u})" for u in finding.upstream]
        st.caption(" · ".join([*about, words.safe(finding.source), *met]))
        with st.container(horizontal=True, vertical_alignment="center"):
            _try(study, finding, key)
            _evidence(study, finding, key)
        if finding.trial is not None:
            _trial(finding.trial)


def _issue_name(address: str) -> str:
    """`microsoft/onnxruntime 23864` for the address of an issue; addresses come from our table."""
    parts = address.removeprefix("https://github.com/").split("/")
    return f"{parts[0]}/{parts[1]} {parts[-1]}" if len(parts) >= 4 else address


def _try(study: Study, finding: Finding, key: str) -> None:
    if finding.proposal is None or finding.configuration_id is None:
        return
    if st.button("Try it", key=f"{key}-try", icon=":material/science:",
                 help="Measures the change beside the setting as it is, interleaved."):  # fmt: skip
        row_id = finding.configuration_id
        trial_id = frame.attempt(lambda: lab().try_fix(study.id, finding.diagnosis, row_id))
        if trial_id:
            frame.go("results", run=trial_id)


def _evidence(study: Study, finding: Finding, key: str) -> None:
    page, _, view = finding.view.partition(":")
    if page == "profile" and finding.configuration_id:
        if st.button("Show me", key=f"{key}-show", icon=":material/visibility:", type="tertiary"):
            frame.go("profile", run=study.id, cfg=finding.configuration_id,
                     view=view or "operators")  # fmt: skip
    elif page == "machine" and st.button("Machine page", key=f"{key}-show", type="tertiary",
                                         icon=":material/visibility:"):  # fmt: skip
        frame.go("machine")


def _trial(trial: Trial) -> None:
    """What became of the fix that was tried, with a link to the study that says so."""
    if trial.ratio is None or trial.ci95 is None:
        text = f"Tried: {trial.status}."
    else:
        low, high = trial.ci95
        word = _EFFECTS.get(trial.verdict or "", "No clear effect")
        text = (f"{word}: {units.speedup(trial.ratio)} (95 % {units.speedup(low)} to "
                f"{units.speedup(high)}).")  # fmt: skip
    st.page_link(frame.page_path("results"), label=text, icon=":material/science:",
                 query_params={"run": trial.study_id})  # fmt: skip
