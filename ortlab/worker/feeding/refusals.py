"""Why ONNX Runtime refused feeds, read from its message, and what to try instead.

Each row of `_RULES` is a pattern of ONNX Runtime's own words (checked on 1.31.1) and the moves
it suggests. Moves only touch what ortlab chose; what the user fixed stays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ortlab.worker.feeding.graph import Input
from ortlab.worker.feeding.values import Plan

_NODE = re.compile(r"while running (\S+) node\. Name:'(.*?)' Status Message: (.*)", re.DOTALL)
_MULTIPLES = (32, 64)
_INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
# Tried in turn for an input whose rank the model leaves open.
_SHAPES = ((4,), (2, 4), (1, 3, 8), (1, 3, 32, 32))


@dataclass(frozen=True)
class Refusal:
    """ONNX Runtime's message, and the node it came from when it names one."""

    text: str

    @property
    def op(self) -> str:
        """The operator that refused, or an empty text."""
        found = _NODE.search(self.text)
        return found.group(1) if found else ""

    @property
    def node(self) -> str:
        """The name of the node that refused, or an empty text."""
        found = _NODE.search(self.text)
        return found.group(2) if found else ""

    @property
    def reason(self) -> str:
        """The part a person can use: node and cause, without source paths."""
        found = _NODE.search(self.text)
        told = found.group(3) if found else self.text
        told = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : ", "", told)
        told = re.split(r" was false\. ?", told)[-1]
        told = " ".join(re.sub(r"^\S*/\S+:\d+ .*\)(?: \[with [^\]]*\])? (?=\S)", "", told).split())
        where = f"{self.op} node '{self.node}': " if found else ""
        return where + (told if len(told) <= 300 else told[:299] + "…")


@dataclass(frozen=True)
class Move:
    """Another plan to try, and a sentence on what it changes."""

    plan: Plan
    about: str


@dataclass(frozen=True)
class Scene:
    """What moves are chosen from: the refused plan and the inputs that reach the node."""

    plan: Plan
    inputs: tuple[Input, ...]
    refusal: Refusal

    def open_dims(self) -> dict[str, int]:
        """The dimensions that may be changed, of the inputs that reach the refusing node."""
        names = {fed.name for fed in self.inputs}
        dims = self.plan.dims
        return {
            key: size
            for key, size in dims.sizes.items()
            if key not in dims.locked
            and (not dims.axes(key) or any(name in names for name, _ in dims.axes(key)))
        }

    def spatial(self) -> dict[str, int]:
        """Open dimensions that look like height, width or length: not batch, not channels."""
        ranks = {fed.name: len(fed.dims or ()) for fed in self.inputs}
        return {
            key: size
            for key, size in self.open_dims().items()
            if any(axis >= 1 and (axis >= 2 or ranks.get(name, 0) <= 3)
                   for name, axis in self.plan.dims.axes(key))
        }  # fmt: skip

    def integers(self) -> list[Input]:
        """The whole-number inputs that reach the node."""
        return [fed for fed in self.inputs if fed.element in _INTEGERS and fed.kind == "tensor"]


def moves(scene: Scene) -> list[Move]:
    """What to try next, best first; the same plan is never offered."""
    found: list[Move] = []
    for pattern, rule in _RULES:
        match = re.search(pattern, scene.refusal.text, re.DOTALL)
        if match:
            found += rule(scene, match)
    for fallback in (_make_equal, _multiples, _other_shapes, _zero_ids, _longer, _other_single,
                     _leave_out, _all_alike):  # fmt: skip
        found += fallback(scene)
    return [move for move in found if move.plan != scene.plan]


def _resize(scene: Scene, sizes: Mapping[str, int]) -> Iterator[Move]:
    """One move that gives these dimensions these sizes, if that changes something."""
    old = scene.plan.dims.sizes
    changed = {k: n for k, n in sizes.items() if n != old[k] and n >= 0}
    if changed:
        told = ", ".join(f"{k} from {old[k]} to {n}" for k, n in changed.items())
        yield Move(scene.plan.with_dims(changed), f"changed {told}")


def _swap(scene: Scene, pairs: Iterable[tuple[int, int]]) -> Iterator[Move]:
    """Moves that give each open dimension of the first size the second size."""
    for wrong, right in pairs:
        same = {k: right for k, n in scene.open_dims().items() if n == wrong}
        for key in same:
            yield from _resize(scene, {key: right})
        if len(same) > 1:
            yield from _resize(scene, same)


def _both_ways(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    first, second = int(match.group(1)), int(match.group(2))
    pairs = [(first, second), (second, first)]
    yield from _swap(scene, [(a, b) for a, b in pairs if b > 0])


def _first_to_second(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield from _swap(scene, [(int(match.group(1)), int(match.group(2)))])


def _second_to_first(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield from _swap(scene, [(int(match.group(2)), int(match.group(1)))])


def _to_one(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield from _swap(scene, [(int(match.group(1)), 1)])


def _ids_below(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    below = int(match.group(1)) + 1
    names = [fed.name for fed in scene.integers()]
    plan = replace(scene.plan, below={**scene.plan.below, **dict.fromkeys(names, below)})
    yield Move(plan, f"drew the ids of {', '.join(names)} below {below}")


def _zero_ids(scene: Scene) -> Iterator[Move]:
    names = [fed.name for fed in scene.integers() if scene.plan.below.get(fed.name) != 1]
    if names:
        plan = replace(scene.plan, below={**scene.plan.below, **dict.fromkeys(names, 1)})
        yield Move(plan, f"fed zeros to {', '.join(names)}")


def _zero_ids_now(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield from _zero_ids(scene)


def _filled(scene: Scene, inputs: list[Input], value: int) -> Move:
    """One move that fills these inputs with one number."""
    names = [fed.name for fed in inputs]
    plan = replace(scene.plan, exactly={**scene.plan.exactly, **dict.fromkeys(names, value)})
    return Move(plan, f"set {', '.join(names)} to {value}")


def _lengths(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    short = [fed for fed in scene.integers() if len(fed.dims or ()) <= 1]
    yield _filled(scene, short, int(match.group(1)))


def _ones(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield _filled(scene, scene.integers(), 1)


def _numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"-?\d+", text)]


def _reshape(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    """One dimension resized so that the element counts fit."""
    have, wanted = _numbers(match.group(1)), _numbers(match.group(2))
    total, request = math.prod(have), math.prod(n for n in wanted if n > 0)
    yield from _swap(scene, [(a, b) for a, b in zip(have, wanted, strict=False) if a != b > 0])
    for key, size in scene.open_dims().items():
        if size < 1 or total % size:
            continue
        rest = max(total // size, 1)
        step = request // math.gcd(request, rest)
        if -1 in wanted:
            yield from _resize(scene, {key: math.ceil(size / step) * step})
        elif step and request % rest == 0:
            yield from _resize(scene, {key: request // rest})
    if -1 not in wanted and total:
        yield from _scaled(scene, request / total)


def _gemm(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    rows, columns, have, width = (int(n) for n in match.groups())
    wanted = rows if columns == width else columns
    yield from _swap(scene, [(have, wanted)])
    yield from _scaled(scene, wanted / max(have, 1))


def _scaled(scene: Scene, ratio: float) -> Iterator[Move]:
    """The spatial dimensions scaled together so that their product changes by `ratio`."""
    spatial = scene.spatial()
    if spatial and ratio > 0:
        factor = ratio ** (1 / len(spatial))
        yield from _resize(scene, {k: max(1, round(n * factor)) for k, n in spatial.items()})


def _shapes_differ(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    pairs = zip(_numbers(match.group(1)), _numbers(match.group(2)), strict=False)
    differing = [(a, b) for a, b in pairs if a != b]
    yield from _swap(scene, [(b, a) for a, b in differing])
    yield from _swap(scene, differing)


def _split(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    axis, shape, wanted = int(match.group(1)), _numbers(match.group(2)), int(match.group(3))
    if axis >= len(shape):
        return
    yield from _swap(scene, [(shape[axis], wanted)])
    yield from _parts(scene, shape[axis])


def _split_sequence(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield from _parts(scene, int(match.group(1)))


def _parts(scene: Scene, total: int) -> Iterator[Move]:
    """The list of part sizes made to add up."""
    names = [fed.name for fed in scene.integers() if fed.dims is not None and len(fed.dims) == 1]
    if names:
        plan = replace(scene.plan, totals={**scene.plan.totals, **dict.fromkeys(names, total)})
        yield Move(plan, f"made {', '.join(names)} add up to {total}")


def _channels(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    have, kernel, group = (int(n) for n in match.groups())
    yield from _swap(scene, [(have, kernel * group)])


def _longer_now(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield from _longer(scene)


def _longer(scene: Scene) -> Iterator[Move]:
    """Larger spatial dimensions: kernels and windows have a least size."""
    spatial = scene.spatial()
    for factor in (2, 8):
        yield from _resize(scene, {k: n * factor for k, n in spatial.items()})


def _smaller(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    for divisor in (2, 8):
        dims = scene.open_dims()
        yield from _resize(scene, {k: max(1, n // divisor) for k, n in dims.items()})


def _multiples_now(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    yield from _multiples(scene)


def _multiples(scene: Scene) -> Iterator[Move]:
    """Spatial dimensions rounded up: skip connections need sizes that halve evenly."""
    spatial = scene.spatial()
    for multiple in _MULTIPLES:
        yield from _resize(
            scene, {k: math.ceil(n / multiple) * multiple for k, n in spatial.items()}
        )


def _make_equal(scene: Scene) -> Iterator[Move]:
    """Dimensions under different names that may have to agree (dynamo's `s18` and `s43`)."""
    dims = scene.plan.dims
    locked = sorted({n for k, n in dims.sizes.items() if k in dims.locked and n > 1})
    free = {k: n for k, n in scene.open_dims().items() if n > 1}
    for size in [*locked, *sorted(set(free.values()))]:
        yield from _resize(scene, dict.fromkeys(free, size))


def _all_alike(scene: Scene) -> Iterator[Move]:
    for size in (1, 2):
        yield from _resize(scene, dict.fromkeys(scene.open_dims(), size))


def _other_shapes(scene: Scene) -> Iterator[Move]:
    for fed in scene.inputs:
        if fed.dims is not None or fed.kind != "tensor":
            continue
        for shape in _SHAPES:
            plan = replace(scene.plan, ranks={**scene.plan.ranks, fed.name: shape})
            yield Move(plan, f"tried the shape {shape} for '{fed.name}', whose rank is not told")


def _other_single(scene: Scene) -> Iterator[Move]:
    for fed in scene.integers():
        if fed.dims == ():
            for value in (0, 2, 16):
                yield _filled(scene, [fed], value)


def _leave_out(scene: Scene) -> Iterator[Move]:
    for fed in scene.inputs:
        if fed.optional and fed.name not in scene.plan.absent:
            plan = replace(scene.plan, absent=scene.plan.absent | {fed.name})
            yield Move(plan, f"left out the optional input '{fed.name}'")


def _text_keys(scene: Scene, match: re.Match[str]) -> Iterator[Move]:
    if any(fed.kind == "map" for fed in scene.inputs):
        yield Move(replace(scene.plan, text_keys=True), "gave the map text keys")


_Rule = Callable[[Scene, "re.Match[str]"], Iterable[Move]]
_RULES: tuple[tuple[str, _Rule], ...] = (
    (r"index: \d+ Got: (\d+) Expected: (\d+)", _first_to_second),
    (r"must be within the inclusive range \[-\d+,(\d+)\]", _ids_below),
    (r"invalid ind\w+ found|Out of range value in index|[Ii]ndices? (?:is )?out of", _zero_ids_now),
    (r"input_ids|word_embedding|position_embedding|segment", _zero_ids_now),
    (r"dimension other than 1\. (\d+) by (\d+)", _both_ways),
    (r"dimension other than 1\. (\d+) by (\d+)", _multiples_now),
    (r"mismatched dimensions of (\d+) and (\d+)", _both_ways),
    (r"mismatched dimensions of (\d+) and (\d+)", _multiples_now),
    (r"W: \{(\d+),(\d+)\} K: (\d+) N: ?(\d+)", _gemm),
    (r"Input shape:\{(.*?)\}, requested shape:\{(.*?)\}", _reshape),
    (r"Invalid input shape: \{|output dimension is negative|[Kk]ernel .* larger", _longer_now),
    (r"C: (\d+) kernel channels: (\d+) group: (\d+)", _channels),
    (r"Axis=(\d+) Input shape=\{(.*?)\}.*selected axis\) was (\d+)", _split),
    (r"split_size_sum \(\d+\) != split_dim_size \((\d+)\)", _split_sequence),
    (r"k argument \[(\d+)\].*dim value \[(\d+)\]", _second_to_first),
    (r"must be 1 instead of (\d+)", _to_one),
    (r"must have shape \{(.*?)\}\. ?Actual: ?\{(.*?)\}", _shapes_differ),
    (r"seq_length=(\d+)", _lengths),
    (r"division by zero", _ones),
    (r"X\.shape=\{.*?(\d+)\} scale\.shape=\{.*?(\d+)\}", _first_to_second),
    (r"The shape is: \{.*?\}Another operand has a dim value of", lambda s, m: _make_equal(s)),
    (r"Failed to allocate|bad_alloc|overflow|Unable to allocate", _smaller),
    (r"[Ee]xpected:? (\d+)\D{1,20}(?:[Gg]ot|[Aa]ctual):? (\d+)", _second_to_first),
    (r"(?:[Gg]ot|[Aa]ctual):? (\d+)\D{1,20}[Ee]xpected:? (\d+)", _first_to_second),
    (r"map\(|Dict", _text_keys),
)
