"""Where the time goes: by operator, by shape, by provider, by module."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ortlab.analysis.profiles import parts
from ortlab.analysis.profiles.parts import Part
from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.trace import Profile

LIMIT = 20
DOUBT_COLOR = "#A9A7A2"
SELECTED_COLOR = "#E69F00"
# Modules lie on any provider; their bars have a colour that is none of theirs.
MODULE_COLOR = "#4C6A87"
# What rounds to 0.1 %; less is not nothing.
_LEAST_SHARE = 0.0005
_ROW_PX = 30
_NAME_LIMIT = 34
_SHAPES_LIMIT = 26
_DOUBTS = {"launch": "launch time", "wait": "wait time", "profiler": "mostly the profiler"}
_TIMES = {"launch": "launch time", "wait": "wait time", "device": "device time"}


def bars(profile: Profile, *, limit: int = LIMIT) -> go.Figure:
    """Self time per run of the costliest operators, largest on top, coloured by provider."""
    return of_parts(parts.by_operator(profile), runs=profile.counted_runs or len(profile.runs),
                    limit=limit)  # fmt: skip


def of_parts(
    found: Sequence[Part], *, runs: int, limit: int = LIMIT, selected: Part | None = None
) -> go.Figure:
    """Time per run of the first parts, the first on top; `customdata` is a part's position.

    A part whose time is that of launches or waits is grey and hatched, and named so where the
    others have their share.
    """
    if not found:
        return theme.empty("Time by operator", "The profile holds no node events.")
    # Beside times on the device, one wait for all of them would only make them look small.
    device = any(part.time_kind == "device" for part in found)
    shown = [part for part in found if not (device and part.share is None)][:limit]
    times = [parts.counted_us(part) / max(1, runs) for part in shown]
    unit = units.time_unit(times)
    names = _unique([_name(part, shown) for part in shown])
    groups = list(dict.fromkeys(_group(part) for part in shown))
    traces = [
        _trace(group, shown, names=names, times=times, unit=unit, runs=max(1, runs),
               selected=selected)
        for group in groups
    ]  # fmt: skip
    figure = theme.figure(
        traces, height=_ROW_PX * len(shown) + (110 if len(traces) > 1 else 74), barmode="stack",
        bargap=0.3, **theme.legend_above(len(traces)),
    )  # fmt: skip
    figure.update_layout(margin={"r": 78, "b": 48}, dragmode=False)
    figure.update_xaxes(title=f"{_axis(shown)} per run, {unit[1]}", rangemode="tozero",
                        zeroline=False, fixedrange=True)  # fmt: skip
    figure.update_yaxes(
        categoryorder="array", categoryarray=names[::-1], automargin=True, showgrid=False,
        title=None, fixedrange=True,
    )  # fmt: skip
    for part, name in zip(shown, names, strict=True):
        figure.add_annotation(
            x=1.0, xref="paper", xanchor="right", xshift=66, y=name, yref="y", showarrow=False,
            text=_share_text(part),
        )  # fmt: skip
    return figure


def _share_text(part: Part) -> str:
    if part.share is None:
        return part.time_kind
    return units.share(part.share) if part.share >= _LEAST_SHARE else f"<0.1{units.THIN}%"


def _axis(shown: Sequence[Part]) -> str:
    kinds = {part.time_kind for part in shown}
    if kinds == {"host"}:
        return "self time"
    return "time" if len(kinds) > 1 else _TIMES.get(next(iter(kinds)), "time")


def _group(part: Part) -> tuple[str, str]:
    """Parts of one group share colour and legend entry."""
    return part.provider, part.doubt or ""


def _name(part: Part, shown: Sequence[Part]) -> str:
    """The axis name; an operator on two providers names its provider."""
    name = theme.provider_label(part.name) if part.name == part.provider else part.name
    text = theme.plain(name, limit=_NAME_LIMIT)
    if part.input_shapes:
        text += "  " + theme.plain(part.input_shapes, limit=_SHAPES_LIMIT)
    elif part.op_type and sum(p.op_type == part.op_type for p in shown) > 1:
        text += f" ({theme.plain(theme.provider_label(part.provider), limit=_NAME_LIMIT)})"
    return text


def _unique(names: Sequence[str]) -> list[str]:
    """The names; what an axis would take for one category gets a mark of no width."""
    seen: dict[str, int] = {}
    told = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        told.append(name + "\u200b" * (seen[name] - 1))
    return told


def _trace(
    group: tuple[str, str],
    shown: Sequence[Part],
    *,
    names: Sequence[str],
    times: Sequence[float],
    unit: tuple[float, str],
    runs: int,
    selected: Part | None,
) -> go.Bar:
    provider, doubt = group
    own = [i for i, part in enumerate(shown) if _group(part) == group]
    marked = [shown[i] is selected for i in own]
    label = theme.plain(theme.provider_label(provider)) if provider else "all providers"
    return go.Bar(
        name=label + (f", {_DOUBTS.get(doubt, doubt)}" if doubt else ""),
        orientation="h",
        y=[names[i] for i in own],
        x=[times[i] / unit[0] for i in own],
        customdata=own,
        hovertext=[_hover(shown[i], times[i], runs) for i in own],
        hoverinfo="text",
        marker={
            "color": DOUBT_COLOR if doubt else _color(provider),
            "pattern": {"shape": "/" if doubt else theme.pattern(provider) if provider else "",
                        "fillmode": "overlay"},
            "line": {"width": [3 if m else 1 for m in marked],
                     "color": [SELECTED_COLOR if m else theme.OUTLINE_COLOR for m in marked]},
        },
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


def _color(provider: str) -> str:
    return theme.color(provider) if provider else MODULE_COLOR


def _hover(part: Part, time_us: float, runs: int) -> str:
    name = theme.provider_label(part.name) if part.name == part.provider else part.name
    lines = [f"<b>{theme.plain(name, limit=80)}</b>"]
    if part.op_type and part.provider:
        lines[0] += f" on {theme.plain(theme.provider_label(part.provider))}"
    if part.input_shapes:
        lines.append(theme.plain(part.input_shapes, limit=90))
    share = "" if part.share is None else f", {units.share(part.share)} of all node time"
    kind = f" {_TIMES[part.time_kind]}" if part.time_kind in _TIMES else ""
    lines.append(f"{units.time(time_us)}{kind} per run{share}")
    calls = f"{units.count(part.calls / runs)} calls per run"
    if part.p50_us is not None:
        calls += f", p50 {units.time(part.p50_us)}"
    lines.append(calls)
    return "<br>".join(lines)
