"""What ONNX Runtime's own log says about placement: nodes, refusals, inserted copies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# The same text from ORT 1.15 to 1.31.
_PLACED_ON = re.compile(r"(?:Node\(s\)|All nodes) placed on \[(\w+)\]")
_PLACED_NODE = re.compile(r"\]\s{2,}(\S+) \((.*)\)$")
_NO_KERNEL = re.compile(
    r"(?P<who>\w+) kernel not found in registries for Op type: (?P<op>\S+)"
    r"(?: node name: (?P<name>.*))?$"
)
_NOT_SUPPORTED = re.compile(
    r"(?P<what>[\w ]+ not supported\.) Fallback to (?P<who>\w+) execution provider for Op type: "
    r"(?P<op>\S+)(?: node name: (?P<name>.*))?$"
)
_DOES_NOT = re.compile(r"(?P<who>\w+) (?P<op>\w+) does not support (?P<what>.+)$")
_FORCED = re.compile(
    r"Force fallback to CPU execution for node: (?P<name>.*?) because (?P<why>.*)$"
)
_CANDIDATE = re.compile(r"Candidate for fallback CPU execution: (?P<name>.*)$")
_COPY = re.compile(r"Add (Memcpy(?:ToHost|FromHost)) (?:before|after) (.+) for (\w+)\s*$")


class Refusal(Struct, frozen=True):
    """Why a node runs on the CPU. `by_choice`: ORT found the CPU faster for it."""

    sentence: str
    by_choice: bool = False


class InsertedCopy(Struct, frozen=True):
    """One copy node that ORT added: its operator, the tensor, the device's provider."""

    op_type: str
    tensor: str
    provider: str


class PlacementLog(Struct, frozen=True, kw_only=True):
    """Everything that the log tells; empty where nothing was logged."""

    nodes: tuple[tuple[str, str, str], ...] = ()
    """(provider, node, op type), names as after optimization, copies included."""
    by_node: dict[str, Refusal] = {}
    by_op_type: dict[str, Refusal] = {}
    copies: tuple[InsertedCopy, ...] = ()

    def refusal(self, *, node: str, op_type: str) -> Refusal | None:
        """The reason for one node: its own, else the one for its operator."""
        return self.by_node.get(node) or self.by_op_type.get(op_type)


def placement_log(log: str) -> PlacementLog:
    """The log's lines about placement, read."""
    lines = [_COLOUR.sub("", line).rstrip() for line in log.splitlines()]
    by_node: dict[str, Refusal] = {}
    by_op_type: dict[str, Refusal] = {}
    for name, op_type, refusal in _refusals(lines):
        if name:
            # What ORT decided last holds, but a choice for the CPU is never overwritten.
            if not (name in by_node and by_node[name].by_choice):
                by_node[name] = refusal
        elif op_type:
            by_op_type.setdefault(op_type, refusal)
    copies = [InsertedCopy(*found.groups()) for line in lines if (found := _COPY.search(line))]
    return PlacementLog(
        nodes=tuple(_placed(lines)), by_node=by_node, by_op_type=by_op_type, copies=tuple(copies)
    )


def _placed(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    provider = ""
    for line in lines:
        if found := _PLACED_ON.search(line):
            provider = found.group(1)
        elif provider and (node := _PLACED_NODE.search(line)):
            yield provider, node.group(2), node.group(1)


def _refusals(lines: list[str]) -> Iterator[tuple[str, str, Refusal]]:
    """Node name and operator (either may be empty), and the reason."""
    for line in lines:
        if found := _FORCED.search(line):
            why = found["why"].rstrip(". ")
            yield found["name"], "", Refusal(f"ONNX Runtime chose the CPU: {why}.", by_choice=True)
        elif found := _CANDIDATE.search(line):
            text = "ONNX Runtime prefers the CPU for it: shape arithmetic on a few integers."
            yield found["name"], "", Refusal(text, by_choice=True)
        elif found := _NO_KERNEL.search(line):
            text = f"{found['who']} has no kernel for {found['op']} with these types."
            yield found["name"] or "", found["op"], Refusal(text)
        elif found := _NOT_SUPPORTED.search(line):
            yield found["name"] or "", found["op"], Refusal(f"{found['what'].strip()}")
        elif found := _DOES_NOT.search(line):
            text = f"{found['who']} {found['op']} does not support {found['what'].rstrip('. ')}."
            yield "", found["op"], Refusal(text)
