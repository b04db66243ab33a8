"""A decoder made for the arguments that the events of one trace have.

Fewer fields are found faster, so the typed event is made from the keys that were seen; a
block with a further key fails once, and the key is learned. Numbers that ONNX Runtime
writes as text become numbers while they are decoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Raw

from ortlab.domain.trace import CORRELATION_COLUMN, MEMORY_COLUMNS, NOT_TOLD

# Beyond these, further unknown keys of a file share one field.
MAX_UNKNOWN_KEYS = 64
ODD_KEY = "(other)"
"""Arguments that fit no field: of an unexpected type, or beyond `MAX_UNKNOWN_KEYS`."""
NOTHING = Raw()
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Everything that decoding hostile JSON can raise."""
STATS = "thread_scheduling_stats"
SHAPES = ("input_type_shape", "output_type_shape")

TEXTS = ("op_name", "provider", "ep", "ov_node_type", "parent_ort_event_name")
DEVICE_TEXTS = (
    "ov_exec_type", "ov_status", "stream", "grid_x", "grid_y", "grid_z",
    "block_x", "block_y", "block_z", "shapes", "cache_key",
)  # fmt: skip
INDEXES = (
    "node_index", "exec_plan_index", "graph_index",
    "parameter_size", "activation_size", "output_size", "max_num_events", "dropped_event_count",
)  # fmt: skip
NUMBERS = (*MEMORY_COLUMNS, CORRELATION_COLUMN)

Field: TypeAlias = tuple[str, Any, Any]
KNOWN: dict[str, Field] = {
    **{key: (key, str, None) for key in (*TEXTS, *DEVICE_TEXTS)},
    **{key: (key, int, None) for key in INDEXES},
    **{key: (key, int, NOT_TOLD) for key in NUMBERS},
    **{key: (key, Raw, NOTHING) for key in (*SHAPES, STATS)},
}
"""Name, type and default of every argument that ONNX Runtime is known to write."""

# Decoding a text that is one of a few costs less than decoding any text.
_CATEGORIES = ("Node", "Session", "Kernel", "Api")
_MAX_CATEGORIES = 50

EVENT_KEYS = ("cat", "name", "ph", "ts", "dur", "pid", "tid", "args")
LANE_KEYS = ("pid", "tid")
BRIEF = frozenset({"op_name", "provider"})
"""What sums by operator need beside name and times."""
PLAIN = frozenset({*BRIEF, *LANE_KEYS, *SHAPES, *INDEXES})
"""What a table of nodes needs: everything but memory, thread statistics and device arguments."""


class Format:
    """How the events of one trace are decoded, as far as it is known.

    Args:
        wanted: arguments to read, and `LANE_KEYS`; others are skipped. All of them by default.
    """

    def __init__(self, wanted: frozenset[str] | None = None) -> None:
        self._wanted = wanted
        self._keys: set[str] = set(wanted or ())
        self._categories = set(_CATEGORIES)
        self._top: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        """Field of each key of `args` that no ORT is known to write."""
        self._build()

    @property
    def top_unknown(self) -> dict[str, str]:
        """Field of each unexpected key beside `args`."""
        return self._top

    @property
    def takes_all(self) -> bool:
        """Whether every argument of an event must have a field."""
        return self._wanted is None

    def has(self, key: str) -> bool:
        """Whether events with this argument were seen."""
        return key in self._keys

    def learn(self, events: Iterable[dict[str, Any]]) -> bool:
        """Whether these events have keys that were not known until now."""
        before = self._size()
        for event in events:
            category = event.get("cat", "")
            if isinstance(category, str) and len(self._categories) < _MAX_CATEGORIES:
                self._categories.add(category)
            if self.takes_all:
                self._learn_keys(event)
        if self._size() == before:
            return False
        self._build()
        return True

    def _learn_keys(self, event: dict[str, Any]) -> None:
        for key in event.keys() - set(EVENT_KEYS):
            self._add_unknown(key, self._top)
        arguments = event.get("args")
        for key in arguments if isinstance(arguments, dict) else ():
            if key in KNOWN:
                self._keys.add(key)
            else:
                self._add_unknown(key, self.unknown)

    def _size(self) -> int:
        return sum(map(len, (self._keys, self._categories, self._top, self.unknown)))

    def takes(self, key: str, *, top: bool = False) -> bool:
        """Whether an argument with this key has a field."""
        if self._wanted is not None:
            return key in self._wanted
        return key in (self._top if top else self.unknown) or (not top and key in self._keys)

    def decode(self, block: Any) -> list[Any]:
        """The events of a JSON list.

        Raises:
            msgspec.MsgspecError: it is not valid, or something in it is unexpected.
        """
        events: list[Any] = self._decode(block)
        return events

    def _add_unknown(self, key: str, into: dict[str, str]) -> None:
        room = len(self.unknown) + len(self._top) < MAX_UNKNOWN_KEYS
        if key not in into and (key == ODD_KEY or (room and _is_plain(key))):
            prefix = "top" if into is self._top else "unknown"
            into[key] = f"{prefix}_{len(into)}"

    def _build(self) -> None:
        strict = self._wanted is None
        known = [KNOWN[key] for key in KNOWN if key in self._keys]
        arguments = msgspec.defstruct(
            "Arguments",
            [*known, *((field, Raw, NOTHING) for field in self.unknown.values())],
            rename={field: key for key, field in self.unknown.items()},
            forbid_unknown_fields=strict,
            gc=False,
        )
        few = len(self._categories) < _MAX_CATEGORIES
        category = Literal[tuple(sorted(self._categories))] if few else str
        event = msgspec.defstruct(
            "Event",
            [
                # In ORT's order, which is found fastest.
                ("cat", category, ""),
                *((key, int, NOT_TOLD) for key in LANE_KEYS if strict or key in self._keys),
                ("dur", int),
                ("ts", int),
                ("ph", Literal["X"], "X"),
                ("name", str),
                ("args", arguments, msgspec.field(default_factory=arguments)),
                *((field, Raw, NOTHING) for field in self._top.values()),
            ],
            rename={field: key for key, field in self._top.items()},
            forbid_unknown_fields=strict,
            kw_only=True,
            gc=False,
        )
        self._decode = msgspec.json.Decoder(list[event], strict=False).decode  # type: ignore[valid-type]
        self.row_fields = tuple(
            key for key in KNOWN if key in self._keys and key not in (*NUMBERS, STATS)
        )
        """Arguments that belong to the signature of an event."""
        self.time_fields = (
            "ts",
            "dur",
            *(key for key in LANE_KEYS if strict or key in self._keys),
        )
        self.number_fields = tuple(key for key in NUMBERS if key in self._keys)


def _is_plain(key: str) -> bool:
    # Field names of a typed decoder may hold neither of these.
    return len(key) <= 100 and key.isprintable() and not set(key) & set('"\\')
