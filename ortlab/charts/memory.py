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
# A label beyond this part of the axis would run out of the figure on its right.
_RIGHT_SHARE = 0.6


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
    scale, unit = _unit(max(p.arena_bytes for p in points))
    divisor, time_unit = units.time_unit([float(duration_us)])
    traces = [
        _steps(points, names or {}, end_us=duration_us, scale=scale, divisor=divisor),
        _arena(points, end_us=duration_us, scale=scale, divisor=divisor),
    ]
    figure = theme.figure(traces, height=340, **theme.legend_above(2))
    figure.update_xaxes(title=f"time in the run, {time_unit}", rangemode="tozero", zeroline=False)
    figure.update_yaxes(title=f"bytes, {unit}", rangemode="tozero")
    _mark(figure, allocator, duration_us=duration_us, scale=scale, divisor=divisor)
    return figure


def runs(allocator: AllocatorMemory) -> go.Figure:
    """Peak of every run as bars, warm-up hatched, and what the arena holds as a line."""
    rows = allocator.runs
    if not rows:
        return theme.empty("Peak of every run", "The profile holds no whole run.")
    scale, unit = _unit(max(r.arena_bytes for r in rows))
    traces: list[go.Bar | go.Scatter] = [
        _run_bars([r for r in rows if r.warmup == warmup], scale=scale, warmup=warmup)
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
    figure.update_xaxes(title="run", showgrid=False)
    return figure.update_yaxes(title=f"bytes, {unit}", rangemode="tozero")


def _steps(
    points: Sequence[MemoryPoint],
    names: Mapping[int, str],
    *,
    end_us: int,
    scale: float,
    divisor: float,
) -> go.Scatter:
    last = points[-1]
    return go.Scatter(
        name="in use", mode="lines", line={"shape": "hv", "color": _COLOR, "width": 1.5},
        fill="tozeroy", fillcolor="rgba(0,114,178,0.18)",
        x=[_short(p.at_us / divisor) for p in points] + [_short(end_us / divisor)],
        y=[_short(p.in_use_bytes / scale) for p in (*points, last)],
        text=[
            f"{theme.plain(names.get(p.node, f'node {p.node}'), limit=_NAME_LIMIT)}<br>"
            f"{units.size(p.in_use_bytes)}"
            for p in (*points, last)
        ],
        hovertemplate="%{text} in use<extra></extra>",
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
    """Label the peak where it is."""
    at = allocator.peak_at_us / divisor
    name = allocator.peak_name or allocator.peak_op_type
    right = allocator.peak_at_us > _RIGHT_SHARE * duration_us
    figure.add_trace(
        go.Scatter(
            x=[at], y=[allocator.peak_bytes / scale], mode="markers", showlegend=False,
            marker={"size": 9, "color": theme.WORSE_COLOR, "symbol": "diamond"}, hoverinfo="skip",
        )
    )  # fmt: skip
    figure.add_annotation(
        x=at, y=allocator.peak_bytes / scale, ax=-36 if right else 36, ay=-22,
        xanchor="right" if right else "left", showarrow=True, arrowhead=0, arrowwidth=1,
        arrowcolor=theme.OUTLINE_COLOR,
        text=f"peak {units.size(allocator.peak_bytes)}, {theme.plain(name, limit=_NAME_LIMIT)}",
    )  # fmt: skip


def _run_bars(rows: Sequence[RunMemory], *, scale: float, warmup: bool) -> go.Bar:
    return go.Bar(
        name="peak, warm-up" if warmup else "peak",
        x=[r.index for r in rows],
        y=[_short(r.peak_bytes / scale) for r in rows],
        marker={
            "color": theme.OTHER_COLOR if warmup else _COLOR,
            "pattern": {"shape": "/" if warmup else ""},
        },
        hovertext=[
            f"run {r.index}: peak {units.size(r.peak_bytes)}, {units.size(r.last_bytes)} after its "
            "last node"
            for r in rows
        ],
        hoverinfo="text",
    )


def _unit(largest: int) -> tuple[float, str]:
    return next((s for s in reversed(_STEPS) if largest >= s[0]), _STEPS[0])


def _short(value: float) -> float:
    """Five digits: half a pixel of any screen, and half the bytes to send."""
    return float(f"{value:.5g}")
