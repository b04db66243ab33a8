"""Nodes under the roofs: arithmetic per byte along, per second up, both logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.roofline import BOUNDS, NodeRoof, Peaks, RooflineReport

LIMIT = 300
"""Marks drawn, those with the most time; more hide each other."""
# Nodes below these parts of the time, or of the highest roof, would stretch the axes by decades
# for nothing.
LEAST_SHARE = 1e-4
LEAST_OF_ROOF = 1e-5
HEIGHT_PX = 520
_SMALLEST_PX, _LARGEST_PX = 7.0, 34.0
# At least 3:1 on white and on the dark background, and no provider's colour.
COLORS = {"compute": "#B8508F", "memory": "#4F86A8", "dispatch": "#A07A1E", "launch": "#7F7F7F",
          "unknown": "#7F7F7F"}  # fmt: skip
SYMBOLS = {"compute": "circle", "memory": "square", "dispatch": "diamond",
           "launch": "triangle-up", "unknown": "x"}  # fmt: skip
# Room beside the outermost marks, as a factor; left of the lines their names stand.
_ROOM = 2.0
_NAMES_ROOM = 3.5
# Names of slopes that are closer than this part of the height would lie over each other.
_NAMES_APART = 0.045


def roofline(report: RooflineReport, *, selected: int | None = None) -> go.Figure:
    """The costliest nodes with arithmetic as marks under the roofs.

    Args:
        report: the nodes and the roofs; the `customdata` of a mark is its node's `order`.
        selected: `order` of the node that is ringed.
    """
    shown = drawn(report, selected=selected)
    if not report.peaks.memory or not report.peaks.compute:
        return theme.empty("Roofline", "No roofs were measured on this machine.")
    if not shown:
        return theme.empty("Roofline", "No node's arithmetic could be counted.")
    left, right = _span(report.peaks, shown)
    traces = [*_roofs(report.peaks, left, right, shown), *_marks(shown), *_ring(shown, selected)]
    figure = theme.figure(
        traces, height=HEIGHT_PX, **theme.legend_above(len({n.bound for n in shown}) + 1)
    )
    figure.update_layout(clickmode="event+select", margin={"r": 104, "b": 52})
    low, high = _heights(report.peaks, shown, left=left)
    _label_roofs(figure, report.peaks, shown, left=left, apart=_NAMES_APART * (high - low))
    axis = {"type": "log", "zeroline": False, "tickformat": "~g", "dtick": 1}
    figure.update_xaxes(
        title="arithmetic per byte, FLOP/B",
        range=[math.log10(left / _NAMES_ROOM), math.log10(right)],
        **axis,
    )
    return figure.update_yaxes(title="arithmetic per second, GFLOP/s", range=[low, high], **axis)


def drawn(report: RooflineReport, *, selected: int | None = None) -> list[NodeRoof]:
    """The nodes that the figure shows: the costliest with arithmetic, and the selected one."""
    least_us = LEAST_SHARE * report.run_us
    lowest = LEAST_OF_ROOF * max((r.flop_per_s for r in report.peaks.compute), default=0.0)
    found = [node for node in report.nodes if node.intensity and node.flop_per_s]
    large = [
        node for node in found if node.time_us >= least_us and (node.flop_per_s or 0) >= lowest
    ][:LIMIT]
    return large + [node for node in found if node.order == selected and node not in large]


def _span(peaks: Peaks, shown: Sequence[NodeRoof]) -> tuple[float, float]:
    """The ends of the axis: all marks, and where the roofs meet."""
    kinds = _kinds(peaks, shown)
    rates = [roof.flop_per_s for roof in peaks.compute if roof.kind in kinds]
    ridges = [rate / roof.bytes_per_s for rate in rates for roof in peaks.memory]
    found = [node.intensity for node in shown if node.intensity]
    return min(*found, *ridges) / _ROOM, max(*found, *ridges) * _ROOM


def _heights(peaks: Peaks, shown: Sequence[NodeRoof], *, left: float) -> tuple[float, float]:
    """The ends of the axis of arithmetic per second, as powers of ten of GFLOP/s."""
    kinds = _kinds(peaks, shown)
    tops = [roof.flop_per_s for roof in peaks.compute if roof.kind in kinds]
    slopes = [left * roof.bytes_per_s for roof in peaks.memory]
    found = [node.flop_per_s for node in shown if node.flop_per_s]
    return (
        math.log10(min(*found, *slopes) / _ROOM / 1e9),
        math.log10(max(*found, *tops) * _ROOM / 1e9),
    )


def _kinds(peaks: Peaks, shown: Sequence[NodeRoof]) -> Sequence[str]:
    """Number types whose roofs are drawn: those that nodes use, and float in any case."""
    used = {node.kind for node in shown} | {"fp32"}
    found = [roof.kind for roof in peaks.compute if roof.kind in used]
    return found or [roof.kind for roof in peaks.compute]


def _roofs(peaks: Peaks, left: float, right: float, shown: Sequence[NodeRoof]) -> list[go.Scatter]:
    """Flat lines of arithmetic from where they meet the fastest memory, slopes of memory."""
    kinds = _kinds(peaks, shown)
    rates = {roof.kind: roof.flop_per_s for roof in peaks.compute if roof.kind in kinds}
    top, fastest = max(rates.values()), max(roof.bytes_per_s for roof in peaks.memory)
    lines = [([max(left, rate / fastest), right], [rate, rate]) for rate in rates.values()]
    for roof in peaks.memory:
        end = min(right, top / roof.bytes_per_s)
        lines.append(([left, end], [left * roof.bytes_per_s, end * roof.bytes_per_s]))
    return [
        go.Scatter(
            x=x, y=[rate / 1e9 for rate in y], mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": theme.WHISKER_COLOR, "width": 1.5},
        )
        for x, y in lines
    ]  # fmt: skip


def _label_roofs(
    figure: go.Figure, peaks: Peaks, shown: Sequence[NodeRoof], *, left: float, apart: float
) -> None:
    """Names at the ends of the lines: of arithmetic right of them, of memory left of them."""
    style = {"showarrow": False, "font": {"size": 12}, "align": "left"}
    kinds = _kinds(peaks, shown)
    for roof in peaks.compute:
        if roof.kind in kinds:
            figure.add_annotation(
                x=1.0, xref="paper", xanchor="left", xshift=6,
                y=math.log10(roof.flop_per_s / 1e9), yanchor="middle",
                text=f"{roof.kind}<br>{units.big_count(roof.flop_per_s)}FLOP/s", **style,
            )  # fmt: skip
    height = -math.inf
    for memory in reversed(peaks.memory):
        height = max(math.log10(left * memory.bytes_per_s / 1e9), height + apart)
        figure.add_annotation(
            x=math.log10(left), xanchor="right", xshift=-6, y=height, yanchor="middle",
            text=f"{theme.plain(memory.level)} {units.big_count(memory.bytes_per_s)}B/s", **style,
        )  # fmt: skip


def _marks(shown: Sequence[NodeRoof]) -> list[go.Scatter]:
    longest = max(node.time_us for node in shown) or 1.0
    made = []
    for bound in BOUNDS:
        own = [node for node in shown if node.bound == bound]
        if own:
            made.append(_bound_marks(bound, own, longest=longest))
    return made


def _bound_marks(bound: str, own: Sequence[NodeRoof], *, longest: float) -> go.Scatter:
    return go.Scatter(
        name=f"{bound}-bound" if bound in ("compute", "memory", "dispatch") else bound,
        mode="markers",
        x=[node.intensity for node in own],
        y=[(node.flop_per_s or 0.0) / 1e9 for node in own],
        customdata=[node.order for node in own],
        text=[_hover(node) for node in own],
        hovertemplate="%{text}<extra></extra>",
        marker={
            "size": [_size(node, longest) for node in own],
            "symbol": SYMBOLS[bound],
            "color": COLORS[bound],
            "opacity": 0.75,
            "line": {"width": 1, "color": theme.OUTLINE_COLOR},
        },
        # A click rings the node; the others stay as they are.
        unselected={"marker": {"opacity": 0.75}},
    )


def _size(node: NodeRoof, longest: float) -> float:
    """Diameter whose square grows with the node's time."""
    return max(_SMALLEST_PX, _LARGEST_PX * math.sqrt(node.time_us / longest))


def _ring(shown: Sequence[NodeRoof], selected: int | None) -> list[go.Scatter]:
    node = next((node for node in shown if node.order == selected), None)
    if node is None:
        return []
    longest = max(node.time_us for node in shown) or 1.0
    return [
        go.Scatter(
            x=[node.intensity], y=[(node.flop_per_s or 0.0) / 1e9], mode="markers",
            hoverinfo="skip", showlegend=False,
            marker={"size": _size(node, longest) + 12, "symbol": "circle-open",
                    "color": theme.WORSE_COLOR, "line": {"width": 3}},
        )
    ]  # fmt: skip


def _hover(node: NodeRoof) -> str:
    reached = f"{units.share(node.reached_share)} of its bound" if node.reached_share else node.why
    return (
        f"<b>{theme.plain(node.name or 'unnamed')}</b><br>{theme.plain(node.op_type)}, "
        f"{node.bound}<br>{units.time(node.time_us)} per run, {theme.plain(reached)}"
        f"<br>{units.big_count(node.flops)}FLOP, {units.big_count(node.bytes)}B per run"
        f"<br>gain at its bound {units.time(node.gain_us)}"
    )
