"""How far the profile can be believed: a letter, what it means, and what every doubt costs."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ortlab.analysis.trusting.trust import MEANING
from ortlab.domain import units
from ortlab.domain.trace import Correction, Profile, TrustReason
from ortlab.ui import words

SHOWN = 2
"""Reasons beside a bad grade; more are folded away."""
_SHOWN_IF_USABLE = 1
_BAD = "DEF"
_COLORS = {"A": "green", "B": "green", "C": "orange", "D": "orange", "E": "red", "F": "red"}
_NOTE = "A"


def show(profile: Profile) -> None:
    """The grade with its meaning, the facts of the file, and every reason with its cost."""
    trust = profile.trust
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(f"Trust {trust.grade}", icon=":material/verified:",
                 color=_COLORS.get(trust.grade, "gray"))  # type: ignore[arg-type]  # fmt: skip
        st.markdown(MEANING.get(trust.grade, ""), width="content")
    st.caption(facts(profile))
    doubts = [r for r in trust.reasons if r.grade != _NOTE]
    notes = [r for r in trust.reasons if r.grade == _NOTE]
    shown = SHOWN if trust.grade in _BAD else _SHOWN_IF_USABLE
    for reason in doubts[:shown]:
        st.markdown(reason_text(reason, lowest=trust.grade))
    folded = [*doubts[shown:], *notes]
    if folded or profile.correction is not None:
        with st.expander(_label(doubts[shown:], notes), icon=":material/rule:"):
            for reason in folded:
                st.markdown(reason_text(reason, lowest=trust.grade))
            if profile.correction is not None:
                st.markdown(words.safe(correction_text(profile.correction), limit=600))


def facts(profile: Profile) -> str:
    """What the file holds, in one line."""
    steady = [r for r in profile.runs if not (r.warmup or r.partial)]
    parts = [f"{_counted(len(profile.runs), 'run')}, {units.count(len(steady))} of them steady"
             if profile.runs else "no whole run in the file"]  # fmt: skip
    parts.append(_counted(profile.node_event_count, "node event"))
    if profile.device is not None:
        parts.append(_counted(profile.device.event_count, "device event"))
    if profile.damaged_event_count:
        parts.append(f"{units.count(profile.damaged_event_count)} damaged")
    if profile.truncated:
        parts.append("cut off: the end is missing")
    if profile.twin_p50_us is not None:
        twin = f"{units.time(profile.twin_p50_us)} per run without the profiler"
        if profile.overhead_ratio is not None:
            twin += f", {units.significant(profile.overhead_ratio, 3)}× as long with it"
        parts.append(twin)
    if profile.session.init_us is not None:
        parts.append(f"session opened in {units.time(profile.session.init_us)}")
    return " · ".join(parts)


def correction_text(found: Correction) -> str:
    """What the profiler adds, how that is known, and what was done about it."""
    if found.basis != "measured":
        return (
            f"The profiler's own cost is not measured here. Elsewhere it was "
            f"{units.significant(found.low_us, 2)} to {units.significant(found.high_us, 2)} µs for "
            "each node event; nothing is subtracted. Nodes shorter than a few µs are grey."
        )
    each = units.time(found.per_event_us)
    if not found.inside_us:
        return (
            f"The profiler adds {each} for each node event. Nothing proves that any of it lies "
            "inside node times, so nothing is subtracted."
        )
    text = (
        f"The profiler adds {each} for each node event. At least {units.time(found.inside_us)} of "
        "it lies inside the node's time, because together nodes would take longer than the whole "
        f"unprofiled run; corrected times leave out {units.time(found.removed_us)} in all"
    )
    if found.withheld_us:
        text += (
            f", and {units.time(found.withheld_us)} less than they should, as no node takes less "
            "than nothing"
        )
    return text + "."


def _label(doubts: Sequence[TrustReason], notes: Sequence[TrustReason]) -> str:
    more = len(doubts)
    if more:
        return f"{more} more reason{'s' * (more > 1)}"
    return "What else is known" if notes else "What the profiler itself costs"


def reason_text(reason: TrustReason, *, lowest: str) -> str:
    """One reason as Markdown: what it is, what it costs, what to do; foreign names escaped."""
    icon = ":material/error:" if reason.grade == lowest else ":material/info:"
    text = f"{icon} **{words.safe(reason.message, limit=500)}**"
    if reason.cost:
        text += f" {words.safe(reason.cost, limit=400)}"
    if reason.remedy:
        text += f"  \n:material/build: {words.safe(reason.remedy, limit=400)}"
    return text


def _counted(count: int, what: str) -> str:
    return f"{units.count(count)} {what}{'s' * (count != 1)}"
