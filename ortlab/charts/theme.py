"""One look for every figure: provider colours, safe text, the empty figure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

# Plotly uses pandas where it finds it loaded, even half loaded by another thread, and fails on
# the half. Loaded here, it is whole before the first figure.
import pandas  # noqa: F401  # isort: skip
import plotly.graph_objects as go

from ortlab.catalog import providers

CONFIG: dict[str, Any] = {
    # Plotly's own toolbar offers to upload the chart; nothing leaves this machine.
    "showSendToCloud": False,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "responsive": True,
}

OTHER_COLOR = "#7F7F7F"
BETTER_COLOR = "#2166AC"
WORSE_COLOR = "#B35806"
OUTLINE_COLOR = "rgba(128,128,128,0.55)"
WHISKER_COLOR = "#8A8A8A"
HEAT = "Cividis"

_COLORS = {
    "CPUExecutionProvider": "#0072B2",
    "CUDAExecutionProvider": "#C77C02",
    "TensorrtExecutionProvider": "#009E73",
    "NvTensorRTRTXExecutionProvider": "#009E73",
    "OpenVINOExecutionProvider": "#CC79A7",
    "WebGpuExecutionProvider": "#7D6BD8",
    "DmlExecutionProvider": "#3A9FC4",
    "CoreMLExecutionProvider": "#C8402F",
    "QNNExecutionProvider": "#7F7A2E",
}
"""At least 3:1 on white and on the dark background; see docs for how they were chosen."""

# A second mark beside colour, for those who cannot tell some of the colours apart.
_PATTERNS = {
    "CPUExecutionProvider": "",
    "CUDAExecutionProvider": "",
    "TensorrtExecutionProvider": "",
    "NvTensorRTRTXExecutionProvider": "",
    "OpenVINOExecutionProvider": "",
    "WebGpuExecutionProvider": "/",
    "DmlExecutionProvider": "x",
    "CoreMLExecutionProvider": ".",
    "QNNExecutionProvider": "-",
}


def color(provider: str) -> str:
    """The one colour of a provider, by ORT's own name."""
    return _COLORS.get(provider, OTHER_COLOR)


def pattern(provider: str) -> str:
    """The bar pattern that tells a provider apart without its colour."""
    return _PATTERNS.get(provider, "\\")


def provider_label(provider: str) -> str:
    """`CUDA` for `CUDAExecutionProvider`; an unknown name loses only that ending."""
    return providers.label(provider) or "unknown"


def plain(text: str, *, limit: int = 60) -> str:
    """A foreign name as text that Plotly cannot read as markup, shortened in the middle."""
    flat = " ".join(text.split())
    if len(flat) > limit:
        head = (limit - 1) * 2 // 3
        flat = flat[:head] + "…" + flat[len(flat) - (limit - 1 - head) :]
    return html.escape(flat, quote=False)


def lighter(hex_color: str, amount: float) -> str:
    """A colour moved towards white by `amount` (0 to 1)."""
    parts = [int(hex_color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(c + (255 - c) * amount):02X}" for c in parts)


def text_on(hex_color: str) -> str:
    """Black or white, whichever is easier to read on this colour."""
    red, green, blue = (int(hex_color[i : i + 2], 16) for i in (1, 3, 5))
    # Rec. 709 weights; the border is where both contrasts are about equal.
    return "#16150F" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 140 else "#FFFFFF"


def figure(traces: Sequence[Any], *, height: int, **layout: Any) -> go.Figure:
    """A figure in the house's look: no frame, no background of its own."""
    made = go.Figure(list(traces))
    made.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 24, "b": 40},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13},
        hoverlabel={"align": "left"},
        showlegend=False,
    )
    made.update_xaxes(tickfont={"size": 12}, title_font={"size": 13})
    made.update_yaxes(tickfont={"size": 13}, title_font={"size": 13})
    return made.update_layout(**layout)


def legend_above(entries: int) -> dict[str, Any]:
    """Layout entries that put a legend over the plot without touching it; none for one entry."""
    if entries < 2:
        return {"margin": {"l": 8, "r": 8, "t": 12, "b": 40}}
    return {
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "title": None},
        "margin": {"l": 8, "r": 8, "t": 52, "b": 40},
    }


def empty(title: str, why: str = "") -> go.Figure:
    """A titled figure that says there is nothing to draw, and why."""
    made = figure([], height=180, title={"text": plain(title), "x": 0})
    made.add_annotation(
        text=plain(why or "Nothing to show.", limit=140), showarrow=False, xref="paper",
        yref="paper", x=0.5, y=0.5, font={"size": 14},
    )  # fmt: skip
    return made.update_xaxes(visible=False).update_yaxes(visible=False)
