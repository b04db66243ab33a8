"""Arrays for the inputs of a model, in the range that each input's use in the graph allows.

The rules, in order: what the input's use demands (ids below the smallest table they index, an
input that is a shape, an axis, a count), then what its name says (masks, positions, rates),
then its type (images uniform in 0 to 1, other floats standard normal, small whole numbers).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ortlab.worker.feeding.dims import Dims
from ortlab.worker.feeding.graph import Input
from ortlab.worker.feeding.types import (
    PACKED,
    STRING,
    bfloat16_bits,
    element_type,
    float8_codes,
    packed,
)
from ortlab.worker.feeding.uses import Size, Use

Array = np.ndarray[Any, Any]
# Ids and counts without a known limit start below this; a refusal lowers it.
SMALL_INTS = 10
SEQUENCE_ITEMS = 2
# A sequence item or map without a declared size gets this many elements.
ITEM_SIZE = 4
# Audio models compare the rate with constants; without any, this one is the most common.
SAMPLING_RATE = 16000
_TO_THE_END = (1 << 31) - 1


@dataclass(frozen=True)
class Plan:
    """Everything that decides the feeds; refusals by ONNX Runtime replace parts of it."""

    dims: Dims
    seed: int
    below: Mapping[str, int] = field(default_factory=dict)
    """Lower limits for ids, learned from refusals."""
    exactly: Mapping[str, int] = field(default_factory=dict)
    """Inputs filled with one number, learned from refusals."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """Inputs whose numbers must add up to this, learned from refusals."""
    ranks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes tried for inputs whose rank the model does not tell."""
    absent: frozenset[str] = frozenset()
    """Optional inputs that get None."""
    unit_floats: bool = False
    """All floats in 0 to 1 and masks by their other meaning: for models that returned NaN."""
    text_keys: bool = False
    """Maps get text keys."""

    def with_dims(self, sizes: Mapping[str, int]) -> Plan:
        """The same plan with some dimensions changed."""
        return replace(self, dims=self.dims.changed(sizes))

    def shape(self, fed: Input) -> tuple[int, ...]:
        """The shape this input gets."""
        if fed.dims is None:
            return self.ranks.get(fed.name, ())
        return self.dims.shape(fed.name, len(fed.dims))


@dataclass(frozen=True)
class Made:
    """One fed value in stored form (see `feed_types`), and a sentence on how it was chosen."""

    value: Any
    note: str


def make(fed: Input, use: Use, plan: Plan, others: Mapping[str, Input]) -> Made:
    """The value for one input.

    Raises:
        FeedError: the element type cannot be fed.
    """
    random = np.random.default_rng([plan.seed, zlib.crc32(fed.name.encode())])
    if fed.name in plan.absent:
        return Made(None, "left out, as the model allows")
    kind = element_type(fed.element, name=fed.name)
    if fed.kind == "map":
        return _map(fed, plan)
    if fed.kind == "sequence":
        item = fed if fed.dims is not None else replace(fed, dims=(ITEM_SIZE,))
        shape = tuple(d if isinstance(d, int) else ITEM_SIZE for d in item.dims or ())
        parts = [_tensor(item, shape, use, plan, random, others) for _ in range(SEQUENCE_ITEMS)]
        values = [_stored(part.value, fed.element, kind.dtype) for part in parts]
        return Made(values, f"a sequence of {SEQUENCE_ITEMS} tensors, {parts[0].note}")
    made = _tensor(fed, plan.shape(fed), use, plan, random, others)
    return Made(_stored(made.value, fed.element, kind.dtype), made.note)


def feed_bytes(fed: Input, plan: Plan) -> int:
    """Bytes that the value for this input takes."""
    elements = 1
    for size in plan.shape(fed):
        elements *= size
    kind = element_type(fed.element, name=fed.name)
    return elements * kind.dtype.itemsize


def _stored(values: Array, element: int, dtype: np.dtype[Any]) -> Array:
    """Values in the form they are kept: the bits, for types that numpy lacks."""
    if element == 16:
        return bfloat16_bits(values)
    if element in (17, 18, 19, 20):
        return float8_codes(values, element)
    if element in PACKED:
        return packed(values)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values).astype(dtype).reshape(values.shape)


def _map(fed: Input, plan: Plan) -> Made:
    keys: list[Any] = [f"key{i}" if plan.text_keys else i for i in range(ITEM_SIZE)]
    value: Any = "text" if fed.element == STRING else 1
    if fed.element in (1, 11):
        value = 1.0
    return Made(dict.fromkeys(keys, value), f"a map with {ITEM_SIZE} keys")


def _tensor(
    fed: Input, shape: tuple[int, ...], use: Use, plan: Plan, random: np.random.Generator,
    others: Mapping[str, Input],
) -> Made:  # fmt: skip
    """Values before they take their stored type."""
    if fed.name in plan.exactly:
        value = plan.exactly[fed.name]
        return Made(np.full(shape, value), f"all {value}, which ONNX Runtime's refusal asked for")
    if fed.name in plan.totals:
        parts = np.asarray(_equal_parts(plan.totals[fed.name], int(np.prod(shape))))
        return Made(parts.reshape(shape), f"parts of {plan.totals[fed.name]}")
    if fed.element == STRING:
        return Made(np.full(shape, "text", dtype=object), "the word 'text'")
    if fed.element == 9:
        return _booleans(fed, shape, use, plan)
    floating = fed.element in (1, 10, 11, 16, 17, 18, 19, 20)
    by_role = _by_role(fed, shape, use, plan, others)
    if by_role is not None:
        return by_role
    if floating:
        return _floats(fed, shape, plan, random)
    return _integers(fed, shape, use, plan, random)


def _booleans(fed: Input, shape: tuple[int, ...], use: Use, plan: Plan) -> Made:
    # `padding_mask` and `is_masked` say what to leave out; other masks what to keep.
    keep = not re.search(r"pad|masked|causal|exclude", fed.name.lower())
    if "false" in use.roles:
        keep = False
    if plan.unit_floats:
        keep = not keep
    return Made(np.full(shape, keep, dtype=bool), f"all {str(keep).lower()}")


def _by_role(
    fed: Input, shape: tuple[int, ...], use: Use, plan: Plan, others: Mapping[str, Input]
) -> Made | None:
    """Values for an input whose place in the graph demands certain numbers.

    Shapes, counts and axes come as scalars and lists; what has more axes, or indexes a table,
    only had its largest value or one of its rows used that way.
    """
    if use.bounds or len(shape) > 1:
        return None
    count = int(np.prod(shape))
    for role, data in use.roles.items():
        target = others.get(data)
        sizes = plan.shape(target) if target is not None and target.kind == "tensor" else None
        flat = _role_values(role, count, sizes, plan)
        if flat is not None:
            note = _ROLE_NOTES.get(role, "small numbers, because they are counts or axes")
            return Made(np.asarray(flat).reshape(shape), note)
    return None


_ROLE_NOTES = {
    "reshape": "a shape", "new shape": "a shape", "sizes": "a shape",
    "length": "the whole length of the sequence", "ratio": "a ratio of 0.5",
    "unit": "0.5", "ones": "all ones, which changes nothing where it is used",
}  # fmt: skip


def _role_values(
    role: str, count: int, sizes: tuple[int, ...] | None, plan: Plan
) -> Array | list[int] | None:
    if role == "reshape":
        # Valid whatever the size of the data.
        return [-1] + [1] * (count - 1) if count else []
    if role == "sizes":
        fits = sizes is not None and len(sizes) == count
        return list(sizes) if sizes is not None and fits else [1] * count
    if role == "split":
        return [1] * count if sizes is None else _equal_parts(sizes[0] if sizes else 1, count)
    if role == "length":
        return np.full(count, sizes[0] if sizes else _longest(plan))
    if role in ("last index", "total"):
        total = max(plan.dims.all_sizes().values(), default=1)
        return np.full(count, total - 1 if role == "last index" else total)
    constants = {"ones": 1, "zeros": 0, "ends": _TO_THE_END, "new shape": 2, "count": 16,
                 "trips": 4, "ratio": 0.5, "unit": 0.5}  # fmt: skip
    if role in constants:
        return np.full(count, constants[role])
    return np.arange(count) if role == "axes" else None


def _equal_parts(total: int, count: int) -> list[int]:
    if count == 0:
        return []
    return [total // count] * (count - 1) + [total - total // count * (count - 1)]


def _longest(plan: Plan) -> int:
    lengths = [n for k, n in plan.dims.all_sizes().items() if re.search(r"seq|len|time|frame", k)]
    return max(lengths, default=1)


def _floats(fed: Input, shape: tuple[int, ...], plan: Plan, random: np.random.Generator) -> Made:
    name = fed.name.lower()
    if "mask" in name and len(shape) <= 3:
        return Made(np.ones(shape), "all ones, because it is named a mask")
    if shape == () or (shape == (1,) and re.search(r"scale|rate|temperature|penalty|weight", name)):
        return Made(np.ones(shape), "1.0, because it is a single number")
    if plan.unit_floats:
        return Made(random.random(shape), "random, uniform in 0 to 1")
    if len(shape) == 4 or re.search(r"image|pixel|picture|frame|mel|spectro", name):
        return Made(random.random(shape), "random, uniform in 0 to 1 as pixels are")
    return Made(random.standard_normal(shape), "random, standard normal")


def _integers(
    fed: Input, shape: tuple[int, ...], use: Use, plan: Plan, random: np.random.Generator
) -> Made:
    name = fed.name.lower()
    limit, why = _limit(fed, use, plan)
    if re.search(r"mask", name) and limit > 1:
        return Made(np.ones(shape), "all ones, because it is named a mask")
    if re.search(r"token_type|segment", name):
        return Made(np.zeros(shape), "all zeros, one segment")
    if re.search(r"position|pos_ids", name) and shape:
        row = np.arange(shape[-1]) % max(limit if why else shape[-1], 1)
        return Made(np.broadcast_to(row, shape), "positions counted from 0")
    if use.equals and int(np.prod(shape)) == 1 and not why:
        chosen = max(use.equals)
        return Made(np.full(shape, chosen), f"{chosen}, with which the model compares it")
    named = _by_name(name, shape, plan)
    if named is not None and not why:
        return named
    if fed.element == 2 and not why:
        return Made(random.integers(0, 256, shape), "random bytes")
    told = f"random ids below {limit}" + (f", {why}" if why else "")
    return Made(random.integers(0, max(limit, 1), shape), told)


def _by_name(name: str, shape: tuple[int, ...], plan: Plan) -> Made | None:
    """Single whole numbers whose meaning their name tells."""
    if re.fullmatch(r"sr|fs|.*(sample|sampling)_?rate.*", name):
        return Made(np.full(shape, SAMPLING_RATE), f"{SAMPLING_RATE}, a sampling rate")
    if re.search(r"len", name) and len(shape) <= 1 and not re.search(r"max|min", name):
        length = _longest(plan)
        return Made(np.full(shape, length), f"{length}, the length of the sequence")
    if re.search(r"max_len|max_new|min_len|num_beams|num_return", name):
        value = SMALL_INTS if "max" in name else 1
        return Made(np.full(shape, value), f"{value}")
    if shape == ():
        return Made(np.ones(shape), "1, because it is a single number")
    return None


def _limit(fed: Input, use: Use, plan: Plan) -> tuple[int, str]:
    """Ids of this input stay below the first; the second says why, or is empty."""
    limit, why = SMALL_INTS, ""
    known = [(n - added, table) for size, added, table in use.bounds
             if (n := _known(size, plan)) is not None]  # fmt: skip
    if known:
        limit, table = min(known)
        why = f"the size of the smallest table they index ('{table}')"
    learned = plan.below.get(fed.name)
    if learned is not None and (not known or learned < limit):
        limit, why = learned, "the limit ONNX Runtime told"
    return max(min(limit, _largest(fed.element)), 0), why


def _largest(element: int) -> int:
    return {2: 256, 3: 128, 4: 65536, 5: 32768, 21: 16, 22: 8}.get(element, 1 << 31)


def _known(size: Size, plan: Plan) -> int | None:
    if isinstance(size, int):
        return size
    name, axis = size
    key = plan.dims.keys.get((name, axis))
    if key is None:
        return None
    return key if isinstance(key, int) else plan.dims.all_sizes().get(key)
