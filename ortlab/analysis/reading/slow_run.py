"""Why one run took longer than the others: its nodes beside those of the median run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low
from typing import TypeAlias

from msgspec import Struct

from ortlab.domain.trace import Run, TraceEvent


class NodeBeside(Struct, frozen=True, kw_only=True):
    """Own time of one node in a run and in the median run, bodies inside left out."""

    name: str
    op_type: str
    provider: str
    us: int
    usual_us: int
    calls: int
    usual_calls: int
    is_device: bool = False
    """What a device did; its time is in that of its node already."""

    @property
    def more_us(self) -> int:
        """How much longer than in the median run."""
        return self.us - self.usual_us


class RunBeside(Struct, frozen=True, kw_only=True):
    """A run beside the median run of its session."""

    run: Run
    usual: Run
    nodes: tuple[NodeBeside, ...]
    """The ones that differ most first."""

    @property
    def more_us(self) -> int:
        """How much longer the run took."""
        return self.run.duration_us - self.usual.duration_us

    @property
    def nodes_more_us(self) -> int:
        """Part of it inside nodes; the rest is between them."""
        return sum(row.more_us for row in self.nodes if not row.is_device)


def median_run(runs: Sequence[Run], *, rather_than: int | None = None) -> Run:
    """The run of median duration among the whole steady ones; of all where there is none.

    Args:
        runs: at least one.
        rather_than: index of a run that is taken only where no other is as near.
    """
    whole = [run for run in runs if not run.partial] or list(runs)
    steady = [run for run in whole if not run.warmup] or whole
    middle = median_low(run.duration_us for run in steady)
    return min(steady, key=lambda run: (abs(run.duration_us - middle), run.index == rather_than))


def usual_run(runs: Sequence[Run], of: Run) -> Run:
    """The median run of the session of `of`: `of` itself where there is no other."""
    session = [run for run in runs if run.session == of.session] or [of]
    return median_run(session, rather_than=of.index)


def beside(
    run: Run, usual: Run, *, events: Sequence[TraceEvent], usual_events: Sequence[TraceEvent]
) -> RunBeside:
    """The nodes of a run beside the same nodes of the median run, by name and operator."""
    here, there = _by_node(events), _by_node(usual_events)
    rows = [
        NodeBeside(
            name=key[0],
            op_type=key[1],
            provider=key[2],
            us=here.get(key, (0, 0))[0],
            usual_us=there.get(key, (0, 0))[0],
            calls=here.get(key, (0, 0))[1],
            usual_calls=there.get(key, (0, 0))[1],
            is_device=key[3],
        )
        for key in dict.fromkeys((*here, *there))
    ]
    rows.sort(key=lambda row: -abs(row.more_us))
    return RunBeside(run=run, usual=usual, nodes=tuple(rows))


_Key: TypeAlias = tuple[str, str, str, bool]


def _by_node(events: Sequence[TraceEvent]) -> dict[_Key, tuple[int, int]]:
    found: dict[_Key, tuple[int, int]] = {}
    for event in events:
        key = (event.name, event.op_type, event.provider, event.is_device)
        us, calls = found.get(key, (0, 0))
        found[key] = us + event.self_us, calls + 1
    return found
