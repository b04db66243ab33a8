"""What may be claimed of times: host work, launches, waits and device time are not the same."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ortlab.domain.trace import DeviceFacts, NodeRow, OperatorRow, ProviderRow, ShapeRow

# Providers that hand work to a device and go on: the host's node times are launch times.
# Checked here for WebGPU; by their documentation for the others.
ASYNC_PROVIDERS = frozenset({
    "CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider",
    "WebGpuExecutionProvider", "JsExecutionProvider", "DmlExecutionProvider",
    "MIGraphXExecutionProvider", "ROCMExecutionProvider", "CANNExecutionProvider",
})  # fmt: skip
# Where more device time than this has no node, shares of the rest would mislead.
MAX_UNATTRIBUTED_SHARE = 0.1


class Rows(Struct, frozen=True, kw_only=True):
    """The same time by node, by operator, by shape and by provider."""

    nodes: tuple[NodeRow, ...]
    operators: tuple[OperatorRow, ...]
    shapes: tuple[ShapeRow, ...]
    providers: tuple[ProviderRow, ...]


def claimed(rows: Rows, device: DeviceFacts | None) -> Rows:
    """The rows with the kind of their time, and with shares only where there are any.

    With device events, a share is of device time together with the own time of nodes that
    ran on the host; waiting for the device would count its time twice and has no share.
    Without them a provider that only launches has none, and those of other providers are of
    the host's time, launches and waits included.
    """
    known = _with_device_times(rows.nodes, device)
    nodes = tuple(replace(row, time_kind=_kind(row, known)) for row in rows.nodes)
    claims = _Claims(nodes, known)
    return Rows(
        nodes=tuple(replace(row, share=claims.share([row])) for row in nodes),
        operators=tuple(claims.operator(row) for row in rows.operators),
        shapes=tuple(claims.shape(row) for row in rows.shapes),
        providers=tuple(claims.provider(row) for row in rows.providers),
    )


class _Claims:
    """Node rows by operator and provider, and the time that all shares are of."""

    def __init__(self, nodes: Sequence[NodeRow], known: frozenset[str]) -> None:
        self._known = known
        self._by_operator: dict[tuple[str, str], list[NodeRow]] = {}
        self._by_provider: dict[str, list[NodeRow]] = {}
        for row in nodes:
            self._by_operator.setdefault((row.op_type, row.provider), []).append(row)
            self._by_provider.setdefault(row.provider, []).append(row)
        if known:
            self._whole = sum(_amount(row, known) or 0.0 for row in nodes)
        else:
            self._whole = float(sum(row.self_us for row in nodes))

    def share(self, rows: Sequence[NodeRow]) -> float | None:
        """Part of the whole that these are; None where their time is not known."""
        amounts = [a for row in rows if (a := _amount(row, self._known)) is not None]
        return sum(amounts) / self._whole if amounts and self._whole else None

    def operator(self, row: OperatorRow) -> OperatorRow:
        """The operator with its kind of time, its device time, and its share if it has one."""
        own = self._by_operator.get((row.op_type, row.provider), [])
        told = [n.device_us for n in own if n.device_us is not None]
        return replace(
            row,
            time_kind=_common([n.time_kind for n in own]),
            device_us=sum(told) if told else None,
            share=self._or_as_it_was(row, own),
        )

    def provider(self, row: ProviderRow) -> ProviderRow:
        """The provider with its share if it has one."""
        return replace(row, share=self._or_as_it_was(row, self._by_provider.get(row.provider, [])))

    def shape(self, row: ShapeRow) -> ShapeRow:
        """The shape with its share of the host's time; device time is not told by shape."""
        if row.provider in ASYNC_PROVIDERS:
            return replace(row, share=None)
        return replace(row, share=row.self_us / self._whole) if self._whole else row

    def _or_as_it_was(self, row: OperatorRow | ProviderRow, own: Sequence[NodeRow]) -> float | None:
        # Without any time, shares are of calls, which the rows have already.
        if row.provider not in ASYNC_PROVIDERS and (not self._known or not self._whole):
            return row.share
        return self.share(own)


def _common(kinds: Sequence[str]) -> str:
    """The kind of a row that stands for several nodes: the best known among them."""
    return next((kind for kind in ("device", "wait", "launch") if kind in kinds), "host")


def _with_device_times(nodes: Sequence[NodeRow], device: DeviceFacts | None) -> frozenset[str]:
    """Asynchronous providers whose device time is known well enough for shares."""
    if device is None or device.attributed_us < (1 - MAX_UNATTRIBUTED_SHARE) * device.total_us:
        return frozenset()
    return frozenset(
        row.provider
        for row in nodes
        if row.device_us is not None and row.provider in ASYNC_PROVIDERS
    )


def _kind(row: NodeRow, known: frozenset[str]) -> str:
    if row.provider not in ASYNC_PROVIDERS:
        return "host"
    if row.provider in known and row.device_us is not None:
        return "device"
    return "wait" if row.is_copy else "launch"


def _amount(row: NodeRow, known: frozenset[str]) -> float | None:
    """The time of this row that counts, or None where that is not known."""
    if row.time_kind == "host":
        return float(row.self_us)
    if row.time_kind == "device":
        return float(row.device_us or 0)
    # A node that launched nothing while others of its provider did used no device time.
    return 0.0 if row.time_kind == "launch" and row.provider in known else None
