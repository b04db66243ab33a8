"""The time of a profile in parts, the costliest first, with the running share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ortlab.analysis.naming.modules import Module
from ortlab.domain.trace import OperatorRow, Profile

# Host times that are not the work itself; no share of the work can be claimed from them.
NOT_WORK = ("launch", "wait")


class Part(Struct, frozen=True, kw_only=True):
    """One row of a breakdown; what a row of this kind cannot tell is empty or None."""

    name: str
    op_type: str = ""
    provider: str = ""
    input_shapes: str = ""
    output_shapes: str = ""
    path: tuple[str, ...] = ()
    self_us: int
    total_us: int | None = None
    share: float | None
    cumulative_share: float | None = None
    """Shares of this row and of all above it; None in a row without a share."""
    mean_us: float | None = None
    p50_us: float | None = None
    calls: int
    node_count: int
    device_us: int | None = None
    time_kind: str = "host"
    corrected_self_us: float | None = None
    doubt: str | None = None
    """Why the time is greyed: `launch`, `wait` or `profiler`."""


def counted_us(part: Part) -> int:
    """The time that a part is judged by: on the device where it has one, else its own."""
    if part.time_kind == "device" and part.device_us is not None:
        return part.device_us
    return part.self_us


def by_operator(profile: Profile) -> tuple[Part, ...]:
    """Operators by provider."""
    return _running(
        Part(
            name=row.op_type or "unknown", op_type=row.op_type, provider=row.provider,
            self_us=row.self_us, total_us=row.total_us, share=row.share,
            mean_us=row.mean_us or _per(row.total_us, row.calls), p50_us=row.p50_us,
            calls=row.calls, node_count=row.node_count, device_us=row.device_us,
            time_kind=row.time_kind, corrected_self_us=row.corrected_self_us,
            doubt=row.doubt or _doubt(row.time_kind),
        )
        for row in profile.operators
    )  # fmt: skip


def by_shape(profile: Profile) -> tuple[Part, ...]:
    """Operators with the types and shapes they worked on."""
    rows = {(row.op_type, row.provider): row for row in profile.operators}
    # Device time is told by node; by shape there is only the launch.
    kinds = {key: "launch" if row.time_kind == "device" else row.time_kind
             for key, row in rows.items()}  # fmt: skip
    doubts = {key: row.doubt or _doubt(kinds[key]) for key, row in rows.items()}
    return _running(
        Part(
            name=row.op_type or "unknown", op_type=row.op_type, provider=row.provider,
            input_shapes=row.input_shapes, output_shapes=row.output_shapes,
            self_us=row.self_us, total_us=row.total_us, share=row.share, mean_us=row.mean_us,
            p50_us=row.p50_us, calls=row.calls, node_count=row.node_count,
            time_kind=kinds.get((row.op_type, row.provider), "host"),
            doubt=doubts.get((row.op_type, row.provider)),
        )
        for row in profile.shapes
    )  # fmt: skip


def by_provider(profile: Profile) -> tuple[Part, ...]:
    """Providers; where all times of one are launches or waits, it is called that."""
    kinds = {row.provider: _kind(profile.operators, row.provider) for row in profile.providers}
    return _running(
        Part(
            name=row.provider or "unknown", provider=row.provider, self_us=row.self_us,
            total_us=row.total_us, share=row.share, mean_us=_per(row.total_us, row.calls),
            calls=row.calls, node_count=row.node_count,
            device_us=_device_us(profile.operators, row.provider),
            time_kind=kinds[row.provider], doubt=_doubt(kinds[row.provider]),
        )
        for row in profile.providers
    )  # fmt: skip


def by_module(module: Module, *, claimed: bool) -> tuple[Part, ...]:
    """The modules inside one, and the nodes that lie directly in it together.

    Args:
        module: the one that is looked into.
        claimed: whether shares may be told; see `claims_shares`.
    """
    parts = [_of_module(inner, inner.name, claimed=claimed) for inner in module.children]
    if module.nodes:
        own = replace(
            module, total_us=module.self_us, node_count=len(module.nodes), children=(), p50_us=None,
            share=module.share * module.self_us / module.total_us if module.total_us else 0.0,
            calls=module.calls - sum(inner.calls for inner in module.children),
        )  # fmt: skip
        parts.append(_of_module(own, "in the module itself", claimed=claimed))
    return _running(parts)


def claims_shares(profile: Profile) -> bool:
    """Whether shares of node time mean shares of the work: not where launches are all there is."""
    return has_device(profile) or all(row.share is not None for row in profile.operators)


def has_device(profile: Profile) -> bool:
    """Whether time on the device is known; then launches and waits do not count."""
    return any(row.time_kind == "device" for row in profile.operators)


def node_shares(profile: Profile) -> dict[int, float | None]:
    """Share of each node by `NodeRow.order`; None where none can be claimed."""
    if any(node.share is not None for node in profile.nodes):
        return {node.order: node.share for node in profile.nodes}
    unclaimed = {(o.op_type, o.provider) for o in profile.operators if o.share is None}
    whole = sum(node.self_us for node in profile.nodes)
    return {
        n.order: None if (n.op_type, n.provider) in unclaimed or not whole else n.self_us / whole
        for n in profile.nodes
    }


def not_work(profile: Profile) -> tuple[str, ...]:
    """Providers whose node times are launches and waits, without device times beside them."""
    found = (row.provider for row in profile.operators if row.share is None)
    return tuple(dict.fromkeys(found))


def _of_module(module: Module, name: str, *, claimed: bool) -> Part:
    return Part(
        name=name, path=module.path, self_us=module.total_us, p50_us=module.p50_us,
        share=module.share if claimed else None, calls=module.calls,
        node_count=module.node_count,
    )  # fmt: skip


def _running(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The part with most time first; those without a claimed share add nothing to the sum."""
    found = list(parts)
    # Shares are of this time, so they fall too. A long wait is not hidden below them, unless
    # the file tells what was waited for.
    device = any(part.time_kind == "device" for part in found)
    found.sort(key=lambda p: (device and p.share is None, -counted_us(p), p.name, p.provider,
                              p.input_shapes))  # fmt: skip
    total, told = 0.0, []
    for part in found:
        if part.share is None:
            told.append(part)
            continue
        total += part.share
        told.append(replace(part, cumulative_share=min(1.0, total)))
    return tuple(told)


def _doubt(kind: str) -> str | None:
    return kind if kind in NOT_WORK else None


def _kind(rows: Sequence[OperatorRow], provider: str) -> str:
    kinds = {row.time_kind for row in rows if row.provider == provider}
    if "device" in kinds:
        return "device"
    return "launch" if kinds and kinds <= set(NOT_WORK) and "launch" in kinds else (
        "wait" if kinds == {"wait"} else "host"
    )  # fmt: skip


def _device_us(rows: Sequence[OperatorRow], provider: str) -> int | None:
    told = [row.device_us for row in rows if row.provider == provider and row.device_us is not None]
    return sum(told) if told else None


def _per(total_us: int, calls: int) -> float | None:
    return total_us / calls if calls else None
