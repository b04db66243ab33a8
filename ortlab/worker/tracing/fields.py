"""Attributes of many objects at once.

A comprehension with the attribute written out takes half the time of `map(attrgetter(…))`:
hence this table of them, for what every event of a recent trace has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Objects: TypeAlias = list[Any]
Rows: TypeAlias = Callable[[Objects], list[Any]]

_LISTS: dict[str, Rows] = {
    "ts": lambda many: [one.ts for one in many],
    "dur": lambda many: [one.dur for one in many],
    "pid": lambda many: [one.pid for one in many],
    "tid": lambda many: [one.tid for one in many],
    "mem_bytes_in_use": lambda many: [one.mem_bytes_in_use for one in many],
    "mem_in_use_delta": lambda many: [one.mem_in_use_delta for one in many],
    "mem_bytes_requested_in_use": lambda many: [one.mem_bytes_requested_in_use for one in many],
    "mem_requested_in_use_delta": lambda many: [one.mem_requested_in_use_delta for one in many],
    "mem_in_use_peak": lambda many: [one.mem_in_use_peak for one in many],
    "mem_arena_held": lambda many: [one.mem_arena_held for one in many],
    "mem_arena_held_delta": lambda many: [one.mem_arena_held_delta for one in many],
}
_ROWS: dict[tuple[str, ...], Rows] = {
    (): lambda many: [()] * len(many),
    ("op_name", "provider"): lambda many: [(one.op_name, one.provider) for one in many],
    # As written since ORT 1.14.
    (
        "op_name", "provider", "node_index", "parameter_size", "activation_size", "output_size",
        "input_type_shape", "output_type_shape",
    ): lambda many: [
        (
            one.op_name, one.provider, one.node_index, one.parameter_size, one.activation_size,
            one.output_size, one.input_type_shape, one.output_type_shape,
        )
        for one in many
    ],
}  # fmt: skip


def values(field: str) -> Rows:
    """A function from objects to the values of this attribute."""
    single = attrgetter(field)
    return _LISTS.get(field, lambda many: list(map(single, many)))


def rows(fields: tuple[str, ...]) -> Rows:
    """A function from objects to one tuple of these attributes each."""
    if fields in _ROWS:
        return _ROWS[fields]
    if len(fields) == 1:
        only = values(fields[0])
        return lambda many: [(value,) for value in only(many)]
    several = attrgetter(*fields)
    return lambda many: list(map(several, many))


def names(events: Objects) -> list[tuple[str, str]]:
    """Category and name of each event."""
    return [(one.cat, one.name) for one in events]


def brief(events: Objects, of: Callable[[tuple[Any, ...]], Any]) -> list[Any]:
    """What `of` says of category, name, operator and provider of each event."""
    return [of((one.cat, one.name, (told := one.args).op_name, told.provider)) for one in events]


def arguments(events: Objects) -> Objects:
    """The arguments of each event."""
    return [one.args for one in events]


def matrix(objects: Objects, columns: Iterable[Rows]) -> Ints:
    """One line for each attribute, one column for each object.

    Raises:
        OverflowError: a number does not fit 64 bits.
    """
    count = len(objects)
    return np.stack([np.fromiter(each(objects), np.int64, count) for each in columns])
