"""Two rows side by side: the ratio with its interval, and the difference by operator."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ortlab.analysis.diagnosing import pairs
from ortlab.domain import units
from ortlab.domain.study import ConfigurationResult, Study
from ortlab.ui import frame, table_view, words
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

_COLUMNS = (
    Column("op_type", "Operator"),
    Column("before_us", "Before, per run", "time", group="latency"),
    Column("after_us", "After, per run", "time", group="latency"),
    Column("change_us", "Change", "time", group="latency"),
)


def show(study: Study, selected: Sequence[ConfigurationResult]) -> None:
    """The strip for exactly two rows; says what is missing for any other number."""
    if len(selected) != 2:
        st.caption({0: "Select two rows to compare them.",
                    1: "One row selected: select a second one to compare them.",
                    }.get(len(selected), "Select exactly two rows to compare them."))  # fmt: skip
        return
    before, after = _ordered(study, selected)
    with st.container(border=True):
        found = pairs.compared(study, before=before, after=after)
        if found is None:
            st.markdown("One of the two has no figures, so there is nothing to compare.")
            return
        st.markdown(words.comparison(after.label, before.label, found))
        left, right = st.columns(2)
        _side(left, "Before", before)
        _side(right, "After", after)
        if study.baseline not in (before.id, after.id):
            st.caption("Neither is the baseline: the interval joins both at their worst.")
        _operators(study, before, after)


def _ordered(
    study: Study, selected: Sequence[ConfigurationResult]
) -> tuple[ConfigurationResult, ConfigurationResult]:
    """The baseline first when it is one of them."""
    first, second = selected
    return (second, first) if second.id == study.baseline else (first, second)


def _side(place: st.delta_generator.DeltaGenerator, title: str, row: ConfigurationResult) -> None:
    latency = row.latency
    with place:
        st.caption(f"{title}: {words.safe(row.label, limit=120)}")
        if latency is not None:
            low, high = latency.ci95_us
            st.markdown(f"**{units.time(latency.p50_us)}**, 95 % {units.time(low)} to "
                        f"{units.time(high)}, {units.rate(row.throughput_per_s)}, "
                        f"{units.size(row.peak_memory_bytes)}")  # fmt: skip


def _operators(study: Study, before: ConfigurationResult, after: ConfigurationResult) -> None:
    if before.trace_artifact is None or after.trace_artifact is None:
        st.caption("Not both have a profile, so the difference cannot be split by operator.")
        return
    changes = pairs.operator_changes(
        lab().profile_of(study.id, before.id, steady=True).record,
        lab().profile_of(study.id, after.id, steady=True).record,
    )
    rows = [
        {"op_type": c.op_type, "before_us": c.before_us, "after_us": c.after_us,
         "change_us": c.change_us}
        for c in changes
    ]  # fmt: skip
    with st.expander("Difference by operator", icon=":material/difference:", expanded=True):
        table_view.show(rows, _COLUMNS, key="changes", name="operator-changes",
                        alt="Self time by operator before and after")  # fmt: skip
    st.page_link(
        frame.page_path("profile"), label="Compare them node by node", icon=":material/compare:",
        query_params={"run": study.id, "cfg": before.id, "view": "compare",
                      "with": f"{study.id}/{after.id}"},
    )  # fmt: skip
