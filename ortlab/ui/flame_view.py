"""Flame: the time by module, from the model to a layer, to its parts, to their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ortlab.analysis.naming import module_blocks, modules
from ortlab.analysis.naming.module_blocks import Block
from ortlab.analysis.naming.modules import Module, ModuleTree
from ortlab.analysis.profiles import parts
from ortlab.catalog import providers
from ortlab.domain import units
from ortlab.domain.trace import Profile
from ortlab.ui import operators_view, selection, table_view, words
from ortlab.ui.table_view import Column
from ortlab.ui.trees import Scopes, tree_of

_CHART = "flame"
_TABLE = "flame-table"
_SENT_ROWS = 300
_COLUMNS = (
    Column("name", "Module"),
    Column("share", "Share", "share", "Of all node time."),
    Column("cumulative_share", "Running share", "percent", "Of this row and all rows above it."),
    Column("p50_us", "Typical run", "time", "Sum of its nodes' own median times per run."),
    Column("self_us", "All runs", "time"),
    Column("calls", "Calls", "count"),
    Column("node_count", "Nodes", "count"),
)


def show(profile: Profile, scopes: Scopes | None = None) -> None:
    """The answer in a sentence, the picture of the module that is looked into, and its table."""
    if not profile.nodes:
        st.info("The profile holds no node events, so no module has taken any time.",
                icon=":material/info:")  # fmt: skip
        return
    tree = tree_of(profile, scopes, device=True)
    claimed = parts.claims_shares(profile)
    st.markdown(answer(tree, profile))
    operators_view.doubts(profile)
    selection.breadcrumb()
    path = selection.selected_module()
    inside = modules.find(tree, path)
    if inside is None:
        st.caption("This profile has no such module; the whole model is shown.")
        inside = tree.root
    blocks = module_blocks.blocks(tree, profile, inside)
    _chart(tree, blocks, profile, claimed=claimed)
    st.caption(" ".join([_READING[tree.grouped_by], *_notes(tree, profile, blocks)]))
    with st.expander("Table", icon=":material/table:"):
        _table(inside, claimed=claimed)


_NO_MODULES = (
    "Neither the names of the nodes nor the model's metadata tell modules, so the blocks are "
    "provider, operator and node."
)
_READING = {
    "module": "Widths are time, left to right is the order of execution. Click a module to look "
    "into it, a node to select it.",
    "operator": "Widths are time. Click a block to look into it, a node to select it.",
}


def answer(tree: ModuleTree, profile: Profile) -> str:
    """The costliest part of a layer in one sentence, as Markdown."""
    found = modules.headline(tree)
    if not parts.claims_shares(profile):
        return "**No share of the work can be told from this profile.**"
    if found is None:
        return _by_operator(tree)
    name = words.safe("/".join(found.module.path), limit=120) or "The model itself"
    text = f"**{name}** takes **{units.share(found.module.share)}** of the node time"
    if found.stack is None:
        return text + "."
    stack = found.stack
    where = words.safe("/".join((*stack.parent, stack.stem)), limit=90)
    layers = f"the {len(stack.members)} layers" + (f" **{where}**" if where else " alike")
    return f"{text}; {layers} together **{units.share(stack.share)}**."


def _by_operator(tree: ModuleTree) -> str:
    """The costliest operator, for a profile that tells no modules."""
    found = max((op for provider in tree.root.children for op in provider.children),
                key=lambda m: m.total_us, default=None)  # fmt: skip
    if found is None:
        return "**The nodes took no time that could be measured.**"
    provider = words.safe(providers.label(found.path[0]), limit=40)
    return (f"**{words.safe(found.name, limit=60)}** on {provider} takes "
            f"**{units.share(found.share)}** of the node time.")  # fmt: skip


def _notes(tree: ModuleTree, profile: Profile, blocks: Sequence[Block]) -> list[str]:
    """What the reader has to know of what is drawn, and of how nodes came to their modules."""
    notes = []
    if len(blocks) >= module_blocks.MAX_BLOCKS:
        notes.append(f"Only the {module_blocks.MAX_BLOCKS} widest blocks are drawn; inside a "
                     "module there are more.")  # fmt: skip
    if tree.grouped_by == "operator":
        return [*notes, _NO_MODULES]
    placed = len(tree.placed_by_order)
    if placed:
        notes.append(f"{units.count(placed)} of {units.count(len(profile.nodes))} nodes have "
                     "names that tell no module (ONNX Runtime made them); they are put where the "
                     "nodes before and after them are.")  # fmt: skip
    lost = len(profile.nodes) - tree.told_count - placed
    if lost:
        more = "more" if placed else "nodes" if lost > 1 else "node"
        tells = "without such a name stay" if lost > 1 else "without such a name stays"
        notes.append(f"{units.count(lost)} {more} {tells} in the model itself.")
    if any(node.time_kind == "device" for node in profile.nodes):
        notes.append("Time on the device is counted where the file has it.")
    return notes


def _chart(tree: ModuleTree, blocks: Sequence[Block], profile: Profile, *, claimed: bool) -> None:
    from ortlab.charts import flame, theme

    figure = flame.flame(
        blocks,
        runs=profile.counted_runs or len(profile.runs),
        selected=module_blocks.holding(blocks, tree, selection.selected_node()),
        claimed=claimed,
    )
    st.plotly_chart(
        figure, key=selection.widget_key(_CHART), selection_mode="points",
        on_select=selection.on_points(_CHART, lambda at: _choose(blocks, at)),
        config=theme.CONFIG | {"displayModeBar": False},
        alt="Time by module as blocks under blocks; the table below has the numbers",
    )  # fmt: skip


def _choose(blocks: Sequence[Block], at: Any) -> None:
    """What a click on a block means: a node, or a look into a module; on top, a step back."""
    if not isinstance(at, int) or not 0 <= at < len(blocks):
        return
    block = blocks[at]
    if block.node is not None:
        selection.select_node(block.node, by=_CHART)
    else:
        selection.select_module(block.path[:-1] if at == 0 else block.path)


def _table(inside: Module, *, claimed: bool) -> None:
    found = parts.by_module(inside, claimed=claimed)
    rows = [
        {"name": providers.label(p.name) if p.name.endswith("ExecutionProvider") else p.name,
         "share": p.share, "cumulative_share": p.cumulative_share, "p50_us": p.p50_us,
         "self_us": p.self_us, "calls": p.calls, "node_count": p.node_count}
        for p in found
    ]  # fmt: skip
    if not rows:
        st.caption("Nothing lies deeper in this module.")
        return
    table_view.show(
        rows, _COLUMNS, key=selection.widget_key(_TABLE), alt="Time by module", name="modules",
        limit=_SENT_ROWS, on_row=lambda at: selection.select_module(found[at].path),
    )  # fmt: skip
