"""The modules of a model, from the whole down to single nodes, as wide as they are slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from ortlab.analysis.naming import module_blocks, modules
from ortlab.analysis.naming.module_blocks import Block
from ortlab.analysis.profiles import parts
from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.trace import Profile

_ROW_PX = 30
_MAX_ROWS_PX = 620
# A letter of the 12 px font, on the narrowest page the house draws for; wider pages have room left.
_LETTER_SHARE = 7.2 / 730
_LIGHTER_BY_DEPTH = (0.0, 0.1, 0.2, 0.3, 0.38)
_NODE_LIGHTER = 0.55
_REST_LIGHTER = 0.74
MIXED_COLOR = "#8C8A85"
DOUBT_COLOR = "#A9A7A2"
_DOUBTS = {"launch": "launch time, not the work", "wait": "wait for the device",
           "profiler": "mostly the profiler itself"}  # fmt: skip
# The page shows through between blocks, on light and on dark ground.
_GAP_SHARE = 0.0012
SELECTED_COLOR = "#E69F00"


def flame(
    blocks: Sequence[Block],
    *,
    runs: int,
    selected: int | None = None,
    claimed: bool = True,
) -> go.Figure:
    """Blocks under blocks; `customdata` is the position of each.

    Args:
        blocks: of `ortlab.analysis.naming.module_blocks`; the first is the whole picture.
        runs: that the times cover; the picture tells times per run.
        selected: position of the block to be outlined.
        claimed: tell shares; where none can be claimed, times are told instead.
    """
    if not blocks or not blocks[0].width_us:
        return theme.empty("Time by module", "The profile holds no node time.")
    per_run = max(1, runs)
    rows = 1 + max(block.depth for block in blocks)
    traces = [_bars(blocks, runs=per_run, selected=selected, claimed=claimed)]
    figure = theme.figure(
        traces, height=min(_MAX_ROWS_PX, _ROW_PX * rows) + 16, barmode="overlay", bargap=0.06,
        margin={"l": 0, "r": 0, "t": 8, "b": 8}, dragmode=False,
        uniformtext={"minsize": 12, "mode": "hide"},
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1], visible=False, fixedrange=True)
    return figure.update_yaxes(range=[rows - 0.5, -0.5], visible=False, fixedrange=True)


def _bars(blocks: Sequence[Block], *, runs: int, selected: int | None, claimed: bool) -> go.Bar:
    whole = blocks[0].width_us
    colors = [_color(block) for block in blocks]
    told = [_told(block, runs=runs, claimed=claimed) for block in blocks]
    shares = [block.width_us / whole for block in blocks]
    chosen = [at == selected for at in range(len(blocks))]
    return go.Bar(
        orientation="h",
        base=[round(block.start_us / whole, 5) for block in blocks],
        x=[round(max(share - _GAP_SHARE, share * 0.6), 5) for share in shares],
        y=[block.depth for block in blocks],
        customdata=list(range(len(blocks))),
        text=[_fitting(*row) for row in zip(blocks, shares, told, strict=True)],
        textposition="inside", insidetextanchor="start", textangle=0, constraintext="none",
        textfont={"size": 12, "color": [theme.text_on(color) for color in colors]},
        hovertext=[_hover(block, runs=runs, claimed=claimed) for block in blocks],
        hoverinfo="text",
        marker={"color": colors, "line": _outline(chosen)},
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


def of_profile(profile: Profile) -> go.Figure:
    """The whole model of a profile by module, as far as its names tell."""
    tree = modules.tree(profile, device=True)
    shown = module_blocks.blocks(tree, profile, tree.root)
    runs = profile.counted_runs or len(profile.runs)
    return flame(shown, runs=runs, claimed=parts.claims_shares(profile))


def _outline(chosen: Sequence[bool]) -> dict[str, Any]:
    if not any(chosen):
        return {"width": 0}
    return {"width": [3 if c else 0 for c in chosen], "color": SELECTED_COLOR}


def _color(block: Block) -> str:
    if block.doubt:
        color = DOUBT_COLOR
    else:
        color = theme.color(block.provider) if block.provider else MIXED_COLOR
    if block.kind != "module":
        return theme.lighter(color, _NODE_LIGHTER if block.kind == "node" else _REST_LIGHTER)
    depth = min(block.depth, len(_LIGHTER_BY_DEPTH) - 1)
    return theme.lighter(color, _LIGHTER_BY_DEPTH[depth])


def _told(block: Block, *, runs: int, claimed: bool) -> str:
    return units.share(block.share) if claimed else units.time(block.width_us / runs)


def _fitting(block: Block, share: float, told: str) -> str:
    """As much of the name, and of what is told of it, as the block has room for."""
    room = int((share - _GAP_SHARE) / _LETTER_SHARE) - 1
    if room < 3:
        return ""
    label = _label(block)
    if len(label) + 2 + len(told) <= room:
        return theme.plain(f"{label}  {told}", limit=room)
    # Two letters and dots say nothing, nor does half a number.
    least = len(label) if block.kind == "rest" else min(5, len(label))
    return theme.plain(label, limit=room) if room >= least else ""


def _label(block: Block) -> str:
    """The name; without modules the blocks on top are providers."""
    if block.kind == "module" and block.label == block.provider:
        return theme.provider_label(block.provider)
    return block.label


def _hover(block: Block, *, runs: int, claimed: bool) -> str:
    name = "/".join(block.path) if block.kind == "module" else block.label
    name = _label(block) if block.label == block.provider else name
    lines = [f"<b>{theme.plain(name or block.label, limit=80)}</b>"]
    if block.op_type and block.op_type != block.label:
        lines.append(theme.plain(block.op_type, limit=50))
    share = f", {units.share(block.share)}" if claimed else ""
    lines.append(f"{units.time(block.width_us / runs)} per run{share}")
    if block.doubt:
        lines.append(_DOUBTS.get(block.doubt, block.doubt))
    count = "" if block.kind == "node" else f"{units.count(block.node_count)} nodes, "
    lines.append(f"{count}{units.count(block.calls / runs)} calls per run")
    if block.provider:
        lines.append(theme.plain(theme.provider_label(block.provider), limit=40))
    return "<br>".join(lines)
