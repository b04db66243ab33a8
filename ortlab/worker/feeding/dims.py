"""A size for every open dimension: what the user said, an expression, or a sensible start."""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ortlab.errors import DimensionError
from ortlab.worker.feeding.graph import Input

# Names that exporters write for "not known"; two of them need not be the same size.
_NAMELESS = ("?", "None", "unk", "", "-1", "*")
# `batch-size` is a name, not a difference.
_HYPHENATED = re.compile(r"^[A-Za-z_]+([-/][A-Za-z_]+)+$")
LARGEST_DIM = 1 << 40
# For a dimension that stands only inside an expression, without a hint.
_FALLBACK = 16


@dataclass(frozen=True)
class Dims:
    """Sizes by key. `locked` came from the user and are never changed.

    A key is the symbolic name, or `input.axis` for a dimension without a name.
    """

    sizes: Mapping[str, int]
    locked: frozenset[str] = frozenset()
    keys: Mapping[tuple[str, int], str | int] = field(default_factory=dict)
    """(input, axis) → key of an open dimension, or the fixed size."""

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """The shape that input `name` gets."""
        return tuple(self.size(self.keys[name, axis]) for axis in range(rank))

    def all_sizes(self) -> dict[str, int]:
        """Every open dimension with its size, expressions included."""
        keys = [k for k in self.keys.values() if isinstance(k, str)]
        return {key: self.size(key) for key in keys} | dict(self.sizes)

    def size(self, key: str | int) -> int:
        """The size of one dimension; expressions are computed from their parts.

        Raises:
            DimensionError: the parts of an expression make a negative size.
        """
        if isinstance(key, int):
            return key
        if key in self.sizes:
            return self.sizes[key]
        value = _evaluate(_expression(key), self.sizes)
        if value < 0:
            raise DimensionError(
                f"The dimension '{key}' would be {value}.",
                hint="Give larger values to the dimensions in it, with --dim NAME=INT.",
            )
        return value

    def changed(self, sizes: Mapping[str, int]) -> Dims:
        """The same with some sizes replaced."""
        return replace(self, sizes={**self.sizes, **sizes})

    def axes(self, key: str) -> list[tuple[str, int]]:
        """Where a dimension occurs, alone or in an expression, as (input, axis)."""
        return [
            place
            for place, there in self.keys.items()
            if there == key or (isinstance(there, str) and key in _names(there))
        ]


def decide(
    inputs: Iterable[Input], *, given: Mapping[str, int], hints: Mapping[str, int],
    others: Iterable[str] = (),
) -> Dims:  # fmt: skip
    """Sizes for all open dimensions of the inputs.

    Args:
        inputs: the inputs to feed.
        given: sizes the user fixed, by name or `input.axis`.
        hints: starting points by the same keys; they may be changed later.
        others: dimensions that occur elsewhere (outputs), which `given` may name as well.

    Raises:
        DimensionError: `given` names a dimension the model does not have, or a bad size.
    """
    keys = _keys(inputs, given)
    wanted = [k for k in keys.values() if isinstance(k, str)]
    parts = [name for key in wanted for name in _names(key)]
    _check_given(given, known={*wanted, *parts, *others})
    # An expression is computed from its parts, unless the user fixed it and not them.
    free = [k for k in wanted if not _names(k) or (k in given and not _all_given(k, given))]
    sizes = {k: given[k] if k in given else hints.get(k, _FALLBACK) for k in [*free, *parts]}
    _total(sizes, fixed=frozenset(given))
    return Dims(sizes, frozenset(k for k in sizes if k in given), keys)


def _all_given(key: str, given: Mapping[str, int]) -> bool:
    return all(name in given for name in _names(key))


def _keys(inputs: Iterable[Input], given: Mapping[str, int]) -> dict[tuple[str, int], str | int]:
    keys: dict[tuple[str, int], str | int] = {}
    for fed in inputs:
        for axis, dim in enumerate(fed.dims or ()):
            own = f"{fed.name}.{axis}"
            if isinstance(dim, int):
                keys[fed.name, axis] = dim
            elif dim is None or own in given or (dim in _NAMELESS and dim not in given):
                keys[fed.name, axis] = own
            else:
                keys[fed.name, axis] = dim
    return keys


def _check_given(given: Mapping[str, int], known: set[str]) -> None:
    for name, size in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            has = ", ".join(sorted(known)) or "none"
            raise DimensionError(
                f"The model has no open dimension '{name}'; it has: {has}.",
                hint=f"Did you mean --dim {near[0]}={size}?" if near else None,
            )
        if not 0 <= size <= LARGEST_DIM:
            raise DimensionError(
                f"The dimension '{name}' cannot be {size}.", hint="Give a positive number."
            )


def _total(sizes: dict[str, int], *, fixed: frozenset[str]) -> None:
    """A `total…` length of a decoder is its past and its new tokens together."""
    past = [n for k, n in sizes.items() if "past" in k.lower() and "total" not in k.lower()]
    new = [n for k, n in sizes.items() if re.fullmatch(r"(sequence|seq)(_?len\w*)?", k.lower())]
    for key in sizes:
        if "total" in key.lower() and key not in fixed and past and new:
            sizes[key] = past[0] + new[0]


_OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv, ast.Div: operator.truediv, ast.Mod: operator.mod,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "floor": math.floor, "ceil": math.ceil, "ceiling": math.ceil, "max": max, "min": min,
    "int": int, "floordiv": operator.floordiv, "mod": operator.mod, "truncdiv": operator.floordiv,
}  # fmt: skip


def _expression(text: str) -> ast.expr | None:
    """The parsed expression of a dimension such as `past + sequence`; None for a plain name."""
    if len(text) > 200 or _HYPHENATED.match(text):
        return None
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if isinstance(tree, ast.BinOp | ast.Call) and _is_plain(tree) else None


def _is_plain(tree: ast.expr) -> bool:
    """Whether the expression has only names, integers and the operators known here."""
    if isinstance(tree, ast.BinOp):
        return type(tree.op) in _OPERATORS and _is_plain(tree.left) and _is_plain(tree.right)
    if isinstance(tree, ast.Call):
        known = isinstance(tree.func, ast.Name) and tree.func.id.lower() in _FUNCTIONS
        return known and bool(tree.args) and all(map(_is_plain, tree.args))
    if isinstance(tree, ast.Constant):
        return isinstance(tree.value, int)
    return isinstance(tree, ast.Name)


def _names(key: str) -> list[str]:
    """The dimensions that an expression is made of; none for a plain name."""
    tree = _expression(key)
    if tree is None:
        return []
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    return [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called]


def _evaluate(tree: ast.expr | None, sizes: Mapping[str, int]) -> int:
    try:
        return int(_value(tree, sizes))
    except (ZeroDivisionError, TypeError, ValueError, OverflowError):
        return 1


def _value(tree: ast.expr | None, sizes: Mapping[str, int]) -> float:
    if isinstance(tree, ast.BinOp):
        done: float = _OPERATORS[type(tree.op)](_value(tree.left, sizes), _value(tree.right, sizes))
        return done
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        found: float = _FUNCTIONS[tree.func.id.lower()](*(_value(a, sizes) for a in tree.args))
        return found
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int):
        return tree.value
    return sizes[tree.id] if isinstance(tree, ast.Name) else 1
