"""Where the time goes, by operator."""

from __future__ import annotations

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.trace import OperatorRow, Profile

LIMIT = 20
_ROW_PX = 30


def bars(profile: Profile, *, limit: int = LIMIT) -> go.Figure:
    """Self time per run of the costliest operators, largest on top, coloured by provider."""
    if not profile.operators:
        return theme.empty("Time by operator", "The profile holds no node events.")
    shown = sorted(profile.operators, key=lambda row: row.self_us, reverse=True)[:limit]
    runs = max(1, profile.counted_runs or len(profile.runs))
    divisor, unit = units.time_unit([row.self_us / runs for row in shown])
    names = _unique_names(shown)
    traces = [
        _trace(provider, shown, names=names, scale=runs * divisor,
               launches=provider in profile.async_providers)
        for provider in dict.fromkeys(row.provider for row in shown)
    ]  # fmt: skip
    figure = theme.figure(
        traces, height=_ROW_PX * len(shown) + 110, barmode="stack", bargap=0.3,
        **theme.legend_above(len(traces)),
    )  # fmt: skip
    figure.update_layout(margin={"r": 78, "b": 48})
    figure.update_xaxes(title=f"self time per run, {unit}", rangemode="tozero", zeroline=False)
    figure.update_yaxes(
        categoryorder="array", categoryarray=[names[_key(r)] for r in reversed(shown)],
        automargin=True, showgrid=False, title=None,
    )  # fmt: skip
    for row in shown:
        figure.add_annotation(
            x=1.0, xref="paper", xanchor="left", xshift=8, y=names[_key(row)], yref="y",
            showarrow=False, text=units.share(row.share),
        )  # fmt: skip
    return figure


def _key(row: OperatorRow) -> tuple[str, str]:
    return row.op_type, row.provider


def _unique_names(rows: list[OperatorRow]) -> dict[tuple[str, str], str]:
    """One axis name per row; an operator on two providers names its provider."""
    op_types = [row.op_type for row in rows]
    return {
        _key(row): theme.plain(row.op_type, limit=34)
        + (f" ({theme.provider_label(row.provider)})" if op_types.count(row.op_type) > 1 else "")
        for row in rows
    }


def _trace(
    provider: str,
    rows: list[OperatorRow],
    *,
    names: dict[tuple[str, str], str],
    scale: float,
    launches: bool,
) -> go.Bar:
    own = [row for row in rows if row.provider == provider]
    return go.Bar(
        name=theme.plain(theme.provider_label(provider)) + ", launch times" * launches,
        orientation="h",
        y=[names[_key(row)] for row in own],
        x=[row.self_us / scale for row in own],
        hovertext=[
            f"<b>{theme.plain(row.op_type)}</b> on {theme.plain(theme.provider_label(provider))}"
            f"<br>{units.share(row.share)} of all node time<br>{units.count(row.calls)} calls, "
            f"mean {units.time(row.mean_us or row.total_us / max(1, row.calls))}"
            for row in own
        ],
        hoverinfo="text",
        marker={
            "color": theme.color(provider),
            "pattern": {"shape": theme.pattern(provider), "fillmode": "overlay"},
            "line": {"width": 1, "color": theme.OUTLINE_COLOR},
        },
    )
