"""The last studies as links."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ortlab.domain import units
from ortlab.domain.study import StudySummary
from ortlab.ui import frame, words

SHOWN = 5


def links(studies: Sequence[StudySummary], *, page: str = "results") -> None:
    """One link per study, newest first; a sentence when there is none."""
    if not studies:
        st.caption("Nothing measured yet. What you measure stays here until you delete it.")
    for study in studies[:SHOWN]:
        st.page_link(
            frame.page_path(page), label=words.safe(line(study), limit=120),
            icon=":material/bar_chart:", query_params={"run": study.id},
        )  # fmt: skip


def line(study: StudySummary) -> str:
    """`resnet50.onnx · 6 settings · best 0.82 ms · 2 h ago`, foreign text."""
    count = study.configuration_count
    best = f"best {units.time(study.best_p50_us)}" if study.best_p50_us else study.status
    return " · ".join(
        [study.title or study.model_name, f"{count} setting{'s' * (count != 1)}", best,
         words.ago(study.created_at)]
    )  # fmt: skip
