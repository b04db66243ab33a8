"""One tree of modules for the nodes of two profiles, so that a layer has one place in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ortlab.analysis.comparing.compare_match import Matching
from ortlab.analysis.comparing.compare_names import operator_name
from ortlab.analysis.naming.module_names import leaf
from ortlab.analysis.naming.modules import ModuleTree
from ortlab.domain.trace import NodeRow

Path = tuple[str, ...]
Scopes = Mapping[str, Path]


class Paths(NamedTuple):
    """For every node of both sides its modules and its name; a pair has the same on both."""

    of_base: list[Path]
    of_other: list[Path]


def paths(
    trees: tuple[ModuleTree, ModuleTree],
    found: Matching,
    rows: tuple[Sequence[NodeRow], Sequence[NodeRow]],
) -> Paths:
    """The path of every node, by module where both profiles tell modules, else by operator."""
    by_module = all(tree.grouped_by == "module" for tree in trees)
    made: list[list[Path]] = [
        [
            (*tree.path_of.get(row.order, ()), leaf(row.name) or row.op_type)
            if by_module
            else (operator_name(row.op_type) or "unknown", row.name or row.op_type)
            for row in side
        ]
        for tree, side in zip(trees, rows, strict=True)
    ]
    for pair in found.pairs:
        made[1][pair.other] = made[0][pair.base]
    return Paths(made[0], made[1])
