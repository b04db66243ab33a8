"""The arena over one run, and the peaks of all runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.memory import AllocatorMemory, MemoryPoint, RunMemory

_COLOR = "#0072B2"
_ARENA_COLOR = "#8A8A8A"
_STEPS = ((1.0, "B"), (1024.0, "KiB"), (1024.0**2, "MiB"), (1024.0**3, "GiB"))
_NAME_LIMIT = 40
# Before this part of the axis there is no room for a label on the left, and after the second
# none on the right.
_LEFT_SHARE, _RIGHT_SHARE = 0.35, 0.6
# An arena that holds more than this many times the peak would leave the steps a fifth of the room.
_FAR_ABOVE = 4
_HEADROOM = 1.25
"""Room over the peak for its label."""
_ALL_TICKS = 12
# Thinner bars than these look like a bar code; marks do not.
_MAX_BARS = 60


def usage(
    allocator: AllocatorMemory, *, duration_us: int, names: Mapping[int, str] | None = None
) -> go.Figure:
    """Bytes in use after each node as steps, what the arena holds as a line, the peak marked.

    Args:
        allocator: the arena of one provider.
        duration_us: of the run, where the last step ends.
        names: of nodes by their number, for the labels under the pointer.
    """
    points = allocator.points
    if not points:
        return theme.empty("Memory over the run", "No node of this run has memory fields.")
    top = max(allocator.peak_bytes, allocator.inside_bytes or 0)
    arena = max(p.arena_bytes for p in points)
    scale, unit = _unit(min(arena, _FAR_ABOVE * top) or arena)
    divisor, time_unit = units.time_unit([float(duration_us)])
    traces = [
        _before(allocator, end_us=duration_us, scale=scale, divisor=divisor),
        _steps(points, names or {}, end_us=duration_us, scale=scale, unit=unit, divisor=divisor),
        _arena(points, end_us=duration_us, scale=scale, divisor=divisor),
    ]
    figure = theme.figure(traces, height=360, **theme.legend_above(len(traces)))
    figure.update_xaxes(title=f"time in the run, {time_unit}", rangemode="tozero", zeroline=False)
    figure.update_yaxes(title=f"bytes, {unit}", rangemode="tozero")
    _cut(figure, top=top, arena=arena, scale=scale)
    _mark(figure, allocator, duration_us=duration_us, scale=scale, divisor=divisor)
    return figure


def runs(allocator: AllocatorMemory) -> go.Figure:
    """Peak of every run as bars or marks, warm-up apart, and what the arena holds as a line."""
    rows = allocator.runs
    if not rows:
        return theme.empty("Peak of every run", "The profile holds no whole run.")
    top, arena = max(r.peak_bytes for r in rows), max(r.arena_bytes for r in rows)
    scale, unit = _unit(min(arena, _FAR_ABOVE * top) or arena)
    draw = _run_bars if len(rows) <= _MAX_BARS else _run_marks
    traces: list[go.Bar | go.Scatter] = [
        draw([r for r in rows if r.warmup == warmup], scale=scale, unit=unit, warmup=warmup)
        for warmup in (True, False)
        if any(r.warmup == warmup for r in rows)
    ]
    traces.append(
        go.Scatter(
            name="held by the arena", mode="lines", x=[r.index for r in rows],
            y=[_short(r.arena_bytes / scale) for r in rows],
            line={"color": _ARENA_COLOR, "width": 1.5, "dash": "dash"}, hoverinfo="skip",
        )
    )  # fmt: skip
    figure = theme.figure(traces, height=260, bargap=0.25, **theme.legend_above(len(traces)))
    whole = {"dtick": 1} if rows[-1].index - rows[0].index <= _ALL_TICKS else {}
    figure.update_xaxes(title="run", showgrid=False, **whole)
    figure.update_yaxes(title=f"bytes, {unit}", rangemode="tozero")
    _cut(figure, top=top, arena=arena, scale=scale)
    return figure


def _cut(figure: go.Figure, *, top: int, arena: int, scale: float) -> None:
    """Let the axis end above what is in use where the arena's line would press it flat."""
    if arena > _FAR_ABOVE * top > 0:
        figure.update_yaxes(range=[0, _HEADROOM * top / scale])
        figure.for_each_trace(
            lambda trace: trace.update(name=f"held by the arena: {units.size(arena)}, far above"),
            selector={"name": "held by the arena"},
        )


def _before(allocator: AllocatorMemory, *, end_us: int, scale: float, divisor: float) -> go.Scatter:
    return go.Scatter(
        name="there before the run", mode="lines", fill="tozeroy",
        fillcolor="rgba(128,128,128,0.22)", line={"width": 0, "color": _ARENA_COLOR},
        x=[0, _short(end_us / divisor)], y=[_short(allocator.before_bytes / scale)] * 2,
        hoverinfo="skip",
    )  # fmt: skip


def _steps(
    points: Sequence[MemoryPoint],
    names: Mapping[int, str],
    *,
    end_us: int,
    scale: float,
    unit: str,
    divisor: float,
) -> go.Scatter:
    last = points[-1]
    return go.Scatter(
        name="in use", mode="lines", line={"shape": "hv", "color": _COLOR, "width": 1.5},
        fill="tozeroy", fillcolor="rgba(0,114,178,0.18)",
        x=[_short(p.at_us / divisor) for p in points] + [_short(end_us / divisor)],
        y=[_short(p.in_use_bytes / scale) for p in (*points, last)],
        text=[
            theme.plain(names.get(p.node, f"node {p.node}"), limit=_NAME_LIMIT)
            for p in (*points, last)
        ],
        hovertemplate=f"%{{text}}<br>%{{y:.4~g}} {unit} in use<extra></extra>",
    )  # fmt: skip


def _arena(
    points: Sequence[MemoryPoint], *, end_us: int, scale: float, divisor: float
) -> go.Scatter:
    """The arena mostly stands still, so it is drawn from where it changes."""
    changes = [0] + [
        i for i in range(1, len(points)) if points[i].arena_bytes != points[i - 1].arena_bytes
    ]
    kept = [points[i] for i in changes]
    return go.Scatter(
        name="held by the arena", mode="lines",
        line={"shape": "hv", "color": _ARENA_COLOR, "width": 1.5, "dash": "dash"},
        x=[_short(p.at_us / divisor) for p in kept] + [_short(end_us / divisor)],
        y=[_short(p.arena_bytes / scale) for p in (*kept, kept[-1])],
        text=[units.size(p.arena_bytes) for p in (*kept, kept[-1])],
        hovertemplate="the arena holds %{text}<extra></extra>",
    )  # fmt: skip


def _mark(
    figure: go.Figure,
    allocator: AllocatorMemory,
    *,
    duration_us: int,
    scale: float,
    divisor: float,
) -> None:
    """Label the peak where it is, and a higher mark that was reached while a node ran."""
    name = allocator.peak_name or allocator.peak_op_type
    _label(figure, f"peak {units.size(allocator.peak_bytes)}, ", name=name, symbol="diamond",
           at=allocator.peak_at_us / divisor, bytes_shown=allocator.peak_bytes / scale,
           left=allocator.peak_at_us > _LEFT_SHARE * duration_us, rise=18)  # fmt: skip
    if allocator.inside_bytes is None or allocator.inside_at_us is None:
        return
    _label(figure, f"while running {units.size(allocator.inside_bytes)}, ",
           name=allocator.inside_name, symbol="diamond-open",
           at=allocator.inside_at_us / divisor, bytes_shown=allocator.inside_bytes / scale,
           left=allocator.inside_at_us > _RIGHT_SHARE * duration_us, rise=42)  # fmt: skip


def _label(
    figure: go.Figure,
    text: str,
    *,
    name: str,
    symbol: str,
    at: float,
    bytes_shown: float,
    left: bool,
    rise: int,
) -> None:
    """A mark with words beside it; `rise` in pixels keeps two labels apart."""
    figure.add_scatter(
        x=[at], y=[bytes_shown], mode="markers", showlegend=False, hoverinfo="skip",
        marker={"size": 9, "color": theme.WORSE_COLOR, "symbol": symbol},
    )  # fmt: skip
    figure.add_annotation(
        x=at, y=bytes_shown, ax=-36 if left else 36, ay=-rise, showarrow=True, arrowhead=0,
        xanchor="right" if left else "left", arrowwidth=1, arrowcolor=theme.OUTLINE_COLOR,
        text=text + theme.plain(name, limit=_NAME_LIMIT),
    )  # fmt: skip


def _run_bars(rows: Sequence[RunMemory], *, scale: float, unit: str, warmup: bool) -> go.Bar:
    return go.Bar(
        name="peak, warm-up" if warmup else "peak",
        x=[r.index for r in rows],
        y=[_short(r.peak_bytes / scale) for r in rows],
        marker={
            "color": theme.OTHER_COLOR if warmup else _COLOR,
            "pattern": {"shape": "/" if warmup else ""},
        },
        hovertemplate=f"run %{{x}}: peak %{{y:.4~g}} {unit}<extra></extra>",
    )


def _run_marks(rows: Sequence[RunMemory], *, scale: float, unit: str, warmup: bool) -> go.Scatter:
    return go.Scatter(
        name="peak, warm-up" if warmup else "peak",
        mode="markers",
        x=[r.index for r in rows],
        y=[_short(r.peak_bytes / scale) for r in rows],
        marker={
            "color": theme.OTHER_COLOR if warmup else _COLOR,
            "symbol": "diamond-open" if warmup else "circle",
            "size": 8 if warmup else 4,
        },
        hovertemplate=f"run %{{x}}: peak %{{y:.4~g}} {unit}<extra></extra>",
    )


def _unit(largest: int) -> tuple[float, str]:
    return next((s for s in reversed(_STEPS) if largest >= s[0]), _STEPS[0])


def _short(value: float) -> float:
    """Five digits: half a pixel of any screen, and half the bytes to send."""
    return float(f"{value:.5g}")
