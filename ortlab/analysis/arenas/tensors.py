"""Tensors as a trace names them, by type and shape, with their bytes."""

from __future__ import annotations

from msgspec import Struct

from ortlab.analysis.reading.stored_events import UNKNOWN, Words

_ELEMENT_BYTES = {
    "float": 4, "double": 8, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1, "int16": 2,
    "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "bool": 1, "complex64": 8,
    "complex128": 16, "float8e4m3fn": 1, "float8e4m3fnuz": 1, "float8e5m2": 1,
    "float8e5m2fnuz": 1,
}  # fmt: skip
"""Bytes of one element by ORT's name of the type; text and packed types are left out."""


class Tensor(Struct, frozen=True):
    """Type with shape as the trace writes them, and their bytes; 0 where they cannot be told."""

    text: str
    bytes: int


class Tensors:
    """The tensors of events from their shape texts, each text read once."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._known: dict[int, tuple[Tensor, ...]] = {}

    def of(self, event: int, *, total: int | None = None) -> tuple[Tensor, ...]:
        """Tensors of one event; one of `total` bytes where sizes and total do not agree."""
        code = int(self._words.codes[event])
        if code not in self._known:
            self._known[code] = tensors(self._words.texts[code])
        found = self._known[code]
        if total is None or sum(tensor.bytes for tensor in found) == total:
            return found
        return (Tensor(found[0].text if len(found) == 1 else "", max(total, 0)),)


def tensors(text: str) -> tuple[Tensor, ...]:
    """The tensors of a shape text such as `float[1,3,224,224] int64[2]`; none if it is no such."""
    found = []
    for part in text.split(" ") if text not in ("", UNKNOWN) else ():
        kind, bracket, rest = part.partition("[")
        dims = rest.removesuffix("]").split(",") if rest != "]" else []
        if not bracket or not all(d.isdecimal() and len(d) < 19 for d in dims):
            return ()
        count = 1
        for dim in dims:
            count *= int(dim)
        found.append(Tensor(part, count * _ELEMENT_BYTES.get(kind, 0)))
    return tuple(found)
