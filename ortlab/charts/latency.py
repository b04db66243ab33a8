"""The ranking: one bar per configuration, its 95 % interval as a whisker."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.charts.labels import short_labels
from ortlab.domain import units
from ortlab.domain.study import ConfigurationResult, Study

METRICS = {
    "p50": "p50 latency",
    "p95": "p95 latency",
    "inf/s": "inferences per second",
}
_ROW_PX = 42
_VALUE_MARGIN_PX = 190


def bars(study: Study, *, metric: str = "p50") -> go.Figure:
    """Bars of every measured configuration, best on top, coloured by provider.

    The value stands in a column at the right, where no whisker can cross it.

    Args:
        metric: a key of `METRICS`.
    """
    rows = [row for row in study.configurations if row.latency is not None]
    if not rows:
        return theme.empty("Latency by configuration", "No configuration has figures yet.")
    rows.sort(key=lambda row: _value(row, metric), reverse=metric != "inf/s")
    divisor, unit = _scale(rows, metric)
    names = short_labels(study.configurations)
    figure = theme.figure(
        [_bar(rows, metric=metric, divisor=divisor)],
        height=_ROW_PX * len(rows) + 102,
        bargap=0.32,
    )
    _style_axes(figure, rows, names=names, title=f"{METRICS[metric]}, {unit}")
    for index, row in enumerate(rows):
        text = value_text(row, metric=metric, study=study, unit=(divisor, unit))
        _write_value(figure, row, at=index, text=text)
    return figure


def value_text(
    row: ConfigurationResult, *, metric: str, study: Study, unit: tuple[float, str]
) -> str:
    """`12.4 ms ±1.1 % 1.77×`: what stands beside a bar, in the unit of the whole column."""
    text = _number(row, metric, unit)
    if row.id == study.baseline:
        return text + " · baseline"
    if row.vs_baseline is None:
        return text
    return f"{text} · {units.speedup(row.vs_baseline.ratio)}"


def _number(row: ConfigurationResult, metric: str, unit: tuple[float, str]) -> str:
    value = _value(row, metric)
    if metric == "inf/s":
        return units.rate(value)
    text = units.time(value, unit=unit)
    half = half_width_us(row) if metric == "p50" else None
    if half is None or value <= 0:
        return text
    return f"{text} ±{units.significant(half / value * 100, 2)}{units.THIN}%"


def half_width_us(row: ConfigurationResult) -> float | None:
    """Half of the interval around p50, µs; None without figures."""
    if row.latency is None:
        return None
    low, high = row.latency.ci95_us
    return (high - low) / 2


def _value(row: ConfigurationResult, metric: str) -> float:
    assert row.latency is not None
    if metric == "p95":
        return row.latency.p95_us
    if metric == "inf/s":
        return row.throughput_per_s or 0.0
    return row.latency.p50_us


def _scale(rows: Sequence[ConfigurationResult], metric: str) -> tuple[float, str]:
    if metric == "inf/s":
        return 1.0, "inf/s"
    return units.time_unit([_value(row, metric) for row in rows])


def _bar(rows: Sequence[ConfigurationResult], *, metric: str, divisor: float) -> go.Bar:
    providers = [main_provider(row) for row in rows]
    return go.Bar(
        orientation="h",
        y=list(range(len(rows))),
        x=[_value(row, metric) / divisor for row in rows],
        error_x=_whiskers(rows, divisor) if metric == "p50" else None,
        customdata=[row.id for row in rows],
        hovertext=[_hover(row) for row in rows],
        hoverinfo="text",
        marker={
            "color": [theme.color(p) for p in providers],
            "pattern": {"shape": [theme.pattern(p) for p in providers], "fillmode": "overlay"},
            "line": {"width": 1, "color": theme.OUTLINE_COLOR},
        },
    )


def main_provider(row: ConfigurationResult) -> str:
    """The provider a row is coloured by: the first one that was asked for."""
    return (row.provider_requested or row.configuration.provider_names or ("",))[0]


def _whiskers(rows: Sequence[ConfigurationResult], divisor: float) -> dict[str, object]:
    found = [row.latency for row in rows if row.latency is not None]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, (r.ci95_us[1] - r.p50_us) / divisor) for r in found],
        "arrayminus": [max(0.0, (r.p50_us - r.ci95_us[0]) / divisor) for r in found],
        "color": theme.WHISKER_COLOR,
        "thickness": 1.6,
        "width": 5,
    }


def _hover(row: ConfigurationResult) -> str:
    latency = row.latency
    assert latency is not None
    lines = [
        f"<b>{theme.plain(row.label, limit=120)}</b>",
        f"p50 {units.time(latency.p50_us)}",
        f"95 % of it {units.time(latency.ci95_us[0])} to {units.time(latency.ci95_us[1])}",
        f"p95 {units.time(latency.p95_us)}, {units.rate(row.throughput_per_s)}",
        f"{units.count(latency.count)} runs in {row.process_count} processes",
    ]
    return "<br>".join(lines)


def _style_axes(
    figure: go.Figure, rows: Sequence[ConfigurationResult], *, names: dict[str, str], title: str
) -> None:
    figure.update_xaxes(title=title, rangemode="tozero", zeroline=False)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[theme.plain(names[row.id], limit=46) for row in rows],
        automargin=True,
        ticklabelstandoff=6,
        showgrid=False,
        range=[-0.6, len(rows) - 0.4],
    )
    figure.update_layout(margin={"l": 8, "r": _VALUE_MARGIN_PX, "t": 26, "b": 48})


def _write_value(figure: go.Figure, row: ConfigurationResult, *, at: int, text: str) -> None:
    doubt = row.warnings or not row.steady
    figure.add_annotation(
        x=1.0, xref="paper", xanchor="left", xshift=10, y=at, yref="y", showarrow=False,
        font={"size": 13}, text=theme.plain(text) + (" ⚠" if doubt else ""), align="left",
        hovertext=theme.plain("; ".join(n.message for n in row.warnings), limit=300) or None,
    )  # fmt: skip
