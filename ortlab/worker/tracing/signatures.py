"""Signatures: what events have in common, decided once for all of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from hashlib import blake2b
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from ortlab.domain.trace import Signature
from ortlab.worker.tracing import fields
from ortlab.worker.tracing.facts import KERNEL_SUFFIX, NODE, ORT_SESSION_NAMES, SESSION, Tally
from ortlab.worker.tracing.formats import DEVICE_TEXTS, UNREADABLE, Format

FENCE, DAMAGED = -1, -2
"""Codes of events that are counted only."""
MAX_NAME_CHARACTERS = 500
MAX_SHAPES_CHARACTERS = 2_000
# Shapes may be new in every run (the past of a language model). Beyond this many signatures,
# 10,000 nodes with ten shapes each, further ones go without shapes and sizes.
MAX_SHAPED = 100_000
# Beyond this many, or this much text, further names of an operator become one.
MAX_SIGNATURES = 200_000
MAX_TEXT_CHARACTERS = 32 << 20
OTHER_NAMES = "(other names)"
# And beyond this many such, further operators become one.
_MAX_FOLDED = 10_000
# Shape texts remembered.
_MAX_SHAPE_TEXTS = 20_000
# Rows remembered to find a code again; forgotten all at once when there are too many.
_MAX_ROWS = 100_000
_MAX_REMEMBERED_CHARACTERS = 24 << 20
_MAX_REMEMBERED_ROW = 16_000

BRIEF_FIELDS = ("op_name", "provider")

Codes: TypeAlias = NDArray[np.int32]
_Key: TypeAlias = tuple[str, str]
_row_of = itemgetter(0)
_code_of = itemgetter(1)


class Signatures:
    """Finds the code of each event; a new kind of event gets the next one."""

    def __init__(self, tally: Tally) -> None:
        self.all: list[Signature] = []
        self.folded: set[int] = set()
        """Codes of signatures that stand for several names."""
        self.shapeless: set[int] = set()
        """Codes of signatures that stand for several shapes."""
        self._tally = tally
        self._text = 0
        self._numbers: dict[bytes, int] = {}
        self._shape_texts: dict[bytes, str | None] = {}
        # By category and name the last row and its code: nearly always the same again.
        self._last: dict[_Key, tuple[Any, int]] = {}
        self._rows: dict[Any, int] = {}
        self._briefs: dict[tuple[str | None, ...], int | None] = {}
        self._remembered = 0
        self._fields: tuple[str, ...] = ()
        self._device: list[str] = []
        self._rows_of = fields.rows(())

    def use(self, form: Format) -> None:
        """Read events of this format from now on."""
        self._fields = form.row_fields
        self._device = [key for key in DEVICE_TEXTS if key in self._fields]
        self._rows_of = fields.rows(self._fields)
        self._forget()

    def codes(self, events: list[Any], arguments: list[Any]) -> Codes:
        """The code of each event, in order."""
        if self._fields == BRIEF_FIELDS:
            return self._brief(events, arguments)
        keys = fields.names(events)
        rows = self._rows_of(arguments)
        last = self._last
        found: list[Any] = list(map(last.get, keys))
        # A name that is new has nothing remembered, which is not subscriptable.
        if None not in found and list(map(_row_of, found)) == rows:
            return np.fromiter(map(_code_of, found), np.int32, len(found))
        codes = [
            known[1]
            if (known := last.get(key)) is not None and known[0] == row
            else self._code(key, row, one)
            for key, row, one in zip(keys, rows, arguments, strict=True)
        ]
        return np.array(codes, np.int32)

    def _brief(self, events: list[Any], arguments: list[Any]) -> Codes:
        """The codes, where two arguments are all there is: one look-up for each event."""
        codes = fields.brief(events, self._briefs.get)
        if None not in codes:
            return np.array(codes, np.int32)
        for place, code in enumerate(codes):
            if code is None:
                event, one = events[place], arguments[place]
                key, row = (event.cat, event.name), (one.op_name, one.provider)
                codes[place] = self._code(key, row, one)
                if key in self._last:
                    self._briefs[*key, *row] = codes[place]
        return np.array(codes, np.int32)

    def _code(self, key: _Key, row: tuple[Any, ...], arguments: Any) -> int:
        """The code of an event that differs from the last one of its name."""
        full = (key, tuple(bytes(part) if type(part) is Raw else part for part in row))
        code = self._rows.get(full)
        if code is None:
            code = self._made(key, arguments)
            size = len(key[1]) + sum(len(part) for part in full[1] if hasattr(part, "__len__"))
            if size > _MAX_REMEMBERED_ROW:
                return code
            self._remembered += size
            if len(self._rows) >= _MAX_ROWS or self._remembered > _MAX_REMEMBERED_CHARACTERS:
                self._forget()
            self._rows[full] = code
        # What is remembered must not lie in the buffer that the next block is read into.
        kept = tuple(part.copy() if type(part) is Raw else part for part in row)
        self._last[key] = (kept, code)
        return code

    def _forget(self) -> None:
        self._last.clear()
        self._rows.clear()
        self._briefs.clear()
        self._remembered = 0

    def _made(self, key: _Key, arguments: Any) -> int:
        """The code of an event that was not seen in this form before."""
        category, name = key
        if not name:
            return DAMAGED
        kind = self._tally.kind(category, name, arguments)
        if kind is None:
            return FENCE
        whole = self._signature(kind, name, arguments)
        for signature, room, marked in self._forms(whole):
            content = msgspec.msgpack.encode(signature)
            # A digest in place of the text: a hostile file has many.
            digest = blake2b(content, digest_size=16).digest()
            if digest not in self._numbers:
                if not room:
                    continue
                self._numbers[digest] = len(self.all)
                self._text += len(content)
                self.all.append(signature)
            code = self._numbers[digest]
            marked.add(code)
            return code
        raise AssertionError("The last form always has room.")

    def _forms(self, whole: Signature) -> Iterator[tuple[Signature, bool, set[int]]]:
        """The signature and what is left of it when room becomes scarce; whether there is room."""
        count, text = len(self.all), self._text
        runs = whole.category == SESSION and whole.name in ORT_SESSION_NAMES
        yield whole, runs or (count < MAX_SHAPED and 2 * text < MAX_TEXT_CHARACTERS), set()
        plain = msgspec.structs.replace(
            whole, parameter_bytes=None, activation_bytes=None, output_bytes=None,
            input_shapes=None, output_shapes=None,
        )  # fmt: skip
        yield plain, count < MAX_SIGNATURES and text < MAX_TEXT_CHARACTERS, self.shapeless
        kind = whole.category
        nameless = Signature(kind, OTHER_NAMES, whole.op_type, whole.provider)
        yield nameless, count < MAX_SIGNATURES + _MAX_FOLDED, self.folded
        yield Signature(kind, OTHER_NAMES, OTHER_NAMES), True, self.folded

    def _signature(self, kind: int, name: str, arguments: Any) -> Signature:
        told = {key: getattr(arguments, key) for key in self._fields}.get
        device = {key: clipped(text) for key in self._device if (text := told(key)) is not None}
        # In whichever generation of the format this is: node_index since 1.14.
        indexes = (told("node_index"), told("graph_index"), told("exec_plan_index"))
        return Signature(
            category=kind,
            name=clipped(name.removesuffix(KERNEL_SUFFIX) if kind == NODE else name) or "",
            op_type=clipped(_first(told("op_name"), told("ov_node_type"))),
            provider=clipped(_first(told("provider"), told("ep"))),
            node_index=_within(_first(*indexes), 1 << 31),
            parameter_bytes=_within(told("parameter_size")),
            activation_bytes=_within(told("activation_size")),
            output_bytes=_within(told("output_size")),
            input_shapes=self._shapes(told("input_type_shape")),
            output_shapes=self._shapes(told("output_type_shape")),
            parent=clipped(told("parent_ort_event_name")),
            device=device or None,
        )

    def _shapes(self, raw: Raw | None) -> str | None:
        key = bytes(raw) if raw is not None else b""
        if key not in self._shape_texts:
            if len(self._shape_texts) >= _MAX_SHAPE_TEXTS:
                self._shape_texts.clear()
            self._shape_texts[key] = _shape_text(key)
        return self._shape_texts[key]


def clipped(text: str | None, limit: int = MAX_NAME_CHARACTERS) -> str | None:
    """The text, or its beginning and a checksum, so that different giant names stay different."""
    if text is None or len(text) <= limit:
        return text
    return f"{text[: limit - 12]}…{zlib.crc32(text.encode('utf-8', 'replace')):08x}"


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def _within(number: int | None, limit: int = 1 << 62) -> int | None:
    return number if number is not None and -limit < number < limit else None


def _shape_text(raw: bytes) -> str | None:
    """Types and shapes in one line: `float[1,3,224,224] int64[2]`; raw text if it is unusual."""
    if not raw:
        return None
    try:
        tensors = msgspec.json.decode(raw, type=list[dict[str, list[int]]])
        parts = [f"{t}[{','.join(map(str, dims))}]" for pair in tensors for t, dims in pair.items()]
        text = " ".join(parts)
    except UNREADABLE:
        text = raw.decode("utf-8", "replace")
    return clipped(text, MAX_SHAPES_CHARACTERS) or None
