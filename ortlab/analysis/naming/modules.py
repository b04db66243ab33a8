"""Time by module: from the whole model to a layer, to the part of a layer, to its nodes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from ortlab.analysis.naming.module_names import (
    MAX_DEPTH,
    Path,
    function_of,
    inlined_path,
    leaf,
    module_path,
    spellings,
)
from ortlab.domain.trace import NodeRow, Profile

__all__ = [
    "Headline", "Module", "ModuleTree", "Path", "Stack", "find", "headline", "leaf",
    "members", "module_path", "tree",
]  # fmt: skip

# With fewer nodes that tell their module, a tree of modules would be one heap of the others.
MIN_TOLD_SHARE = 0.1
# Layers of one kind differ a little once ONNX Runtime has fused them: half must be the same.
_ALIKE = 0.5
# A stack below this part of all time does not say where the time goes.
_WORTH_SHARE = 0.3
# A module with this part of all time says no more than the module around it.
_WHOLE_SHARE = 0.9
_NUMBERED = re.compile(r"^(?P<stem>.*?)[._]?(?P<number>\d+)$")
_SCOPE_MARK = "/"


class Module(Struct, frozen=True, kw_only=True):
    """One module of the model. Times are sums over all runs of the time that the tree counts."""

    path: Path
    self_us: int
    """Of the nodes that lie in no module inside this one."""
    total_us: int
    calls: int
    node_count: int
    share: float
    """`total_us` of the whole model's, 0–1; of the nodes where no time was taken."""
    p50_us: float | None = None
    """Sum of its nodes' own median time per run; None where a node has none."""
    nodes: tuple[int, ...] = ()
    """`NodeRow.order` of the nodes that lie in no module inside this one, costliest first."""
    children: tuple[Module, ...] = ()
    """Costliest first."""

    @property
    def name(self) -> str:
        """The last part of the path; empty for the model itself."""
        return self.path[-1] if self.path else ""


class Stack(Struct, frozen=True, kw_only=True):
    """Layers of the same kind: `bert.encoder`, `layer`, twelve of them."""

    parent: Path
    stem: str
    members: tuple[Path, ...]
    total_us: int
    share: float


class ModuleTree(Struct, frozen=True, kw_only=True):
    """All time of a profile as a tree. `root.total_us` is the time of all nodes."""

    root: Module
    grouped_by: str = "module"
    """`operator` where names and metadata tell no modules: then provider, operator."""
    told_count: int = 0
    """Nodes whose module is told by their name or by the model's metadata."""
    placed_by_order: tuple[int, ...] = ()
    """Nodes without such a name, put where the nodes before and after them lie both."""
    stacks: tuple[Stack, ...] = ()
    """Costliest first; those inside a layer of another stack are left out."""
    path_of: dict[int, Path] = {}
    """The module of each node, by `NodeRow.order`."""
    us_of: dict[int, int] = {}
    """The time of each node that the tree adds up."""


class Headline(Struct, frozen=True, kw_only=True):
    """The costliest part of a layer, and the stack of layers it belongs to."""

    module: Module
    stack: Stack | None = None


def tree(
    profile: Profile, scopes: Mapping[str, Path] | None = None, *, device: bool = False
) -> ModuleTree:
    """The time of a profile by module.

    Args:
        profile: every node counts with its self time, so nested bodies count once.
        scopes: module of each node or tensor name of the model, where its file is known; it goes
            before what the names in the profile say.
        device: count a node's time on the device instead, where it has one. Launches and waits
            then count only in a profile without any.
    """
    us_of = _counted(profile.nodes) if device else {n.order: n.self_us for n in profile.nodes}
    by_order = {node.order: node for node in profile.nodes}
    paths = _Paths(profile.nodes, scopes or {})
    told = [order for order in by_order if paths.is_told(by_order[order])]
    if len(told) < MIN_TOLD_SHARE * len(by_order) or not any(paths.of(by_order[o]) for o in told):
        by_operator = {order: _operator_path(node) for order, node in by_order.items()}
        root = _grown(by_operator, by_order, us_of)
        return ModuleTree(root=root, grouped_by="operator", path_of=by_operator, us_of=us_of)
    path_of = {order: paths.of(node) for order, node in by_order.items()}
    placed = _placed_by_order(path_of, by_order, told=set(told))
    path_of |= placed
    root = _grown(path_of, by_order, us_of)
    return ModuleTree(
        root=root,
        told_count=len(told),
        placed_by_order=tuple(placed),
        stacks=tuple(sorted(_stacks(root, by_order), key=lambda s: -s.total_us)),
        path_of=path_of,
        us_of=us_of,
    )


def _counted(nodes: Iterable[NodeRow]) -> dict[int, int]:
    """The time that each node is judged by: on the device where it has one, else its own."""
    rows = list(nodes)
    if not any(node.time_kind == "device" for node in rows):
        return {node.order: node.self_us for node in rows}
    host = {node.order: node.self_us for node in rows if node.time_kind == "host"}
    told = {n.order: n.device_us or 0 for n in rows if n.time_kind == "device"}
    return {node.order: 0 for node in rows} | host | told


def find(found: ModuleTree, path: Sequence[str]) -> Module | None:
    """The module at this path, or None where the profile has none."""
    here: Module | None = found.root
    for part in path:
        here = next((m for m in here.children if m.name == part), None) if here else None
    return here


def members(module: Module) -> Iterator[int]:
    """`NodeRow.order` of every node in a module and in those inside it."""
    yield from module.nodes
    for inner in module.children:
        yield from members(inner)


def walked(module: Module) -> Iterator[Module]:
    """A module and all inside it, each before its own, costliest first."""
    yield module
    for inner in module.children:
        yield from walked(inner)


def headline(found: ModuleTree) -> Headline | None:
    """The answer at the level of layers; None where there are no modules to name."""
    if found.grouped_by != "module" or not found.root.children:
        return None
    if found.stacks and found.stacks[0].share >= _WORTH_SHARE:
        stack = found.stacks[0]
        layers = [layer for path in stack.members if (layer := find(found, path)) is not None]
        parts = [part for layer in layers for part in layer.children] or layers
        return Headline(module=max(parts, key=lambda m: m.total_us), stack=stack)
    here = found.root
    while here.children and here.children[0].share >= _WHOLE_SHARE:
        here = here.children[0]
    return Headline(module=here.children[0] if here.children else here)


def _operator_path(node: NodeRow) -> Path:
    return (node.provider or "unknown", node.op_type or "unknown")


class _Paths:
    """The module of each node: metadata first, then its name, inside the node around it."""

    def __init__(self, nodes: Iterable[NodeRow], scopes: Mapping[str, Path]) -> None:
        rows = list(nodes)
        self._scopes = scopes
        self._known: dict[str, Path | None] = {}
        self._functions = {f for n in rows if (f := function_of(n.name)) is not None}
        inside = {n.scope for n in rows if n.scope}
        self._around: dict[str, NodeRow] = {}
        for node in rows:
            text = _SCOPE_MARK.join(filter(None, (node.scope, node.name)))
            if text in inside:
                self._around.setdefault(text, node)

    def is_told(self, node: NodeRow) -> bool:
        """Whether name or metadata say in which module a node lies, be it the model itself."""
        return bool(node.scope) or self._own(node) is not None

    def of(self, node: NodeRow) -> Path:
        """The path of a node; one that holds a body is the innermost part of its own path."""
        chain = [node]
        while chain[-1].scope and len(chain) < MAX_DEPTH:
            around = self._around.get(chain[-1].scope)
            if around is None:
                break
            chain.append(around)
        path: Path = ()
        for member in reversed(chain):
            own = self._own(member) or ()
            path = path + own[_common(path, own) :]
            if self._holds_body(member):
                path = (*path, leaf(member.name) or member.op_type)
        return path[:MAX_DEPTH]

    def _own(self, node: NodeRow) -> Path | None:
        if node.name not in self._known:
            self._known[node.name] = self._told(node.name)
        return self._known[node.name]

    def _told(self, name: str) -> Path | None:
        if self._scopes:
            for spelling in spellings(name):
                if spelling in self._scopes:
                    return self._scopes[spelling]
        path = inlined_path(name, self._functions) or module_path(name)
        return path if path or name.startswith("/") else None

    def _holds_body(self, node: NodeRow) -> bool:
        text = _SCOPE_MARK.join(filter(None, (node.scope, node.name)))
        return self._around.get(text) is node


def _common(first: Path, second: Path) -> int:
    """How many parts two paths have in common from the start."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _placed_by_order(
    path_of: Mapping[int, Path], by_order: Mapping[int, NodeRow], *, told: set[int]
) -> dict[int, Path]:
    """A module for nodes that tell none: that which holds both told nodes next to it.

    Fusions get names such as `BiasGelu_token_4`; they run amid the layer they belong to.
    """
    top = [order for order in sorted(by_order) if not by_order[order].scope]
    after: list[Path | None] = [None] * len(top)
    following: Path | None = None
    for i in range(len(top) - 1, -1, -1):
        after[i] = following
        following = path_of[top[i]] if top[i] in told else following
    placed: dict[int, Path] = {}
    before: Path | None = None
    for order, next_path in zip(top, after, strict=True):
        if order in told:
            before = path_of[order]
        elif before and next_path:
            placed[order] = before[: _common(before, next_path)]
    return {order: path for order, path in placed.items() if path}


def _grown(
    path_of: Mapping[int, Path], by_order: Mapping[int, NodeRow], us_of: Mapping[int, int]
) -> Module:
    """The tree over all paths; each node lies in exactly one module."""
    nodes: dict[Path, list[NodeRow]] = defaultdict(list)
    inner: dict[Path, set[Path]] = defaultdict(set)
    for order, path in path_of.items():
        nodes[path].append(by_order[order])
        for depth in range(len(path), 0, -1):
            siblings = inner[path[: depth - 1]]
            if path[:depth] in siblings:
                break
            siblings.add(path[:depth])
    whole = (sum(us_of.values()), max(1, len(by_order)))
    return _module((), nodes, inner, us_of=us_of, whole=whole)


def _module(
    path: Path,
    nodes: Mapping[Path, list[NodeRow]],
    inner: Mapping[Path, set[Path]],
    *,
    us_of: Mapping[int, int],
    whole: tuple[int, int],
) -> Module:
    parts = inner.get(path, ())
    children = [_module(p, nodes, inner, us_of=us_of, whole=whole) for p in parts]
    children.sort(key=lambda m: (-m.total_us, m.path))
    own = sorted(nodes.get(path, ()), key=lambda n: (-us_of[n.order], n.order))
    self_us = sum(us_of[n.order] for n in own)
    total_us = self_us + sum(m.total_us for m in children)
    node_count = len(own) + sum(m.node_count for m in children)
    medians = [*(n.self_p50_us for n in own), *(m.p50_us for m in children)]
    known = [m for m in medians if m is not None]
    return Module(
        path=path,
        self_us=self_us,
        total_us=total_us,
        calls=sum(n.calls for n in own) + sum(m.calls for m in children),
        node_count=node_count,
        share=total_us / whole[0] if whole[0] else node_count / whole[1],
        p50_us=sum(known) if len(known) == len(medians) else None,
        nodes=tuple(n.order for n in own),
        children=tuple(children),
    )


def _stacks(module: Module, by_order: Mapping[int, NodeRow]) -> Iterator[Stack]:
    """Numbered modules beside each other that are built alike, outermost first."""
    layers: set[Path] = set()
    for stem, numbered in _by_stem(module.children).items():
        alike = _alike(numbered, by_order)
        if len(alike) < 2:
            continue
        layers.update(m.path for m in alike)
        yield Stack(
            parent=module.path,
            stem=stem,
            members=tuple(m.path for m in alike),
            total_us=sum(m.total_us for m in alike),
            share=sum(m.share for m in alike),
        )
    for inner in module.children:
        if inner.path not in layers:
            yield from _stacks(inner, by_order)


def _by_stem(modules: Iterable[Module]) -> dict[str, list[Module]]:
    """Modules whose names end in a number, by what stands before it, in order of the number."""
    groups: dict[str, list[tuple[int, Module]]] = defaultdict(list)
    for module in modules:
        found = _NUMBERED.match(module.name)
        # Long digits are hashes, not the number of a layer.
        if found and len(found["number"]) < 6:
            groups[found["stem"]].append((int(found["number"]), module))
    return {
        stem: [module for _, module in sorted(group, key=lambda item: (item[0], item[1].path))]
        for stem, group in groups.items()
        if len(group) > 1
    }


def _alike(modules: list[Module], by_order: Mapping[int, NodeRow]) -> list[Module]:
    """Those built like the richest of them; none where each is but one node."""
    if max(module.node_count for module in modules) < 2:
        return []
    builds = [_build(module, by_order, depth=len(module.path)) for module in modules]
    richest = max(builds, key=len)
    return [
        module
        for module, build in zip(modules, builds, strict=True)
        if len(build & richest) >= _ALIKE * len(build | richest)
    ]


def _build(module: Module, by_order: Mapping[int, NodeRow], *, depth: int) -> set[tuple[str, ...]]:
    """What a module is made of: operators with their place inside it, each once."""
    found = {(*module.path[depth:], by_order[order].op_type) for order in module.nodes}
    return found.union(*(_build(inner, by_order, depth=depth) for inner in module.children))
