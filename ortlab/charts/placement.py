"""Which provider got which part of the graph."""

from __future__ import annotations

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.placement import Placement


def shares(placement: Placement) -> go.Figure:
    """Two stacked bars: nodes by provider and time by provider."""
    if not placement.node_share_by_provider:
        return theme.empty("Nodes and time by provider", "No node placement is known.")
    rows = [("nodes", placement.node_share_by_provider)]
    if placement.time_share_by_provider is not None:
        rows.append(("time", placement.time_share_by_provider))
    providers = list(dict.fromkeys(p for _, shares in rows for p in shares))
    traces = [_share_trace(provider, rows, placement) for provider in providers]
    figure = theme.figure(
        traces,
        height=90 + 44 * len(rows),
        barmode="stack",
        bargap=0.35,
        **theme.legend_above(len(traces)),
    )
    figure.update_xaxes(
        range=[0, 1.004], tickformat=".0%", dtick=0.25, showgrid=False, zeroline=False
    )
    return figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True)


def order(placement: Placement) -> go.Figure:
    """The graph from first to last node, one block per stretch on the same provider."""
    if not placement.partitions:
        return theme.empty("Provider switches in graph order", "No partition is known.")
    traces, start = [], 0
    for part in placement.partitions:
        fill = theme.color(part.provider)
        name = theme.plain(theme.provider_label(part.provider))
        traces.append(
            go.Bar(
                orientation="h", base=[start], x=[part.node_count], y=["graph"],
                text=[name], textposition="inside", insidetextanchor="middle",
                hovertext=f"<b>{name}</b>, {part.node_count} nodes<br>from "
                f"{theme.plain(part.first)}<br>to {theme.plain(part.last)}",
                hoverinfo="text", textfont={"color": theme.text_on(fill)},
                marker={"color": fill, "line": {"width": 1, "color": "#FFFFFF"},
                        "pattern": {"shape": _fallback_mark(part.provider, placement)}},
            )
        )  # fmt: skip
        start += part.node_count
    figure = theme.figure(traces, height=120, barmode="overlay")
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 40})
    figure.update_xaxes(title="node, in graph order", range=[0, start], showgrid=False)
    return figure.update_yaxes(visible=False)


def _fallback_mark(provider: str, placement: Placement) -> str:
    """Hatched where the graph runs on another provider than the first one asked for."""
    asked = placement.requested[0] if placement.requested else provider
    return "" if provider == asked else "/"


def _told(name: str, share: float, *, alone: bool) -> str:
    """What stands in a bar; a provider alone has no legend, so the bar names it."""
    if share <= 0.04:
        return ""
    return f"{name} {units.share(share)}" if alone else units.share(share)


def _share_trace(
    provider: str, rows: list[tuple[str, dict[str, float]]], placement: Placement
) -> go.Bar:
    name = theme.plain(theme.provider_label(provider))
    values = [found.get(provider, 0.0) for _, found in rows]
    fill = theme.color(provider)
    return go.Bar(
        name=name, orientation="h", y=[label for label, _ in rows], x=values,
        text=[_told(name, v, alone=v > 0.99) for v in values], textposition="inside",
        insidetextanchor="middle", textfont={"color": theme.text_on(fill)},
        hovertemplate=f"{name}: %{{x:.1%}} of %{{y}}<extra></extra>",
        marker={"color": fill, "line": {"width": 1, "color": theme.OUTLINE_COLOR},
                "pattern": {"shape": _fallback_mark(provider, placement), "fillmode": "overlay"}},
    )  # fmt: skip
