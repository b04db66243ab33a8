"""ONNX's element types by number: their names and widths."""

from __future__ import annotations

from math import prod

_ROWS = (
    (1, "float32", 32), (2, "uint8", 8), (3, "int8", 8), (4, "uint16", 16), (5, "int16", 16),
    (6, "int32", 32), (7, "int64", 64), (8, "string", 0), (9, "bool", 8), (10, "float16", 16),
    (11, "float64", 64), (12, "uint32", 32), (13, "uint64", 64), (14, "complex64", 64),
    (15, "complex128", 128), (16, "bfloat16", 16), (17, "float8e4m3fn", 8),
    (18, "float8e4m3fnuz", 8), (19, "float8e5m2", 8), (20, "float8e5m2fnuz", 8),
    (21, "uint4", 4), (22, "int4", 4), (23, "float4e2m1", 4), (24, "float8e8m0", 8),
    (25, "uint2", 2), (26, "int2", 2), (27, "float6e2m3", 6), (28, "float6e3m2", 6),
)  # fmt: skip

_NAMES = {number: name for number, name, _ in _ROWS}
_BITS = {number: bits for number, _, bits in _ROWS}

FIRST_IR_VERSION = {17: 9, 18: 9, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13,
                    27: 14, 28: 14}  # fmt: skip
"""The IR version that brought each newer element type; onnx.proto's version notes."""

FLOAT32, INT32, INT64, BOOL = 1, 6, 7, 9
INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})


def dtype_name(number: int) -> str:
    """`float32` for 1; `undefined` for a number that ONNX does not have."""
    return _NAMES.get(number, "undefined")


def tensor_bytes(dtype: int, dims: tuple[int, ...]) -> int:
    """Bytes of the raw form, sub-byte elements packed; 0 for strings."""
    return (prod(dims) * _BITS.get(dtype, 0) + 7) // 8


def element_count(dims: tuple[int, ...]) -> int:
    """Elements of a tensor with these dimensions."""
    return prod(dims)
