"""ORT's thread pool: what the calling thread did in it, and how often its helpers took part."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.threads import PoolRow, ThreadReport

LIMIT = 15
_ROW_PX = 30
_RUN_COLOR = "#0072B2"
_OUTSIDE_COLOR = "#B9B9B9"
_PARTS = (
    ("work in loops", _RUN_COLOR, "", "run_us"),
    ("waiting for helpers", theme.WORSE_COLOR, "/", "wait_us"),
    ("handing out", theme.OTHER_COLOR, "x", "distribution_us"),
    ("outside loops", _OUTSIDE_COLOR, ".", ""),
)


def by_operator(report: ThreadReport, *, limit: int = LIMIT) -> go.Figure:
    """The calling thread's time in the costliest operators: work, waiting, handing out, alone."""
    rows = report.operators[:limit]
    if not rows:
        return theme.empty("Thread pool by operator", "No node tells about a thread pool.")
    divisor, unit = units.time_unit([float(row.duration_us) for row in rows])
    names = _names(rows)
    traces = [
        go.Bar(
            name=title, orientation="h", y=names, x=[_part(row, field) / divisor for row in rows],
            marker={"color": color, "pattern": {"shape": shape, "fillmode": "overlay"},
                    "line": {"width": 1, "color": theme.OUTLINE_COLOR}},
            hovertext=[f"<b>{theme.plain(row.op_type)}</b>, {title}: "
                       f"{units.time(_part(row, field))} of {units.time(row.duration_us)}"
                       for row in rows],
            hoverinfo="text",
        )
        for title, color, shape, field in _PARTS
    ]  # fmt: skip
    figure = theme.figure(
        traces, height=_ROW_PX * len(rows) + 120, barmode="stack", bargap=0.3,
        **theme.legend_above(len(traces)),
    )  # fmt: skip
    # Bars are stacked in the order of the legend.
    figure.update_layout(legend_traceorder="normal")
    figure.update_xaxes(title=f"time of all calls, {unit}", rangemode="tozero", zeroline=False)
    return figure.update_yaxes(
        categoryorder="array",
        categoryarray=names[::-1],
        automargin=True,
        showgrid=False,
        title=None,
    )


def helpers(report: ThreadReport) -> go.Figure:
    """Loops that each helper thread of the pool took part in, over the whole file."""
    rows = report.threads
    if not rows:
        return theme.empty("Loops by thread", "No node tells about a thread pool.")
    several = len({row.pool for row in rows}) > 1
    names = [
        f"helper {row.number}" + (f" of {theme.plain(row.pool, limit=24)}" if several else "")
        for row in rows
    ]
    trace = go.Bar(
        orientation="h", y=names, x=[row.loop_count for row in rows],
        marker={"color": _RUN_COLOR, "line": {"width": 1, "color": theme.OUTLINE_COLOR}},
        hovertext=[
            f"{name}: {units.count(row.loop_count)} loops"
            + (f", {units.share(row.share)} of all" if row.share is not None else "")
            for name, row in zip(names, rows, strict=True)
        ],
        hoverinfo="text",
    )  # fmt: skip
    figure = theme.figure([trace], height=_ROW_PX * len(rows) + 90, bargap=0.3)
    figure.update_xaxes(title="loops it took part in", rangemode="tozero", zeroline=False)
    return figure.update_yaxes(
        categoryorder="array", categoryarray=names[::-1], automargin=True, showgrid=False
    )


def _part(row: PoolRow, field: str) -> int:
    if field:
        value: int = getattr(row, field)
        return value
    return max(0, row.duration_us - row.run_us - row.wait_us - row.distribution_us)


def _names(rows: Sequence[PoolRow]) -> list[str]:
    """One axis name per row; an operator on two providers names its provider."""
    op_types = [row.op_type for row in rows]
    return [
        theme.plain(row.op_type, limit=34)
        + (f" ({_provider(row)})" if op_types.count(row.op_type) > 1 else "")
        for row in rows
    ]


def _provider(row: PoolRow) -> str:
    return theme.plain(theme.provider_label(row.provider), limit=20)
