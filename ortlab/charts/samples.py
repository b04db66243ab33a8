"""Raw observations: how latencies spread, and how they went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units

BIN_COUNT = 60
POINT_LIMIT = 2000
CLIP_SHARE = 0.995
"""The slowest half percent is cut from the axis, never from the figures."""
TAIL_WIDTHS = 8
"""The axis ends at most so many interquartile ranges past the median."""
_LINE_COLORS = ("#0072B2", "#C77C02", "#009E73", "#CC79A7", "#7D6BD8", "#7F7F7F")


def distribution(samples_us: Mapping[str, Sequence[float]]) -> go.Figure:
    """How often each latency was seen, one outline per configuration, same bins for all."""
    found = {name: sorted(values) for name, values in samples_us.items() if values}
    if not found:
        return theme.empty("Distribution of latencies", "No raw samples were kept.")
    low = min(values[0] for values in found.values())
    high = max(_axis_end(values) for values in found.values())
    divisor, unit = units.time_unit([high])
    beyond = max(beyond_share(values, high) for values in found.values())
    step = max((high - low) / BIN_COUNT, 1e-9)
    traces = [
        _outline(name, values, low=low, step=step, divisor=divisor, color=_LINE_COLORS[i % 6])
        for i, (name, values) in enumerate(found.items())
    ]
    figure = theme.figure(traces, height=320, **theme.legend_above(len(traces)))
    cut = f"; up to {units.share(beyond)} of the runs took longer" if beyond > 0 else ""
    figure.update_xaxes(title=f"latency, {unit}{cut}", zeroline=False)
    return figure.update_yaxes(title="share of runs", tickformat=".0%", rangemode="tozero")


def _axis_end(ordered: Sequence[float]) -> float:
    """Where the axis may end so that rare slow runs do not press the rest into one bar."""
    low, middle, high, last = (
        ordered[int((len(ordered) - 1) * q)] for q in (0.25, 0.5, 0.75, CLIP_SHARE)
    )
    return min(last, middle + TAIL_WIDTHS * (high - low)) if high > low else last


def beyond_share(ordered: Sequence[float], end: float) -> float:
    """Part of the samples that lie beyond the end of an axis."""
    return sum(v > end for v in ordered) / len(ordered) if ordered else 0.0


def over_time(samples_us: Mapping[str, Sequence[float]]) -> go.Figure:
    """Latencies in the order they were observed, thinned evenly; drift shows as a slope."""
    found = {name: values for name, values in samples_us.items() if values}
    if not found:
        return theme.empty("Latency over time", "No raw samples were kept.")
    divisor, unit = units.time_unit([sorted(v)[len(v) // 2] for v in found.values()])
    traces = []
    for i, (name, values) in enumerate(found.items()):
        stride = max(1, len(values) // POINT_LIMIT)
        traces.append(
            go.Scatter(
                name=theme.plain(name, limit=50), mode="markers",
                x=list(range(0, len(values), stride)),
                y=[v / divisor for v in values[::stride]],
                marker={"size": 3.5, "opacity": 0.65, "color": _LINE_COLORS[i % 6]},
                hovertemplate=f"run %{{x}}: %{{y:.4~g}} {unit}<extra></extra>",
            )
        )  # fmt: skip
    figure = theme.figure(traces, height=320, **theme.legend_above(len(traces)))
    figure.update_xaxes(title="run, in order", zeroline=False)
    return figure.update_yaxes(title=f"latency, {unit}", rangemode="tozero")


def _outline(
    name: str, values: Sequence[float], *, low: float, step: float, divisor: float, color: str
) -> go.Scatter:
    counts = [0] * (BIN_COUNT + 1)
    for value in values:
        index = int((value - low) / step)
        if index <= BIN_COUNT:
            counts[index] += 1
    return go.Scatter(
        name=theme.plain(name, limit=50), mode="lines", line={"shape": "hvh", "color": color},
        x=[(low + (i + 0.5) * step) / divisor for i in range(BIN_COUNT + 1)],
        y=[c / len(values) for c in counts], fill="tozeroy",
        fillcolor=f"rgba({int(color[1:3], 16)},{int(color[3:5], 16)},{int(color[5:7], 16)},0.14)",
        hovertemplate="%{x:.4~g}: %{y:.1%} of runs<extra></extra>",
    )  # fmt: skip
