"""Provider, operator, node: the whole run as one picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import plotly.graph_objects as go

from ortlab.charts import theme
from ortlab.domain import units
from ortlab.domain.trace import NodeRow, Profile

LEAF_LIMIT = 240
"""More leaves cannot be told apart on a screen and make the browser slow."""
_LIGHTER_BY_DEPTH = (0.0, 0.12, 0.38)


def icicle(profile: Profile, *, leaf_limit: int = LEAF_LIMIT) -> go.Figure:
    """Self time split into provider, operator and node; the smallest nodes are one leaf each.

    Raises nothing: a profile without node time gives an empty figure.
    """
    nodes = [node for node in profile.nodes if node.self_us > 0]
    if not nodes:
        return theme.empty("Provider, operator, node", "The profile holds no node time.")
    cells = _Cells(
        runs=max(1, profile.counted_runs or len(profile.runs)), total=sum(n.self_us for n in nodes)
    )
    # Plotly leaves an empty row above several roots; one provider is a root by itself.
    several = len({node.provider for node in nodes}) > 1
    whole = cells.add("", "all nodes", nodes, provider="", depth=0) if several else ""
    costliest = sorted(nodes, key=lambda n: n.self_us, reverse=True)
    shown = {id(node) for node in costliest[:leaf_limit]}
    for provider, own in _grouped(nodes, "provider"):
        top = cells.add(whole, theme.provider_label(provider), own, provider=provider, depth=0)
        for op_type, members in _grouped(own, "op_type"):
            parent = cells.add(top, op_type, members, provider=provider, depth=1)
            _add_leaves(cells, parent, members, provider=provider, shown=shown)
    return theme.figure(
        [cells.trace()], height=430, margin={"l": 0, "r": 0, "t": 8, "b": 8},
        uniformtext={"minsize": 12, "mode": "hide"},
    )  # fmt: skip


class _Cells:
    """The rectangles as Plotly wants them: parallel lists."""

    def __init__(self, *, runs: int, total: int) -> None:
        self.runs, self.total = runs, total
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.parents: list[str] = []
        self.values: list[int] = []
        self.colors: list[str] = []
        self.hover: list[str] = []

    def add(
        self, parent: str, name: str, members: list[NodeRow], *, provider: str, depth: int
    ) -> str:
        """Put one rectangle under `parent`; returns its id."""
        # A number, not the name: ids are written into the page as they are.
        key = str(len(self.ids) + 1)
        value = sum(node.self_us for node in members)
        self.ids.append(key)
        self.labels.append(theme.plain(name, limit=40))
        self.parents.append(parent)
        self.values.append(value)
        self.colors.append(theme.lighter(theme.color(provider), _LIGHTER_BY_DEPTH[depth]))
        self.hover.append(
            f"<b>{theme.plain(name, limit=90)}</b><br>{units.time(value / self.runs)} per run, "
            f"{units.share(value / self.total)} of all node time<br>"
            f"{units.count(len(members))} node{'s' * (len(members) != 1)}"
            + (f" on {theme.plain(theme.provider_label(provider))}" if provider else "")
        )
        return key

    def trace(self) -> go.Icicle:
        """The finished trace."""
        return go.Icicle(
            ids=self.ids, labels=self.labels, parents=self.parents, values=self.values,
            branchvalues="total", hovertext=self.hover, hoverinfo="text", textinfo="label",
            marker={"colors": self.colors, "line": {"width": 1, "color": "#FFFFFF"}}, sort=True,
            tiling={"orientation": "v"}, pathbar={"visible": True, "thickness": 22},
            textfont={"color": [theme.text_on(c) for c in self.colors]},
        )  # fmt: skip


def _grouped(nodes: Iterable[NodeRow], field: str) -> list[tuple[str, list[NodeRow]]]:
    groups: dict[str, list[NodeRow]] = defaultdict(list)
    for node in nodes:
        groups[getattr(node, field)].append(node)
    return sorted(groups.items(), key=lambda item: -sum(n.self_us for n in item[1]))


def _add_leaves(
    cells: _Cells, parent: str, members: list[NodeRow], *, provider: str, shown: set[int]
) -> None:
    """One leaf for each costly node of an operator, and one for all the others together."""
    for node in members:
        if id(node) in shown:
            name = node.name or f"unnamed {node.op_type}"
            cells.add(parent, name, [node], provider=provider, depth=2)
    rest = [node for node in members if id(node) not in shown]
    if rest:
        cells.add(parent, f"{len(rest)} more", rest, provider=provider, depth=2)
