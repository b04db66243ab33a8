"""The raw side of a result: how samples spread, and what else the machine was doing."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ortlab.charts.labels import short_labels
from ortlab.domain import units
from ortlab.domain.study import ConfigurationResult, Interference, Study
from ortlab.ui import table_view, words
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

SHOWN = 4
_COLUMNS = (
    Column("label", "Setting"),
    Column("min_us", "Fastest", "time", group="latency"),
    Column("p25_us", "p25", "time", group="latency"),
    Column("p50_us", "p50", "time", group="latency"),
    Column("p90_us", "p90", "time", group="latency"),
    Column("p95_us", "p95", "time", group="latency"),
    Column("p99_us", "p99", "time", group="latency"),
    Column("max_us", "Slowest", "time", group="latency"),
    Column("mean_us", "Mean", "time", group="latency"),
    Column("count", "Runs", "count"),
)


def samples(study: Study, selected: Sequence[ConfigurationResult]) -> None:
    """Distribution or course of the raw latencies of a few settings."""
    from ortlab.charts import samples as charts
    from ortlab.charts import theme

    rows = [r for r in (selected or study.configurations) if r.latency is not None][:SHOWN]
    names = short_labels(study.configurations)
    view = st.segmented_control("View", ["Distribution", "Over time"], default="Distribution",
                                key="samples-view", label_visibility="collapsed",
                                required=True)  # fmt: skip
    found = {names[row.id]: lab().samples_of(study.id, row.id) for row in rows}
    draw = charts.over_time if view == "Over time" else charts.distribution
    st.plotly_chart(draw(found), key="samples", config=theme.CONFIG,
                    alt="Raw latencies; the table below holds their percentiles")  # fmt: skip
    records = [{"label": names[row.id]} | _figures(row) for row in rows]
    table_view.show(records, _COLUMNS, key="samples-table", alt="Percentiles of the raw latencies",
                    name="percentiles")  # fmt: skip
    if not selected and len(study.configurations) > SHOWN:
        st.caption(f"The first {SHOWN} settings. Select rows in the table above to see others.")


def _figures(row: ConfigurationResult) -> dict[str, float | int | None]:
    found = row.latency
    return {c.key: getattr(found, c.key) for c in _COLUMNS if c.key != "label"}


def interference(study: Study) -> None:
    """What made the machine noisy while measuring, as a short list."""
    found = study.interference
    if found is None:
        st.caption("Nothing was recorded about the machine's other work.")
        return
    st.table({k: words.safe(v) for k, v in interference_pairs(found).items()},
             border="horizontal", width="content", alt="What else the machine did")  # fmt: skip


def interference_pairs(found: Interference) -> dict[str, str]:
    """Names and values; what the system does not tell is left out."""
    pairs = {
        "Load before and after": None if found.load_before is None
        else f"{found.load_before:.2f} and {found.load_after or 0:.2f}",
        "Processor time of other processes": _share(found.other_cpu_share),
        "Processor time taken by the host": _share(found.steal_share),
        "Throttled by the container's quota": None if found.throttled_us is None
        else units.time(found.throttled_us),
        "Clock": None if found.frequency_mhz_min is None or found.frequency_mhz_max is None
        else f"{found.frequency_mhz_min:,.0f} to {found.frequency_mhz_max:,.0f} MHz",
        "Busiest other process": found.top_other,
    }  # fmt: skip
    return {name: text for name, text in pairs.items() if text}


def _share(value: float | None) -> str | None:
    return None if value is None else units.share(value)


def inputs(study: Study) -> None:
    """How each input was filled, and how the study was made."""
    for sentence in study.feeds:
        st.text(sentence)
    parts = [f"{study.rounds} rounds", f"method {study.method}"]
    parts += [f"{units.duration(study.measuring_s)} of measuring"] * (study.measuring_s is not None)
    parts += [f"{units.duration(study.wall_s)} in all"] * (study.wall_s is not None)
    st.caption(words.safe(" · ".join(parts)))
