"""Where each node was meant to run, where it ran, and what the difference costs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence

from msgspec import Struct

from ortlab.analysis.placement_log import PlacementLog, placement_log
from ortlab.domain.configuration import CPU
from ortlab.domain.placement import Crossing, Fallback, Partition, PlacedNode, Placement
from ortlab.domain.trace import NodeRow, Profile

Assigned = tuple[str, str, str]
"""Provider, node name, op type."""

# Shape arithmetic: works on a few integers, which ORT keeps on the CPU on purpose.
SHAPE_OPERATORS = frozenset({
    "Shape", "Size", "Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Cast", "Range",
    "ConstantOfShape", "Equal", "Where", "Add", "Sub", "Mul", "Div", "Mod", "Min", "Max",
    "ReduceProd",
})  # fmt: skip
# A tensor this small holds shapes, not activations: 64 int64.
SHAPE_BYTES = 512
# A node below this part of the run's node time is no reason to change anything.
TINY_SHARE = 0.01
# ORT renames nodes it clones or lays out anew.
_SUFFIX = re.compile(r"(_token_\d+|_nchwc|_kernel_time)+$")
# ORT's name for a partition that a provider compiled: the provider, a hash, an ordinal.
_COMPILED = re.compile(r"^\w*?\d{6,}(_\d+)+$")
_NO_REASON = "ONNX Runtime's log gives no reason; the provider did not claim this node."


def placement(
    *,
    requested: Sequence[str],
    active: Sequence[str],
    assignment: Iterable[Sequence[str]] | None,
    log: str | None,
    profile: Profile | None,
) -> Placement:
    """Where every node of one session was assigned and seen to run.

    Assigned and observed nodes are joined by name, then by the name without what ORT appends
    to it. Fusions after the assignment rename nodes: those appear twice, once only assigned
    and once only observed. Copies are only ever observed.

    Args:
        requested: providers in the order asked for, ORT's names.
        active: providers of the opened session.
        assignment: (provider, node, op type) from ORT's assignment API; None before 1.24.
        log: ORT's lines about placement; stands in for a missing assignment.
        profile: the profile of the same configuration, steady runs for preference.
    """
    told = placement_log(log or "")
    assigned, source = _assigned(assignment, told)
    rows = sorted(profile.nodes, key=lambda row: row.order) if profile else []
    session = _Session(
        requested=tuple(requested), rows=rows, assigned=assigned, log=told, runs=_run_count(profile)
    )
    nodes, members = session.joined()
    return Placement(
        requested=tuple(requested),
        active=tuple(active),
        nodes=nodes,
        node_share_by_provider=_node_shares(session, members),
        time_share_by_provider=_time_shares(profile),
        partitions=_partitions(session, members),
        crossings=_crossings(session),
        fallback=_fallback(session, nodes),
        copy_count=sum(row.is_copy for row in rows),
        copy_us=session.per_run(sum(row.self_us for row in rows if row.is_copy)),
        source="+".join(filter(None, (source, "trace" if rows else ""))) or "none",
    )


class _Session(Struct, frozen=True, kw_only=True):
    """What is known, once read: trace rows in the order they ran, assigned nodes, the log."""

    requested: tuple[str, ...]
    rows: list[NodeRow]
    assigned: list[Assigned]
    log: PlacementLog
    runs: int

    @property
    def main_rows(self) -> list[NodeRow]:
        """Trace rows of the main graph, copies left out."""
        return [row for row in self.rows if not row.scope and not row.is_copy]

    def per_run(self, total_us: float) -> float | None:
        """Time in one run; None where the trace does not tell runs apart."""
        return total_us / self.runs if self.runs else None

    def joined(self) -> tuple[tuple[PlacedNode, ...], Counter[str]]:
        """All nodes, and per compiling provider the members of its partitions."""
        match = _Matches(self.assigned)
        seen = []
        for row in self.rows:
            partner = None if row.is_copy or _is_compiled(row) else match.take(row)
            seen.append(
                PlacedNode(
                    name=row.name,
                    op_type=row.op_type,
                    assigned=partner[0] if partner else None,
                    observed=row.provider,
                    time_us=self.per_run(row.self_us),
                )
            )
        compilers = {row.provider for row in self.rows if _is_compiled(row)}
        left = match.left()
        members = Counter(provider for provider, _, _ in left if provider in compilers)
        rest = [
            # A member of a compiled partition ran there, under the partition's name.
            PlacedNode(
                name=name,
                op_type=op_type,
                assigned=provider,
                observed=provider if provider in compilers else None,
            )
            for provider, name, op_type in left
        ]
        return (*seen, *rest), members


class _Matches:
    """Assigned nodes still without a partner in the trace."""

    def __init__(self, assigned: list[Assigned]) -> None:
        self._assigned = assigned
        self._taken = [False] * len(assigned)
        self._exact: dict[str, deque[int]] = defaultdict(deque)
        self._plain: dict[str, deque[int]] = defaultdict(deque)
        for at, (_, name, _) in enumerate(assigned):
            if name:
                self._exact[name].append(at)
                self._plain[_SUFFIX.sub("", name)].append(at)

    def take(self, row: NodeRow) -> Assigned | None:
        """The assigned node that this trace row is, once: same operator for preference."""
        for index, name in ((self._exact, row.name), (self._plain, _SUFFIX.sub("", row.name))):
            free = [at for at in index.get(name, ()) if not self._taken[at]]
            if free:
                same = [at for at in free if self._assigned[at][2] == row.op_type]
                chosen = (same or free)[0]
                self._taken[chosen] = True
                return self._assigned[chosen]
        return None

    def left(self) -> list[Assigned]:
        """Those that no trace row took."""
        return [node for node, taken in zip(self._assigned, self._taken, strict=True) if not taken]


def _assigned(
    assignment: Iterable[Sequence[str]] | None, log: PlacementLog
) -> tuple[list[Assigned], str]:
    if assignment is not None:
        return [(row[0], row[1], row[2]) for row in assignment], "assignment"
    copies_left_out = [node for node in log.nodes if not node[2].startswith("Memcpy")]
    return copies_left_out, "log" if copies_left_out else ""


def _run_count(profile: Profile | None) -> int:
    return profile.counted_runs if profile else 0


def _is_compiled(row: NodeRow) -> bool:
    return bool(row.provider != CPU and _COMPILED.match(row.op_type))


def _node_shares(session: _Session, members: Counter[str]) -> dict[str, float]:
    """Share of nodes by provider: as observed, a compiled partition counted by its members."""
    counts: Counter[str] = Counter()
    for row in session.rows:
        if not row.is_copy and not (_is_compiled(row) and members[row.provider]):
            counts[row.provider] += 1
    if session.rows:
        counts.update(members)
    else:
        counts.update(provider for provider, _, _ in session.assigned)
    total = sum(counts.values())
    return {provider: count / total for provider, count in counts.most_common()}


def _time_shares(profile: Profile | None) -> dict[str, float] | None:
    if profile is None or not profile.providers:
        return None
    shares = {row.provider: row.share for row in profile.providers if row.share is not None}
    # Launch times say nothing of who worked how long: then there is no share to show.
    return shares if len(shares) == len(profile.providers) else None


def _partitions(session: _Session, members: Counter[str]) -> tuple[Partition, ...]:
    """Neighbours on one provider, in the order in which the main graph was executed.

    Without a trace: in the order of the assignment. A provider's only compiled partition
    counts its members; of several the file does not tell whose a member is.
    """
    compiled = Counter(row.provider for row in session.main_rows if _is_compiled(row))
    placed = [
        (row.provider, row.name, _weight(row, members=members, compiled=compiled))
        for row in session.main_rows
    ] or [(provider, name, 1) for provider, name, _ in session.assigned]
    partitions: list[Partition] = []
    for provider, name, weight in placed:
        if partitions and partitions[-1].provider == provider:
            last = partitions.pop()
            first, weight = last.first, weight + last.node_count
        else:
            first = name
        partitions.append(Partition(provider=provider, node_count=weight, first=first, last=name))
    return tuple(partitions)


def _weight(row: NodeRow, *, members: Counter[str], compiled: Counter[str]) -> int:
    alone = _is_compiled(row) and compiled[row.provider] == 1
    return members[row.provider] or 1 if alone else 1


def _crossings(session: _Session) -> tuple[Crossing, ...]:
    """Copies, and provider switches without one, in the order in which they happened.

    A copy's tensor is known from the log. For a switch without a copy (both providers use the
    same memory) the file does not name the tensor; the two nodes around it are named.
    """
    tensors = _copied_tensors(session)
    crossings: list[Crossing] = []
    before: NodeRow | None = None
    copied = False
    for row in session.rows:
        if row.is_copy:
            crossings.append(_copy(row, tensors.get(row.name, ""), session))
            copied = True
        elif not row.scope:
            if before is not None and before.provider != row.provider and not copied:
                between = f"(between {before.name} and {row.name})"
                crossings.append(
                    Crossing(tensor=between, source=before.provider, target=row.provider)
                )
            before, copied = row, False
    return tuple(crossings)


def _copy(row: NodeRow, tensor: str, session: _Session) -> Crossing:
    to_host = row.op_type != "MemcpyFromHost"
    return Crossing(
        tensor=tensor or f"(by {row.name})",
        source=row.provider if to_host else CPU,
        target=CPU if to_host else row.provider,
        bytes=row.output_bytes,
        time_us=session.per_run(row.self_us),
    )


def _copied_tensors(session: _Session) -> dict[str, str]:
    """Copy node → tensor: ORT names them in the order in which it logs them."""
    tensors: dict[str, str] = {}
    for op_type in ("MemcpyToHost", "MemcpyFromHost"):
        logged = [copy.tensor for copy in session.log.copies if copy.op_type == op_type]
        names = sorted(
            {row.name for row in session.rows if row.is_copy and row.op_type == op_type},
            key=_token,
        )
        if len(logged) == len(names):
            tensors.update(zip(names, logged, strict=True))
    return tensors


def _token(name: str) -> int:
    found = re.search(r"_token_(\d+)$", name)
    return int(found.group(1)) if found else -1


def _fallback(session: _Session, nodes: Sequence[PlacedNode]) -> tuple[Fallback, ...]:
    """Nodes on another provider than the first one asked for, costliest first.

    With a trace these are the observed nodes, without one the assigned. `cost_us` per run is
    the node's own time and that of the copies next to it: a copy to the host is charged to
    the next such node that ran, a copy from the host to the last one before it, each once.
    """
    first = session.requested[0] if session.requested else CPU
    if first == CPU:
        return ()
    if not session.rows:
        return tuple(
            _fallback_row(session, node.name, node.op_type)
            for node in nodes
            if node.assigned not in (None, first)
        )
    copies = _copies_of_fallback(session, first)
    found = [
        _fallback_row(session, row.name, row.op_type, row=row, copies_us=copies.get(at, 0))
        for at, row in enumerate(session.rows)
        if not row.is_copy and row.provider != first
    ]
    return tuple(sorted(found, key=lambda f: -(f.cost_us or 0.0)))


def _copies_of_fallback(session: _Session, first: str) -> dict[int, int]:
    """Position of a fallback node → µs of the copies charged to it."""
    charged: Counter[int] = Counter()
    last: int | None = None
    waiting = 0
    for at, row in enumerate(session.rows):
        if row.is_copy and row.op_type == "MemcpyFromHost":
            if last is not None:
                charged[last] += row.self_us
        elif row.is_copy:
            waiting += row.self_us
        elif row.provider != first:
            charged[at] += waiting
            last, waiting = at, 0
    return dict(charged)


def _fallback_row(
    session: _Session,
    name: str,
    op_type: str,
    *,
    row: NodeRow | None = None,
    copies_us: int = 0,
) -> Fallback:
    refusal = session.log.refusal(node=_SUFFIX.sub("", name), op_type=op_type)
    chosen = refusal is not None and refusal.by_choice
    cost = row.self_us + copies_us if row is not None else None
    whole = sum(r.self_us for r in session.rows)
    tiny = cost is not None and cost < TINY_SHARE * whole
    small = row is None or (row.output_bytes is not None and row.output_bytes <= SHAPE_BYTES)
    shapes = op_type in SHAPE_OPERATORS and small and not copies_us
    return Fallback(
        node=name,
        op_type=op_type,
        reason=refusal.sentence if refusal else _NO_REASON,
        cost_us=session.per_run(cost) if cost is not None else None,
        severity="harmless" if tiny or (chosen and not copies_us) or shapes else "costly",
    )
