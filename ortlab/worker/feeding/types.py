"""ONNX element types: their names, and the numpy type in which each is kept and fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ortlab.errors import FeedError


@dataclass(frozen=True)
class ElementType:
    """One element type. `stored` is numpy's type, or an unsigned view where numpy has none.

    `by_value`: `run` takes no numpy array of it, only an OrtValue made from the view.
    """

    onnx: int
    name: str
    stored: str
    by_value: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of the stored form."""
        return np.dtype(self.stored)


_ROWS = (
    (1, "float32", "f4"), (2, "uint8", "u1"), (3, "int8", "i1"), (4, "uint16", "u2"),
    (5, "int16", "i2"), (6, "int32", "i4"), (7, "int64", "i8"), (8, "string", "O"),
    (9, "bool", "?"), (10, "float16", "f2"), (11, "float64", "f8"), (12, "uint32", "u4"),
    (13, "uint64", "u8"), (16, "bfloat16", "u2"), (17, "float8e4m3fn", "u1"),
    (18, "float8e4m3fnuz", "u1"), (19, "float8e5m2", "u1"), (20, "float8e5m2fnuz", "u1"),
    (21, "uint4", "u1"), (22, "int4", "u1"),
)  # fmt: skip
_BY_VALUE = (16, 17, 18, 19, 20, 21, 22)
TYPES = {
    number: ElementType(number, name, stored, by_value=number in _BY_VALUE)
    for number, name, stored in _ROWS
}
"""By ONNX's number (onnx.proto, TensorProto.DataType)."""

# Types ONNX has and the Python interface of ONNX Runtime cannot be fed with (checked on 1.31.1).
_UNFED = {
    14: "complex64", 15: "complex128", 23: "float4e2m1",
    24: "float8e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip

STRING = 8
_ORT_NAMES = {"float": 1, "double": 11}


def element_type(onnx: int, *, name: str) -> ElementType:
    """The element type of the input `name`.

    Raises:
        FeedError: ONNX Runtime's Python interface has no way to feed it.
    """
    if onnx in TYPES:
        return TYPES[onnx]
    told = _UNFED.get(onnx, f"number {onnx}")
    raise FeedError(
        f"Input '{name}' has the element type {told}, which ONNX Runtime's Python interface "
        "cannot be fed with.",
        hint="Feed another type and convert inside the model with Cast or DequantizeLinear.",
    )


def from_ort(text: str) -> tuple[str, bool, int]:
    """Kind, optional and ONNX number of a type as sessions tell it: `seq(tensor(float))`."""
    optional = text.startswith("optional(")
    kind = "sequence" if "seq(" in text else "map" if "map(" in text else "tensor"
    element = text.rsplit("tensor(", 1)[-1].split(")")[0]
    numbers = {t.name: t.onnx for t in TYPES.values()} | _ORT_NAMES
    return kind, optional, numbers.get(element, 0)


def bfloat16_bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float32 values rounded to bfloat16 (to nearest, ties to even), as uint16."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.asarray(np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16))


def bfloat16_values(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """bfloat16 bits as float32 values."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


# (exponent bits, mantissa bits, bias) of the 8-bit floats, by ONNX number.
_FLOAT8 = {17: (4, 3, 7), 18: (4, 3, 8), 19: (5, 2, 15), 20: (5, 2, 16)}


def float8_values(onnx: int) -> np.ndarray[Any, Any]:
    """The value of each of the 256 codes of an 8-bit float type."""
    exponent_bits, mantissa_bits, bias = _FLOAT8[onnx]
    codes = np.arange(256)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    mantissa = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    size = np.where(
        exponent == 0, mantissa * 2.0 ** (1 - bias), (1 + mantissa) * 2.0 ** (exponent - bias)
    )
    values = np.where(codes >= 128, -size, size)
    values[_float8_special(onnx)] = np.nan
    if onnx == 19:
        values[[0x7C, 0xFC]] = (np.inf, -np.inf)
    return values.astype(np.float32)


def _float8_special(onnx: int) -> list[int]:
    """The codes that are NaN."""
    if onnx == 17:
        return [0x7F, 0xFF]
    if onnx == 19:
        return [0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]
    return [0x80]


def float8_codes(values: np.ndarray[Any, Any], onnx: int) -> np.ndarray[Any, Any]:
    """The nearest code of each value, as uint8; infinities and NaN are never chosen."""
    table = float8_values(onnx)
    usable = np.flatnonzero(np.isfinite(table))
    order = usable[np.argsort(table[usable], kind="stable")]
    sorted_values = table[order]
    right = np.clip(np.searchsorted(sorted_values, values), 1, len(order) - 1)
    nearer_left = values - sorted_values[right - 1] < sorted_values[right] - values
    return order[np.where(nearer_left, right - 1, right)].astype(np.uint8)


PACKED = (21, 22)
"""Types of four bits, two in a byte."""


def packed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Whole numbers as four bits each, low half first, in the front of an array of their shape.

    An OrtValue takes its shape from the array, so there are as many bytes as elements and the
    second half of them is never read (checked on ONNX Runtime 1.31.1).
    """
    halves = np.zeros(values.size + values.size % 2, np.uint8)
    halves[: values.size] = values.reshape(-1).astype(np.int64) & 15
    stored = np.zeros(values.size, np.uint8)
    stored[: halves.size // 2] = halves[::2] | (halves[1::2] << 4)
    return stored.reshape(values.shape)


def unpacked(content: bytes, shape: tuple[int, ...], onnx: int) -> np.ndarray[Any, Any]:
    """The numbers of four bits each in `content`, as int8."""
    both = np.frombuffer(content, np.uint8)
    values = np.stack([both & 15, both >> 4], axis=1).reshape(-1)[: int(np.prod(shape))]
    signed = values.astype(np.int8)
    if onnx == 22:
        signed = np.where(signed > 7, signed - 16, signed).astype(np.int8)
    return signed.reshape(shape)


def as_float(stored: np.ndarray[Any, Any], element: int) -> np.ndarray[Any, Any]:
    """Stored values as floats: the bits of bfloat16 and float8 read as what they mean."""
    if element == 16:
        return bfloat16_values(stored)
    if element in _FLOAT8:
        return np.asarray(float8_values(element)[stored])
    return stored
