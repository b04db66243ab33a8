"""How long each run took, and what kind of run it was."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.trace import Profile, Run

POINT_LIMIT = 1_500
"""Above this, runs are drawn as a band with their middle."""
BUCKETS = 400
MARK_LIMIT = 200
"""Of each kind that is marked by itself when there are more runs than points."""
# A label takes about this part of the axis on a narrow page.
_LABEL_SHARE = 0.12
BORDER_LIMIT = 20
# Warm-up that is this many times longer than other runs presses them into one line.
_LOG_FROM = 20.0
_STEADY_COLOR = "#0072B2"
_CHANGE_COLOR = "#8A6D3B"

KINDS = {
    "steady": ("circle", _STEADY_COLOR, 6),
    "warm-up": ("diamond-open", theme.OTHER_COLOR, 9),
    "outlier": ("triangle-up", "#B35806", 11),
    "misses nodes": ("x", "#7F7F7F", 9),
}
"""Marker, colour and size of each kind of run; the marker tells it without the colour."""


def kind(run: Run) -> str:
    """What a run is, in a word: warm-up, outlier, one that misses nodes, or steady."""
    if run.partial:
        return "misses nodes"
    return "warm-up" if run.warmup else "outlier" if run.outlier else "steady"


def runs(profile: Profile, *, selected: int | None = None) -> go.Figure:
    """The duration of every run in order; `customdata` of a mark is the run's index."""
    if not profile.runs:
        return theme.empty("Runs and warm-up", "The profile holds no whole run.")
    durations = sorted(map(_duration, profile.runs))
    log = durations[-1] > _LOG_FROM * max(1, durations[len(durations) // 2])
    unit = units.time_unit([float(durations[-1] if not log else durations[len(durations) // 2])])
    many = len(profile.runs) > POINT_LIMIT
    by_kind: dict[str, list[Run]] = {name: [] for name in KINDS}
    for run in profile.runs:
        by_kind[kind(run)].append(run)
    traces = _band(by_kind["steady"] or profile.runs, unit) if many else []
    for name, own in by_kind.items():
        if own and not (many and name == "steady"):
            traces.append(_marks(name, own, unit, limit=MARK_LIMIT if many else POINT_LIMIT))
    chosen = [run for run in profile.runs if run.index == selected]
    if chosen:
        traces.append(_ring(chosen[0], unit))
    figure = theme.figure(traces, height=320, clickmode="event+select", dragmode=False,
                          **theme.legend_above(len(traces)))  # fmt: skip
    _borders(figure, profile.runs)
    figure.update_xaxes(title="run, in order", zeroline=False, showgrid=False)
    title = f"duration, {unit[1]}" + ", each line ten times the one below" * log
    return figure.update_yaxes(title=title, **({"type": "log", "dtick": 1} if log else
                                               {"rangemode": "tozero"}))  # fmt: skip


def _marks(name: str, own: Sequence[Run], unit: tuple[float, str], *, limit: int) -> go.Scatter:
    """One kind of run; when there are too many, the longest."""
    shown = sorted(sorted(own, key=lambda r: -r.duration_us)[:limit], key=lambda r: r.index)
    symbol, color, size = KINDS[name]
    return go.Scatter(
        name=name, mode="markers", x=[r.index for r in shown],
        y=[r.duration_us / unit[0] for r in shown], customdata=[r.index for r in shown],
        marker={"symbol": symbol, "color": color, "size": size, "line": {"width": 1.5}
                if symbol.endswith(("open", "x")) else {"width": 0}},
        hovertemplate=f"run %{{x}}, {name}: %{{y:.4~g}} {unit[1]}<extra></extra>",
        # A click selects a run, not a look: the others stay as they are.
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


_duration = attrgetter("duration_us")


def _ring(run: Run, unit: tuple[float, str]) -> go.Scatter:
    return go.Scatter(
        name="selected", mode="markers", x=[run.index], y=[run.duration_us / unit[0]],
        marker={"symbol": "circle-open", "size": 17, "color": "#E69F00", "line": {"width": 3}},
        hoverinfo="skip",
    )  # fmt: skip


def _band(steady: Sequence[Run], unit: tuple[float, str]) -> list[Any]:
    """Runs in buckets: shortest to longest as a band, the median as a line."""
    size = -(-len(steady) // BUCKETS)
    buckets = [sorted(steady[i : i + size], key=_duration) for i in range(0, len(steady), size)]
    x = [min(run.index for run in bucket) for bucket in buckets]
    at = [[int(part * (len(bucket) - 1)) for bucket in buckets] for part in (0.0, 0.5, 1.0)]
    low, middle, high = (
        [round(b[i].duration_us / unit[0], 5) for b, i in zip(buckets, places, strict=True)]
        for places in at
    )
    band = {"mode": "lines", "hoverinfo": "skip", "line": {"width": 0, "color": _STEADY_COLOR}}
    return [
        go.Scatter(x=x, y=high, showlegend=False, **band),
        go.Scatter(x=x, y=low, name="steady, shortest to longest", fill="tonexty",
                   fillcolor="rgba(0,114,178,0.22)", **band),
        go.Scatter(x=x, y=middle, name=f"steady, median of {size}", mode="lines+markers",
                   line={"width": 1.5, "color": _STEADY_COLOR}, marker={"size": 3},
                   customdata=[bucket[(len(bucket) - 1) // 2].index for bucket in buckets],
                   hovertemplate=f"from run %{{x}}: %{{y:.4~g}} {unit[1]}<extra></extra>"),
    ]  # fmt: skip


def _borders(figure: go.Figure, found: Sequence[Run]) -> None:
    """Lines where the duration changed, and where another session begins."""
    marks = [
        (run.index, f"session {run.session + 1}" if run.session != before.session else "changed")
        for before, run in pairwise(found)
        if run.changed or run.session != before.session
    ]
    shown = [(index - 0.5, text) for index, text in marks[:BORDER_LIMIT]]
    line = {"dash": "dash", "width": 1.5, "color": _CHANGE_COLOR}
    note = {"y": 0, "yref": "y domain", "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    # All at once: `add_vline` checks the whole figure for each of them.
    figure.update_layout(
        shapes=[{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "y domain",
                 "line": line} for x, _ in shown],
        annotations=[{"x": x, "text": text, **note} for x, text in _apart(shown, found[-1].index)],
    )  # fmt: skip


def _apart(marks: Sequence[tuple[float, str]], last: int) -> list[tuple[float, str]]:
    """Labels that do not run into each other: where lines stand close, the first one speaks."""
    kept: list[tuple[float, str]] = []
    for x, text in marks:
        if not kept or x - kept[-1][0] > _LABEL_SHARE * last:
            kept.append((x, text))
    return kept
