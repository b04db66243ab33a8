"""Whether a graph hangs together: names defined once, and before they are needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from ortlab.domain.model import Problem
from ortlab.worker.reading.wire import Graph, Model, Node

_CHECK_HINT = "Export the model again; onnx.checker.check_model names the same fault."


def problems(model: Model, graph: Graph) -> Iterator[Problem]:
    """What ONNX Runtime will refuse about the shape of the graph, in all nested graphs too."""
    yield from _graph_problems(graph, outer=(), where="")
    if not graph.outputs:
        yield Problem(
            code="no-outputs", message="The graph has no outputs, so a run gives nothing back.",
            hint="Export the model again with the outputs you need.",
        )  # fmt: skip
    if not graph.nodes:
        yield Problem(
            code="no-nodes", severity="warning", message="The graph has no nodes: nothing to run.",
        )  # fmt: skip
    elif not _true_inputs(graph):
        yield Problem(
            code="no-inputs", severity="warning",
            message="The model takes no inputs: every run computes the same constants.",
            hint="It can be measured, but ONNX Runtime may fold all of it away at load.",
        )  # fmt: skip
    yield from _function_problems(model)


def captured(node: Node) -> set[str]:
    """Names that the nested graphs of a node take from around it."""
    return set().union(*(_free(graph) for graph in node.graphs)) if node.graphs else set()


def order(nodes: list[Node]) -> list[int] | None:
    """Positions of the nodes so that each comes after what it needs; None when there is a cycle.

    Nodes that are in order already stay where they are.
    """
    producer = {name: i for i, node in enumerate(nodes) for name in node.outputs if name}
    if not any(producer.get(name, -1) >= i for i, node in enumerate(nodes) for name in _uses(node)):
        return list(range(len(nodes)))
    needs = [_needed(node, producer) for node in nodes]
    waiting = [len(found) for found in needs]
    users: list[list[int]] = [[] for _ in nodes]
    for i, found in enumerate(needs):
        for needed in found:
            users[needed].append(i)
    ready = [i for i, count in enumerate(waiting) if count == 0]
    heapify(ready)
    done = []
    while ready:
        i = heappop(ready)
        done.append(i)
        for user in users[i]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heappush(ready, user)
    return done if len(done) == len(nodes) else None


def _needed(node: Node, producer: dict[str, int]) -> set[int]:
    return {producer[name] for name in _uses(node) if name in producer}


def _uses(node: Node) -> Iterable[str]:
    """What a node takes, the graphs nested in it included."""
    return captured(node).union(node.inputs) if node.graphs else node.inputs


def _free(graph: Graph) -> set[str]:
    defined = {v.name for v in graph.inputs} | {t.name for t in graph.initializers}
    used: set[str] = {v.name for v in graph.outputs}
    for node in graph.nodes:
        used.update(node.inputs)
        used |= captured(node)
        defined.update(node.outputs)
    return used - defined - {""}


def _true_inputs(graph: Graph) -> bool:
    """Whether something has to be fed: old files list initializers among the inputs."""
    weights = {tensor.name for tensor in graph.initializers}
    return any(value.name not in weights for value in graph.inputs)


def _graph_problems(graph: Graph, *, outer: tuple[set[str], ...], where: str) -> Iterator[Problem]:
    """Problems of one graph and those nested in it; `outer` are the names around it."""
    yield from _duplicates(graph, where)
    defined = {v.name for v in graph.inputs} | {t.name for t in graph.initializers}
    everything = defined.union(*(node.outputs for node in graph.nodes))
    scopes = (everything, *outer)
    undefined: dict[str, Node] = {}
    unsorted = None
    for node in graph.nodes:
        for name in _uses(node):
            if not name or name in defined:
                continue
            if name in everything:
                unsorted = unsorted or (node, name)
            elif not any(name in scope for scope in outer):
                undefined.setdefault(name, node)
        defined.update(node.outputs)
        for nested in node.graphs:
            yield from _graph_problems(nested, outer=scopes, where=_inside(node))
    yield from _undefined(undefined, where)
    if unsorted:
        yield _unsorted(graph, *unsorted, where)
    for value in graph.outputs:
        if not any(value.name in scope for scope in scopes):
            yield Problem(
                code="undefined-output",
                message=f"The output '{value.name}'{where} is computed by no node.",
                hint=_CHECK_HINT,
            )


def _inside(node: Node) -> str:
    return f" inside the {node.op_type} node '{node.name or ', '.join(node.outputs)}'"


def _duplicates(graph: Graph, where: str) -> Iterator[Problem]:
    names = Counter(node.name for node in graph.nodes if node.name)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        yield Problem(
            code="duplicate-node-name",
            message=f"{names[twice[0]]:,} nodes{where} have the name '{twice[0]}'"
            + (f", and {len(twice) - 1:,} more names are used again" if len(twice) > 1 else "")
            + "; ONNX Runtime refuses that.",
            hint="`ortlab fix` gives each node a name of its own.",
            fix="rename-nodes",
        )
    weights = {tensor.name for tensor in graph.initializers}
    tensors = Counter(name for node in graph.nodes for name in node.outputs if name)
    tensors.update(value.name for value in graph.inputs)
    tensors.update(weights - {value.name for value in graph.inputs})
    again = [name for name, count in tensors.items() if count > 1]
    if again:
        yield Problem(
            code="duplicate-tensor-name",
            message=f"The tensor '{again[0]}'{where} is defined {tensors[again[0]]:,} times; "
            "each name may be given once.",
            hint=_CHECK_HINT,
        )


def _undefined(undefined: dict[str, Node], where: str) -> Iterator[Problem]:
    for name, node in list(undefined.items())[:1]:
        more = f" ({len(undefined) - 1:,} more such names)" if len(undefined) > 1 else ""
        yield Problem(
            code="undefined-tensor",
            message=f"The {node.op_type} node '{node.name}'{where} needs '{name}', which is no "
            f"input, weight or result of another node{more}.",
            hint=_CHECK_HINT,
        )


def _unsorted(graph: Graph, node: Node, name: str, where: str) -> Problem:
    if order(graph.nodes) is None:
        return Problem(
            code="graph-cycle",
            message=f"The graph{where} has a cycle: the {node.op_type} node '{node.name}' needs "
            f"'{name}', which is computed from its own result.",
            hint="No run can begin anywhere in a cycle; export the model again.",
        )
    return Problem(
        code="unsorted-nodes", severity="warning",
        message=f"The nodes{where} are out of order: '{node.name or node.op_type}' comes before "
        f"the node that computes its input '{name}'.",
        hint="ONNX Runtime sorts them itself; onnx's checker and quantizer refuse the file.",
        fix="sort-nodes",
    )  # fmt: skip


# ONNX Runtime writes out every call of a local function; this many nodes take it minutes.
MAX_EXPANDED_NODES = 200_000
_MANY = 10**15

FunctionKey = tuple[str, str, str]
"""Domain, name and overload."""


def _function_problems(model: Model) -> Iterator[Problem]:
    table = {(f.domain, f.name, f.overload): f for f in model.functions}
    if not table:
        return
    for function in model.functions:
        yield from _graph_problems(function, outer=(), where=f" of function '{function.name}'")
    sizes: dict[FunctionKey, int] = {}
    circle = _measure(table, sizes)
    if circle is not None:
        yield Problem(
            code="recursive-function",
            message=f"The local function '{circle}' calls itself; ONNX has no recursion.",
            hint="Export the model again.",
        )
        return
    assert model.graph is not None
    total = _expanded(model.graph, sizes)
    if total > MAX_EXPANDED_NODES:
        yield Problem(
            code="function-bomb",
            message=f"Its local functions write out to {_shown(total)} nodes; ortlab stops at "
            f"{MAX_EXPANDED_NODES:,}.",
            hint="Opening it would take ONNX Runtime minutes or all memory.",
        )


def _shown(count: int) -> str:
    return f"{count:,}" if count < _MANY else "more than 10^15"


def _measure(table: dict[FunctionKey, Graph], sizes: dict[FunctionKey, int]) -> str | None:
    """Fill in how many nodes each function writes out to; the name of one that calls itself."""
    waiting = {key: _calls(graph) & table.keys() for key, graph in table.items()}
    callers: dict[FunctionKey, list[FunctionKey]] = {key: [] for key in table}
    for key, calls in waiting.items():
        for called in calls:
            callers[called].append(key)
    ready = [key for key, calls in waiting.items() if not calls]
    while ready:
        key = ready.pop()
        sizes[key] = min(_expanded(table[key], sizes), _MANY)
        for caller in callers[key]:
            waiting[caller].discard(key)
            if not waiting[caller]:
                ready.append(caller)
    return next((key[1] for key in table if key not in sizes), None)


def _calls(graph: Graph) -> set[FunctionKey]:
    return {(node.domain, node.op_type, node.overload) for node in every_node(graph)}


def _expanded(graph: Graph, sizes: dict[FunctionKey, int]) -> int:
    return sum(
        sizes.get((node.domain, node.op_type, node.overload), 1) for node in every_node(graph)
    )


def every_node(graph: Graph) -> Iterator[Node]:
    """Each node of a graph and of the graphs nested in it."""
    for node in graph.nodes:
        yield node
        for nested in node.graphs:
            yield from every_node(nested)
