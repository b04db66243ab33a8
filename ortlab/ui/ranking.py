"""Results: the verdict, four cards, bars and the table with everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ortlab.charts.labels import shared_part, short_labels
from ortlab.domain import units
from ortlab.domain.placement import Placement
from ortlab.domain.study import ConfigurationResult, Failure, Study
from ortlab.ui import table_view, words
from ortlab.ui.table_view import Column

ERROR_LIMITS = {"identical": 0.0, "0.01 %": 1e-4, "0.1 %": 1e-3, "1 %": 1e-2, "5 %": 5e-2}

_ENDINGS = {
    "cancelled": "This study was cancelled. What was measured until then is kept.",
    "lost": "The process that measured this study ended unexpectedly. What it had stored is kept.",
}
ERROR_LIMIT_FIRST = "0.1 %"
_ERROR_HELP = (
    "Largest difference from the baseline's outputs on the same inputs, against their largest "
    "value. The limit is chosen below."
)

COLUMNS = (
    Column("label", "Setting"),
    Column("p50_us", "p50", "time", "Half of the runs took at most this.", group="p50"),
    Column("half_us", "±", "time", "Half of the 95 % interval of p50.", group="p50"),
    Column("ratio", "vs baseline", "ratio", "Baseline ÷ this: above 1 is faster."),
    Column("verdict", "Verdict"),
    Column("throughput_per_s", "Throughput", "rate"),
    Column("p95_us", "p95", "time", group="tail"),
    Column("p99_us", "p99", "time", "Empty when there are too few runs for it.", group="tail"),
    Column("max_rel_error", "Relative error", "number",
           "Largest difference from the baseline's outputs, against their largest value."),
    Column("peak_memory_bytes", "Peak memory", "bytes", "Private memory of the process."),
    Column("session_init_us", "Session", "time", "Opening the session."),
    Column("first_run_us", "First run", "time"),
    Column("model_bytes", "Model", "bytes"),
    Column("count", "Runs", "count"),
    Column("steady", "Steady", "check", "Warm-up ended before the measuring began."),
    Column("doubt", "Doubts"),
    Column("active", "Providers that took nodes"),
    Column("error", "Error"),
    Column("id", "Id"),
)  # fmt: skip


def heading(study: Study) -> None:
    """Title, verdict and what all settings share."""
    st.title(words.safe_with_code(study.title or study.model_name, limit=100), anchor=False)
    st.markdown(f"#### {words.verdict(study)}")
    when = words.ago(study.finished_at or study.started_at)
    shared = shared_part(study.configurations)
    parts = [f"measured {when}", shared and f"all with {shared}"]
    parts += [f"ONNX Runtime {study.onnxruntime_version}"] * bool(study.onnxruntime_version)
    st.caption(words.safe(" · ".join(p for p in parts if p)))


def cards(study: Study) -> DeltaGenerator | None:
    """Fastest, within an error limit, and how good the measurement is; a place for fallback."""
    measured = [row for row in study.configurations if row.latency is not None]
    if not measured:
        return None
    best = words.row_by_id(study, study.best) or min(measured, key=p50)
    names = short_labels(study.configurations)
    with st.grid(4, min_column_width=262, row_height=186):
        _card("Fastest", units.time(p50(best)), names[best.id], _gain(best, study))
        _within_error(study, measured, names)
        place = st.empty()
        _quality(study, measured)
    return place


def p50(row: ConfigurationResult) -> float:
    """The row's headline figure, µs; infinite without figures."""
    return row.latency.p50_us if row.latency else float("inf")


def _card(
    title: str, value: str, name: str, *badges: tuple[str, str] | None, about: str = ""
) -> None:
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.markdown(title, help=about or None)
        st.markdown(f"## {value}")
        st.caption(words.safe(name, limit=80))
        with st.container(horizontal=True, gap="xsmall"):
            for badge in badges:
                if badge:
                    st.badge(badge[0], color=badge[1])  # type: ignore[arg-type]


def _gain(row: ConfigurationResult, study: Study) -> tuple[str, str] | None:
    if row.id == study.baseline:
        return "the baseline", "gray"
    if row.vs_baseline is None:
        return None
    found = row.vs_baseline
    if found.verdict in ("faster", "slower"):
        arrow = "↑" if found.verdict == "faster" else "↓"
        color = "blue" if found.verdict == "faster" else "orange"
        return f"{arrow} {units.speedup(found.ratio)} vs baseline", color
    return found.verdict, "gray"


def _within_error(
    study: Study, measured: Sequence[ConfigurationResult], names: dict[str, str]
) -> None:
    """The fastest whose outputs stay close to the baseline's."""
    limit = st.session_state.get("error-limit") or ERROR_LIMIT_FIRST
    close = [row for row in measured if (error_of(row, study) or 0.0) <= ERROR_LIMITS[limit]
             and error_of(row, study) is not None]  # fmt: skip
    title = "Fastest, identical outputs" if limit == "identical" else f"Fastest, error ≤ {limit}"
    if not close:
        _card(title, units.MISSING, "No setting stays within this limit, or outputs could not be "
              "compared.", about=_ERROR_HELP)  # fmt: skip
        return
    row = min(close, key=p50)
    seen = f"error {units.error(error_of(row, study))}"
    _card(title, units.time(p50(row)), names[row.id], (seen, "gray"), about=_ERROR_HELP)


def error_of(row: ConfigurationResult, study: Study) -> float | None:
    """Relative error against the baseline's outputs; None where they were not compared."""
    if row.latency is None:
        return None
    if row.id == study.baseline:
        return 0.0
    if row.accuracy is None:
        return None
    return 0.0 if row.accuracy.identical else row.accuracy.max_rel_error


def fallback(study: Study, placement: Placement | None) -> None:
    """The fourth card, drawn last because it needs the profile: nodes that ran elsewhere."""
    best = words.row_by_id(study, study.best)
    name = short_labels(study.configurations).get(best.id, "") if best else ""
    title = "Nodes that fell back"
    if placement is None:
        _card(title, units.MISSING, "No profile of the fastest setting was recorded.")
        return
    count, total = len(placement.fallback), len(placement.nodes)
    costs = [f.cost_us for f in placement.fallback if f.cost_us is not None]
    name = f"of {units.count(total)} nodes, {name}"
    if not count:
        _card(title, "none", name, ("all where asked", "blue"))
        return
    cost = (f"{units.time(sum(costs))} per run", "orange") if costs else None
    _card(title, units.count(count), name, cost)


def _quality(study: Study, measured: Sequence[ConfigurationResult]) -> None:
    steady = sum(row.steady for row in measured)
    doubts = sum(bool(row.warnings) for row in measured)
    value = f"{steady} of {len(measured)} steady"
    spread = max((_relative_half(row) for row in measured), default=0.0)
    name = f"p50 within ±{units.significant(spread * 100, 2)}{units.THIN}%"
    aa = study.aa
    control = None
    if aa is not None:
        low, high = aa.ci95
        quiet = low <= 1 <= high
        control = (f"A/A {units.speedup(aa.ratio)}", "blue" if quiet else "orange")
        name += f"; A/A {units.speedup(low)} to {units.speedup(high)}"
    _card("Measurement", value, name, control,
          (f"{doubts} with doubts", "orange") if doubts else None,
          about="A/A is the baseline measured twice as if it were two settings. Its ratio should "
          "be 1; how far it is off is how far any ratio here may be off.")  # fmt: skip


def _relative_half(row: ConfigurationResult) -> float:
    if row.latency is None or row.latency.p50_us <= 0:
        return 0.0
    low, high = row.latency.ci95_us
    return (high - low) / 2 / row.latency.p50_us


def bars(study: Study) -> None:
    """The ranking with a switch between figures; nothing while no row has figures."""
    from ortlab.charts import latency, theme

    if not any(row.latency for row in study.configurations):
        return

    with st.container(horizontal=True, horizontal_alignment="distribute",
                      vertical_alignment="center"):  # fmt: skip
        metric = st.segmented_control(
            "Figure", list(latency.METRICS), default="p50", key="metric", required=True,
            label_visibility="collapsed", bind="query-params",
        )  # fmt: skip
        with st.container(horizontal=True, vertical_alignment="center", gap="small",
                          width="content"):  # fmt: skip
            st.caption("Error limit", width="content")
            st.selectbox("Error limit", list(ERROR_LIMITS), key="error-limit", width=120,
                         index=list(ERROR_LIMITS).index(ERROR_LIMIT_FIRST),
                         label_visibility="collapsed", help=_ERROR_HELP)  # fmt: skip
    st.plotly_chart(latency.bars(study, metric=metric or "p50"), key="ranking",
                    config=theme.CONFIG,
                    alt="Latency of every setting; the table below holds the same")  # fmt: skip


def table(study: Study) -> list[ConfigurationResult]:
    """Everything about every row; the rows that are selected come back."""
    rows = list(study.configurations)
    chosen = table_view.show(records(study), COLUMNS, key="rows", select="multi-row",
                             alt="All settings with all figures",
                             name=f"study-{study.id}")  # fmt: skip
    return [rows[i] for i in chosen]


def records(study: Study) -> list[dict[str, Any]]:
    """One flat row per configuration, base units, shortest label that tells them apart."""
    names = short_labels(study.configurations)
    return [_record(row, names[row.id], study) for row in study.configurations]


def _record(row: ConfigurationResult, name: str, study: Study) -> dict[str, Any]:
    latency, found = row.latency, row.vs_baseline
    return {
        "id": row.id,
        "label": name,
        "p50_us": latency and latency.p50_us,
        "half_us": latency and (latency.ci95_us[1] - latency.ci95_us[0]) / 2,
        "ratio": 1.0 if latency and row.id == study.baseline else found and found.ratio,
        "verdict": "baseline" if row.id == study.baseline else (found and found.verdict),
        "throughput_per_s": row.throughput_per_s,
        "p95_us": latency and latency.p95_us,
        "p99_us": latency and latency.p99_us,
        "max_rel_error": error_of(row, study),
        "peak_memory_bytes": row.peak_memory_bytes,
        "session_init_us": row.session_init_us,
        "first_run_us": row.first_run_us,
        "model_bytes": row.model_bytes,
        "count": latency and latency.count,
        "steady": row.steady if latency else None,
        "doubt": "; ".join(n.message for n in row.warnings) or None,
        "active": ", ".join(row.providers_active) or None,
        "error": row.error and row.error.message,
    }


def failures(study: Study) -> None:
    """Each row without figures: what happened, what helps, and what its process printed."""
    for error, names in _failed_together(study).items():
        lines = [f"**{words.safe_with_code(error.message, limit=1200)}**"]
        lines += [words.safe_with_code(error.hint, limit=1200)] if error.hint else []
        lines.append("Not measured: " + "; ".join(words.safe(name) for name in names))
        st.warning("\n\n".join(lines), icon=":material/error:")
        if error.log.strip():
            with st.expander("What its process printed", icon=":material/terminal:"):
                st.code(error.log, language=None, wrap_lines=True, height=220)


def _failed_together(study: Study) -> dict[Failure, list[str]]:
    """Names of rows by their failure; equal reasons are told once, with the first one's log."""
    firsts: dict[tuple[str, str | None], Failure] = {}
    found: dict[Failure, list[str]] = {}
    for row in study.configurations:
        if row.error is not None:
            first = firsts.setdefault((row.error.message, row.error.hint), row.error)
            found.setdefault(first, []).append(row.label)
    return found


def doubts(study: Study) -> None:
    """Doubts about single rows, and what happened to the whole study."""
    told = _ENDINGS.get(study.status)
    if told:
        st.info(told, icon=":material/info:")
    for notice in study.notices:
        st.warning(words.safe(notice.message, limit=600), icon=":material/info:")
    if study.error is not None:
        hint = words.safe(study.error.hint or "")
        st.error(f"**{words.safe(study.error.message, limit=1200)}**\n\n{hint}",
                 icon=":material/error:")  # fmt: skip
