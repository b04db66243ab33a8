"""One run, event by event, in the order it happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.trace import TraceEvent

UNKNOWN = "?"
"""Operator or provider where the file names none."""
BAR_LIMIT = 3000
"""Above this the browser needs seconds to draw; the shortest events go first."""
_LANE_PX = 34
# Steps towards white that tell operators of one provider apart; the costliest has none.
_SHADES = (0.0, 0.42, 0.2, 0.58, 0.1, 0.5, 0.3, 0.66)
_CPU = "CPUExecutionProvider"


class Look(NamedTuple):
    """How the events of one operator on one provider look."""

    op: str
    label: str
    color: str
    text: str
    """Colour that can be read on it."""
    fallback: bool
    """Work of the CPU in a session that asked for another provider."""


def looks(kinds: Sequence[tuple[str, str]], *, foreign: bool = False) -> list[Look]:
    """One look for each operator and provider: the provider's colour, a shade per operator.

    Args:
        kinds: operator and ORT's name of the provider, the costliest first.
        foreign: the trace does not say what was asked for, so nothing in it is a fallback.
    """
    providers = list(dict.fromkeys(provider for _, provider in kinds if provider != UNKNOWN))
    seen: Counter[str] = Counter()
    found = []
    for op_type, provider in kinds:
        shade = _SHADES[seen[provider] % len(_SHADES)]
        seen[provider] += 1
        color = theme.lighter(theme.color(provider), shade)
        name = "unknown operator" if op_type == UNKNOWN else op_type
        several = len(providers) > 1 and provider != UNKNOWN
        on = f" · {theme.provider_label(provider)}" if several else ""
        fallback = provider == _CPU and len(providers) > 1 and not foreign
        found.append(Look(name, name + on + ", fallback" * fallback, color, theme.text_on(color),
                          fallback))  # fmt: skip
    return found


def timeline(events: Sequence[TraceEvent], *, title: str = "") -> go.Figure:
    """Bars along time, one lane per thread and nesting depth, coloured by provider."""
    if not events:
        return theme.empty(title or "Timeline", "This run holds no node events.")
    kept = sorted(events, key=lambda e: -e.duration_us)[:BAR_LIMIT]
    lanes = _lanes(kept)
    start = min(e.start_us for e in kept)
    divisor, unit = units.time_unit([float(e.start_us + e.duration_us - start) for e in kept])
    traces = [
        _trace(provider, kept, lanes=lanes, start=start, divisor=divisor)
        for provider in dict.fromkeys(e.provider for e in kept)
    ]
    figure = theme.figure(
        traces, height=max(220, _LANE_PX * len(lanes) + 130), barmode="overlay", bargap=0.18,
        uniformtext={"minsize": 11, "mode": "hide"},
        **theme.legend_above(len(traces)),
    )  # fmt: skip
    left_out = dropped(events)
    note = f"; the {units.count(left_out)} shortest events are left out" if left_out else ""
    figure.update_xaxes(title=f"time in this run, {unit}{note}", rangemode="tozero", zeroline=False)
    figure.update_yaxes(
        tickvals=list(lanes.values()), ticktext=[_lane_name(k, lanes) for k in lanes],
        autorange="reversed", showgrid=False, automargin=True,
    )  # fmt: skip
    return figure


def dropped(events: Sequence[TraceEvent]) -> int:
    """Events that `timeline` leaves out, the shortest ones."""
    before: int = getattr(events, "dropped_count", 0)
    return before + max(0, len(events) - BAR_LIMIT)


def _lanes(events: Sequence[TraceEvent]) -> dict[tuple[int, int], int]:
    keys = sorted({(e.thread, e.depth) for e in events})
    return {key: index for index, key in enumerate(keys)}


def _lane_name(key: tuple[int, int], lanes: dict[tuple[int, int], int]) -> str:
    threads = sorted({thread for thread, _ in lanes})
    name = f"thread {threads.index(key[0]) + 1}"
    return name if key[1] == 0 else f"{name}, inside {key[1]}"


def _trace(
    provider: str,
    events: Sequence[TraceEvent],
    *,
    lanes: dict[tuple[int, int], int],
    start: int,
    divisor: float,
) -> go.Bar:
    own = [e for e in events if e.provider == provider]
    return go.Bar(
        name=theme.plain(theme.provider_label(provider)),
        orientation="h",
        base=[(e.start_us - start) / divisor for e in own],
        # An event shorter than the clock's microsecond still needs a visible mark.
        x=[max(e.duration_us, 0.4) / divisor for e in own],
        y=[lanes[(e.thread, e.depth)] for e in own],
        hovertext=[
            f"<b>{theme.plain(e.name or e.op_type, limit=80)}</b><br>{theme.plain(e.op_type)} on "
            f"{theme.plain(theme.provider_label(e.provider))}<br>{units.time(e.duration_us)}, "
            f"starts at {units.time(e.start_us - start)}"
            for e in own
        ],
        hoverinfo="text",
        text=[theme.plain(e.op_type, limit=24) for e in own],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": theme.text_on(theme.color(provider))},
        marker={"color": theme.color(provider), "line": {"width": 0.5, "color": "#FFFFFF"}},
    )
