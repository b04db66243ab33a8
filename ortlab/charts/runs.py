"""How long each run took, and one run along time beside the median run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.trace import Profile, Run, TraceEvent

POINT_LIMIT = 1_500
"""Above this, runs are drawn as a band with their middle."""
BUCKETS = 400
MARK_LIMIT = 200
"""Of each kind that is marked by itself when there are more runs than points."""
BAR_LIMIT = 400
"""Of each of the two runs: both together are drawn at once."""
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
    durations = sorted(run.duration_us for run in profile.runs)
    log = durations[-1] > _LOG_FROM * max(1, durations[len(durations) // 2])
    unit = units.time_unit([float(durations[-1] if not log else durations[len(durations) // 2])])
    many = len(profile.runs) > POINT_LIMIT
    traces = _band(profile.runs, unit) if many else []
    for name in KINDS:
        own = [run for run in profile.runs if kind(run) == name]
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


def _ring(run: Run, unit: tuple[float, str]) -> go.Scatter:
    return go.Scatter(
        name="selected", mode="markers", x=[run.index], y=[run.duration_us / unit[0]],
        marker={"symbol": "circle-open", "size": 17, "color": "#E69F00", "line": {"width": 3}},
        hoverinfo="skip",
    )  # fmt: skip


def _band(found: Sequence[Run], unit: tuple[float, str]) -> list[Any]:
    """Runs that count, in buckets: shortest to longest as a band, the median as a line."""
    steady = [run for run in found if kind(run) == "steady"] or list(found)
    size = -(-len(steady) // BUCKETS)
    buckets = [
        sorted(steady[i : i + size], key=lambda r: r.duration_us)
        for i in range(0, len(steady), size)
    ]
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
    for index, text in marks[:BORDER_LIMIT]:
        figure.add_vline(
            x=index - 0.5, line={"dash": "dash", "width": 1.5, "color": _CHANGE_COLOR},
            annotation_text=text, annotation_position="bottom right",
        )  # fmt: skip


def side_by_side(
    events: Sequence[TraceEvent], usual: Sequence[TraceEvent], *, names: tuple[str, str]
) -> go.Figure:
    """Two runs along time from their own starts, one above the other, on one axis."""
    if not events and not usual:
        return theme.empty("One run beside the median run", "Neither holds node events.")
    last = max(e.start_us + e.duration_us - _start(part) for part in (events, usual) for e in part)
    unit = units.time_unit([float(last)])
    traces, ticks = [], []
    row = 0
    for name, part in zip(names, (events, usual), strict=True):
        lanes = sorted({(e.thread, e.depth) for e in part})
        for i, (_, depth) in enumerate(lanes):
            ticks.append((row + i, name if i == 0 else "inside" if depth else "thread"))
        at = {lane: row + i for i, lane in enumerate(lanes)}
        traces += _bars(part, at, unit, first=row == 0)
        row += len(lanes)
    figure = theme.figure(traces, height=110 + 34 * row, barmode="overlay", bargap=0.2,
                          **theme.legend_above(len({t.name for t in traces})))  # fmt: skip
    figure.update_xaxes(title=f"time since the run began, {unit[1]}", rangemode="tozero",
                        zeroline=False)  # fmt: skip
    return figure.update_yaxes(
        tickvals=[at for at, _ in ticks], ticktext=[text for _, text in ticks],
        autorange="reversed", showgrid=False, automargin=True,
    )  # fmt: skip


def _start(part: Sequence[TraceEvent]) -> int:
    return min((e.start_us for e in part), default=0)


def _bars(
    part: Sequence[TraceEvent],
    at: dict[tuple[int, int], int],
    unit: tuple[float, str],
    *,
    first: bool,
) -> list[go.Bar]:
    kept = sorted(part, key=lambda e: -e.duration_us)[:BAR_LIMIT]
    start = _start(part)
    made = []
    for provider in dict.fromkeys(e.provider for e in kept):
        own = [e for e in kept if e.provider == provider]
        made.append(
            go.Bar(
                name=theme.plain(theme.provider_label(provider)), orientation="h",
                base=[(e.start_us - start) / unit[0] for e in own],
                x=[e.duration_us / unit[0] for e in own],
                y=[at[e.thread, e.depth] for e in own], legendgroup=provider, showlegend=first,
                marker={"color": theme.color(provider),
                        "pattern": {"shape": theme.pattern(provider)},
                        "line": {"width": 1, "color": theme.OUTLINE_COLOR}},
                hovertext=[f"{theme.plain(e.name, limit=70)}<br>{theme.plain(e.op_type)}: "
                           f"{units.time(e.duration_us)}" for e in own],
                hoverinfo="text",
            )
        )  # fmt: skip
    return made
