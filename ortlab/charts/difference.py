"""What changed between two recordings: by module as a flame, by operator as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from ortlab.analysis.comparing.compare_blocks import Block, blocks
from ortlab.analysis.comparing.compare_text import signed
from ortlab.charts import theme
from ortlab.charts.flame import SELECTED_COLOR
from ortlab.domain import units
from ortlab.domain.compare import NOT_WORK, Difference, OperatorChange

OPERATOR_LIMIT = 14
# A shorter bar is not seen beside the longest.
_BAR_SHARE = 0.005
_ROW_PX = 30
_MAX_ROWS_PX = 620
# A letter of the 12 px font, on the narrowest page the house draws for; wider pages have room left.
_LETTER_SHARE = 7.2 / 730
UNCHANGED_COLOR = "#8C8A85"
LAUNCH_COLOR = "#A9A7A2"
# From this change on a block has the full colour: a third of the time gone, or half as much more.
_FULL_CHANGE = 1 / 3
# A part of less than that is no figure.
_TINY_US = 0.01
# The page shows through between blocks, on light and on dark ground.
_GAP_SHARE = 0.0012
_HATCH = {"slower": "/", "added": "x", "removed": "\\"}
"""A second mark beside colour; what is faster has none."""
_MARKS = {"faster": "▼", "slower": "▲", "added": "+", "removed": "−", "same": "", "launch": ""}


def flame(found: Difference, *, selected: int | None = None) -> go.Figure:
    """The modules of both, as wide as the slower side and coloured by the change.

    The node of `base` whose `NodeRow.order` is `selected` has an outline.

    A module without a profile on either side gives a titled, empty figure.
    """
    shown = blocks(found)
    if not shown:
        return theme.empty("Difference by module", "There is no node time to compare.")
    rows = 1 + max(block.depth for block in shown)
    figure = theme.figure(
        [_bars(shown, floor=found.floor_share, selected=selected)],
        height=min(_MAX_ROWS_PX, _ROW_PX * rows) + 16,
        barmode="overlay",
        bargap=0.06,
        margin={"l": 0, "r": 0, "t": 8, "b": 8},
        dragmode=False,
        uniformtext={"minsize": 12, "mode": "hide"},
    )
    figure.update_xaxes(range=[0, 1], visible=False, fixedrange=True)
    return figure.update_yaxes(range=[rows - 0.5, -0.5], visible=False, fixedrange=True)


def bars(found: Difference, *, limit: int = OPERATOR_LIMIT) -> go.Figure:
    """Change of node time per run by operator, and of the time between nodes."""
    rows = _bar_rows(found, limit)
    if not rows:
        return theme.empty("Difference by operator", "No node takes another time.")
    unit = units.time_unit([row.delta_us for row in rows])
    labels = [theme.plain(row.label, limit=34) for row in rows]
    trace = go.Bar(
        orientation="h",
        y=labels,
        x=[row.delta_us / unit[0] for row in rows],
        text=[f"{_MARKS[row.kind]} {signed(row.delta_us, unit=unit)}".strip() for row in rows],
        textposition="outside", cliponaxis=False, hoverinfo="none", textfont={"size": 13},
        marker={
            "color": [_FLAT[row.kind] for row in rows],
            "pattern": {"shape": [_HATCH.get(row.kind, "") for row in rows],
                        "fillmode": "overlay"},
            "line": {"width": 1, "color": theme.OUTLINE_COLOR},
        },
    )  # fmt: skip
    figure = theme.figure([trace], height=_ROW_PX * len(rows) + 84, bargap=0.3)
    figure.update_layout(margin={"t": 12, "b": 48})
    figure.update_xaxes(
        title=f"change per run, {unit[1]}; left is saved", zeroline=True,
        range=_padded([row.delta_us / unit[0] for row in rows]),
        zerolinecolor=theme.OUTLINE_COLOR,
    )  # fmt: skip
    return figure.update_yaxes(
        categoryorder="array", categoryarray=labels[::-1], automargin=True, showgrid=False
    )


_FLAT = {"faster": theme.BETTER_COLOR, "slower": theme.WORSE_COLOR, "launch": LAUNCH_COLOR,
         "same": UNCHANGED_COLOR}  # fmt: skip


class _Row(NamedTuple):
    """One bar: what it is of, the change, and how it is marked."""

    label: str
    delta_us: float
    kind: str


def _bar_rows(found: Difference, limit: int) -> list[_Row]:
    changed = [row for row in found.operators if row.delta_us]
    least_us = _BAR_SHARE * max((abs(row.delta_us) for row in changed), default=0.0)
    shown = [row for row in changed[:limit] if abs(row.delta_us) >= least_us]
    rows = [_bar_row(row, found.floor_share) for row in shown]
    rest = changed[len(shown) :]
    if rest:
        delta_us = sum(row.delta_us for row in rest)
        sides = (sum(r.base_us for r in rest), sum(r.other_us for r in rest))
        kind = _marked(delta_us, sides, found.floor_share)
        rows.append(_Row(f"{len(rest)} other operator{'s' * (len(rest) != 1)}", delta_us, kind))
    base, other = found.base.between_us, found.other.between_us
    if rows and base is not None and other is not None:
        kind = _marked(other - base, (base, other), found.floor_share)
        rows.append(_Row("between nodes", other - base, kind))
    return rows


def _bar_row(row: OperatorChange, floor: float) -> _Row:
    if row.time_kind in NOT_WORK:
        return _Row(f"{row.op_type}, launches", row.delta_us, "launch")
    kind = _marked(row.delta_us, (row.base_us, row.other_us), floor)
    return _Row(row.op_type, row.delta_us, kind)


def _marked(delta_us: float, sides: tuple[float, float], floor: float) -> str:
    """Faster or slower, where the change is more than two recordings of the same show."""
    return "same" if abs(delta_us) < floor * max(map(abs, sides)) else _direction(delta_us)


def _padded(values: Sequence[float]) -> list[float]:
    """An axis with room for the figures outside the bars."""
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.22 * ((high - low) or 1.0)
    return [low - room * (low < 0), high + room * (high > 0)]


def _bars(shown: Sequence[Block], *, floor: float, selected: int | None) -> go.Bar:
    whole = shown[0].width_us
    shares = [block.width_us / whole for block in shown]
    kinds = [_kind(block, floor) for block in shown]
    colors = [_color(block, kind) for block, kind in zip(shown, kinds, strict=True)]
    chosen = [selected is not None and _key(block) == f"n:{selected}" for block in shown]
    return go.Bar(
        orientation="h",
        base=[round(block.start_us / whole, 5) for block in shown],
        x=[round(max(share - _GAP_SHARE, share * 0.6), 5) for share in shares],
        y=[block.depth for block in shown],
        customdata=[_key(block) for block in shown],
        text=[
            _fitting(block, kind, share)
            for block, kind, share in zip(shown, kinds, shares, strict=True)
        ],
        textposition="inside", insidetextanchor="start", textangle=0, constraintext="none",
        textfont={"size": 12, "color": [theme.text_on(color) for color in colors]},
        hovertext=[_hover(b, kind) for b, kind in zip(shown, kinds, strict=True)],
        hoverinfo="text",
        marker={
            "color": colors,
            "line": {"width": [3 if c else 0 for c in chosen], "color": SELECTED_COLOR},
            "pattern": {
                "shape": [_HATCH.get(kind, "") for kind in kinds], "fillmode": "overlay",
                "size": 7, "solidity": 0.12,
            },
        },
        selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
    )  # fmt: skip


def _key(block: Block) -> str:
    """What a click selects: a node of `base` by its number."""
    return f"n:{block.order}" if block.kind in ("both", "removed") else ""


def _kind(block: Block, floor: float) -> str:
    """What became of a block; a change that two recordings of the same show as well is none."""
    if block.launches:
        return "launch"
    if block.kind in ("added", "removed"):
        return block.kind
    return "same" if abs(_change(block)) < floor else _direction(block.delta_us)


def _direction(delta_us: float) -> str:
    return "faster" if delta_us < 0 else "slower" if delta_us > 0 else "same"


def _change(block: Block) -> float:
    """The change as a part of the slower side, below zero where time is saved."""
    return block.delta_us / (max(block.base_us, block.other_us) or 1.0)


def _color(block: Block, kind: str) -> str:
    if kind == "launch":
        return LAUNCH_COLOR
    if kind == "same":
        return UNCHANGED_COLOR
    strong = theme.BETTER_COLOR if kind in ("faster", "removed") else theme.WORSE_COLOR
    return _between(UNCHANGED_COLOR, strong, min(1.0, abs(_change(block)) / _FULL_CHANGE))


def _between(first: str, second: str, part: float) -> str:
    pairs = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * part):02X}" for a, b in pairs)


def _told(block: Block, kind: str) -> str:
    """The change in short words, so that colour says nothing that text does not."""
    if kind == "launch":
        return "launch or wait"
    if kind in ("added", "removed"):
        return f"{_MARKS[kind]} {kind}"
    if kind == "same":
        return ""
    if min(block.base_us, block.other_us) < _TINY_US:
        return f"{_MARKS[kind]} {signed(block.delta_us)}"
    return f"{_MARKS[kind]} {units.change(block.base_us / block.other_us)}"


def _fitting(block: Block, kind: str, share: float) -> str:
    """As much of name and change as the block has room for."""
    letters = int(share / _LETTER_SHARE)
    told = _told(block, kind)
    # The end of a pair's name is that of the other side; one is enough here.
    name = block.label.split(" → ", 1)[0].rsplit("/", 1)[-1] if block.kind == "both" else (
        block.label.strip("/").rsplit("/", 1)[-1]
    )  # fmt: skip
    spoken = (f"{name} {told}", f"{name} {_MARKS[kind]}", told, _MARKS[kind])
    fitting = (text.strip() for text in spoken if 0 < len(text.strip()) <= letters)
    return theme.plain(next(fitting, ""), limit=120)


def _hover(block: Block, kind: str) -> str:
    lines = [f"<b>{theme.plain(block.label, limit=90)}</b>"]
    around = "/".join(block.path[:-1])
    # Most names hold their modules; what is sent once must not be sent twice.
    if around and "/" not in block.label:
        lines.append(f"in {theme.plain(around, limit=90)}")
    unit = units.time_unit([max(block.base_us, block.other_us)])
    lines.append(
        f"{units.time(block.base_us, unit=unit)} → {units.time(block.other_us, unit=unit)} per "
        f"run, {signed(block.delta_us, unit=unit)}"
    )
    told = _told(block, kind) or "no clear change"
    lines.append(told + (f", {units.count(block.node_count)} nodes" * (block.node_count > 1)))
    return "<br>".join(lines)
