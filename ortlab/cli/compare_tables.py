"""A comparison as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Group, RenderableType

from ortlab.analysis.comparing import compare_text
from ortlab.analysis.comparing.compare_text import signed
from ortlab.catalog.providers import label as provider_label
from ortlab.cli.tables import _heading, _table, _text
from ortlab.domain import units
from ortlab.domain.compare import NOT_WORK, Difference, GroupChange, LoneNode, NodeChange, Side

TOP_NODES = 15
TOP_OPERATORS = 12
TOP_GROUPS = 8
_SHOWN_NAMES = 3


def difference(found: Difference, *, top: int | None = None) -> RenderableType:
    """The summary, the two sides, configurations, operators, nodes, and what to doubt."""
    return Group(
        _heading(f"{found.base.label} against {found.other.label}"),
        _text([compare_text.summary(found)]),
        *_configurations(found),
        *_sides(found.base, found.other),
        *_profiles(found, TOP_NODES if top is None else top),
        _text([f"! {notice.message}" for notice in found.caveats]),
    )


def _configurations(found: Difference) -> Iterator[RenderableType]:
    if found.configurations is None:
        return
    rows: list[tuple[str, ...]] = [
        (row.label, units.time(row.base_p50_us), units.time(row.other_p50_us),
         *_ratio(row.ratio, row.ci95), row.verdict)
        for row in found.configurations.rows
    ]  # fmt: skip
    lone = [("removed", found.configurations.removed), ("added", found.configurations.added)]
    rows += [
        (row.label, *_two(units.time(row.p50_us), word == "added"), "", "", word)
        for word, some in lone for row in some
    ]  # fmt: skip
    yield _table(("configuration", "base p50", "other p50", "ratio", "95 %", "verdict"), rows)


def _sides(base: Side, other: Side) -> Iterator[RenderableType]:
    pairs = [(name, of(base), of(other)) for name, of in _FACTS]
    told = [row for row in pairs if {row[1], row[2]} != {units.MISSING}]
    yield _table(("", "base", "other"), told)


_FACTS: tuple[tuple[str, Callable[[Side], str]], ...] = (
    ("recorded as", lambda s: s.source),
    ("runs counted", lambda s: units.count(s.run_count)),
    ("run, p50", lambda s: units.time(s.run_p50_us)),
    ("without the profiler", lambda s: units.time(s.unprofiled_p50_us)),
    ("node time per run", lambda s: units.time(s.node_us)),
    ("between nodes", lambda s: units.time(s.between_us)),
    ("nodes", lambda s: units.count(s.node_count)),
    ("copies per run", lambda s: units.time(s.copy_us) if s.copy_count else units.MISSING),
    ("session opened in", lambda s: units.time(s.init_us)),
    ("providers", lambda s: ", ".join(map(provider_label, s.providers)) or units.MISSING),
    ("ONNX Runtime", lambda s: s.onnxruntime_version or s.format_version or units.MISSING),
    ("trust", lambda s: s.grade or units.MISSING),
)


def _profiles(found: Difference, top: int) -> Iterator[RenderableType]:
    """Operators and nodes, where both sides have a profile."""
    if not (found.nodes or found.added or found.removed):
        return
    unit = units.time_unit([max(o.base_us, o.other_us) for o in found.operators])
    operators = [
        (o.op_type + ", launches" * (o.time_kind in NOT_WORK), units.time(o.base_us, unit=unit),
         units.time(o.other_us, unit=unit), signed(o.delta_us, unit=unit),
         f"{o.base_node_count} → {o.other_node_count}")
        for o in found.operators[:TOP_OPERATORS]
    ]  # fmt: skip
    yield _table(("operator", "base, per run", "other, per run", "change", "nodes"), operators)
    yield _text([compare_text.counts(found)])
    columns = ("node", "operator", "base p50", "other p50", "change per run", "ratio", "95 %",
               "verdict", "matched by")  # fmt: skip
    yield _table(columns, [_node(node) for node in found.nodes[:top]])
    lone = [*_lone("removed", found.removed[:top]), *_lone("added", found.added[:top])]
    yield _table(("", "node", "operator", "provider", "per run"), lone)
    groups = [
        (g.kind, *_became(g), units.time(g.base_us), units.time(g.other_us), signed(g.delta_us))
        for g in found.groups[:TOP_GROUPS]
    ]  # fmt: skip
    yield _table(("probably", "these", "became", "base", "other", "change"), groups)


def _node(node: NodeChange) -> tuple[str, ...]:
    verdict = f"{node.time_kind} times" if node.time_kind in NOT_WORK else node.verdict
    return (
        compare_text.name(node), compare_text.op_type(node), units.time(node.base_p50_us),
        units.time(node.other_p50_us), signed(node.delta_us), *_ratio(node.ratio, node.ci95),
        verdict, node.match,
    )  # fmt: skip


def _became(group: GroupChange) -> tuple[str, str]:
    """What a group was on one side and on the other."""
    if group.kind == "folded":
        return _names(group.removed), f"part of {group.into}"
    if group.kind == "split":
        return f"part of {group.into}", _names(group.added)
    return _names(group.removed), _names(group.added)


def _lone(word: str, nodes: Sequence[LoneNode]) -> list[tuple[str, ...]]:
    return [(word, n.name, n.op_type, provider_label(n.provider), units.time(n.us)) for n in nodes]


def _names(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _ratio(ratio: float | None, ci95: tuple[float, float] | None) -> tuple[str, str]:
    if ci95 is None:
        return units.speedup(ratio), units.MISSING
    return units.speedup(ratio), f"{units.speedup(ci95[0])} to {units.speedup(ci95[1])}"


def _two(text: str, second: bool) -> tuple[str, str]:
    return (units.MISSING, text) if second else (text, units.MISSING)
