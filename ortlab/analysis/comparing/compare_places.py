"""What became of what: unmatched nodes that stand at the same place of two graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ortlab.analysis.comparing.compare_match import Matching, Pair, Place
from ortlab.analysis.comparing.compare_names import canonical
from ortlab.analysis.naming.module_names import module_path
from ortlab.domain.compare import GroupChange, GroupKind
from ortlab.domain.trace import NodeRow

Path = tuple[str, ...]


class Times(NamedTuple):
    """The nodes of one side in order of execution, and the own time of each per run."""

    rows: Sequence[NodeRow]
    us: Sequence[float]

    def total(self, numbers: Sequence[int]) -> float:
        """Own time per run of some nodes."""
        return sum(self.us[i] for i in numbers)

    def names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.rows[i].name for i in numbers)

    def plain(self, number: int) -> str:
        """The name of a node without what ONNX Runtime added."""
        return canonical(self.rows[number].name, self.rows[number].op_type)

    def module(self, number: int) -> Path:
        """The module that a node's name tells."""
        return module_path(self.rows[number].name)


def groups(found: Matching, base: Times, other: Times) -> tuple[GroupChange, ...]:
    """Fusions and their opposite, as far as names and order tell; the largest change first."""
    made = [group for place in found.places for group in _of_place(place, base, other)]
    return tuple(sorted(made, key=lambda group: -abs(group.delta_us)))


def _of_place(place: Place, base: Times, other: Times) -> list[GroupChange]:
    removed, added = place.removed, place.added
    if removed and added and _same_work(place, base, other):
        return [_group("replaced", None, removed, added, base, other)]
    made = []
    if place.anchor is not None:
        folded = _belonging(removed, base, place.anchor.base, other.plain(place.anchor.other))
        split = _belonging(added, other, place.anchor.other, base.plain(place.anchor.base))
        if folded:
            made.append(_group("folded", place.anchor, folded, (), base, other))
        if split:
            made.append(_group("split", place.anchor, (), split, base, other))
    return made


def _same_work(place: Place, base: Times, other: Times) -> bool:
    """Whether the added nodes may have come from the removed: a common module, or no names."""
    modules = [base.module(i) for i in place.removed]
    for number in place.added:
        module = other.module(number)
        if not module or any(_near(module, m) for m in modules):
            return True
    return not any(modules)


def _belonging(
    numbers: Sequence[int], times: Times, anchor: int, counterpart: str
) -> tuple[int, ...]:
    """The first of them without a gap that belong to the node before them.

    They lie in its module, or come before the one that its counterpart is called after: a fused
    node has the name of the last thing that it does.
    """
    around = times.module(anchor)
    named = [k for k, number in enumerate(numbers) if times.plain(number) == counterpart]
    kept = list(numbers[: named[-1] + 1]) if named else []
    for number in numbers[len(kept) :]:
        if not _near(around, times.module(number)):
            break
        kept.append(number)
    return tuple(kept)


def _near(first: Path, second: Path) -> bool:
    """The same module, or one directly inside the other; without a module nothing is told."""
    shorter, longer = sorted((first, second), key=len)
    return bool(shorter) and longer[: len(shorter)] == shorter and len(longer) - len(shorter) <= 1


def _group(
    kind: GroupKind,
    anchor: Pair | None,
    removed: Sequence[int],
    added: Sequence[int],
    base: Times,
    other: Times,
) -> GroupChange:
    base_us, other_us = base.total(removed), other.total(added)
    if anchor is not None:
        base_us, other_us = base_us + base.us[anchor.base], other_us + other.us[anchor.other]
    into = None
    if anchor is not None:
        into = other.rows[anchor.other].name if kind == "folded" else base.rows[anchor.base].name
    return GroupChange(
        kind=kind,
        into=into,
        removed=base.names(removed),
        added=other.names(added),
        base_us=base_us,
        other_us=other_us,
        delta_us=other_us - base_us,
    )
