"""What a timeline shows of a trace: lanes, and the part of them that lies in a window of time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from msgspec import Struct

HOST_CLOCK, DEVICE_CLOCK = "host", "device"
"""Clocks of a trace. Times of different clocks must never share an axis."""


def host_clock(session: int) -> str:
    """The clock of one session: every profiler counts from its own start."""
    return HOST_CLOCK if session == 0 else f"{HOST_CLOCK} {session + 1}"


class Lane(Struct, frozen=True, kw_only=True):
    """One thread or device stream; nested events lie in further rows below its first."""

    name: str
    detail: str = ""
    """Process and thread, or stream, as the file names them."""
    clock: str = HOST_CLOCK
    is_device: bool = False
    event_count: int = 0
    busy_us: int = 0
    """Time of its events that are nested in no other."""
    depths: tuple[int, ...] = ()
    """Nesting depth of each of its rows, from the top."""


class Contents(Struct, frozen=True, kw_only=True):
    """What a whole timeline holds, without its events."""

    lanes: tuple[Lane, ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    """Operator and provider; the ones with most time first, the last may stand for the rest."""
    extents: dict[str, tuple[int, int]] = {}
    """First and last µs of each clock that has events."""
    event_count: int = 0
    run_count: int = 0


class Item(Struct, frozen=True, array_like=True):
    """What a span is a call of."""

    name: str
    kind: int
    """Position in `Window.kinds`."""
    node: int | None = None
    """Its `NodeRow.order`; None for device work that belongs to no known node."""


class Spans(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="spans"):
    """Every event of one row that touches the window, in order of start."""

    row: int
    steps_us: list[int] = []
    """Start of each after the start of the one before; of the first after the window's start."""
    duration_us: list[int] = []
    item: list[int] = []
    """Positions in `Window.items`."""
    self_us: dict[int, int] = {}
    """Own time where other events are nested inside, by position."""

    def starts_us(self, window_start_us: int) -> Iterator[int]:
        """Start of each event, µs of the trace."""
        return (window_start_us + at for at in accumulate(self.steps_us))


class Buckets(Struct, frozen=True, omit_defaults=True, kw_only=True, tag="buckets"):
    """One row summed up over equal parts of the window; empty parts are left out."""

    row: int
    steps: list[int] = []
    """Number of each part after that of the one before; the first counts from 0."""
    busy_us: list[int] = []
    """Time of events within the part, cut at its borders."""
    kind: list[int] = []
    """The operator and provider with most of that time."""
    calls: list[int] = []
    """Events that begin in the part."""
    item: list[int] = []
    """Of the longest event that begins in the part, else of the one that lasts into it."""
    selected: list[int] = []
    """Parts, counted from 0, in which the selected node has a call."""


class Window(Struct, frozen=True, kw_only=True):
    """One span of time: every event where they are few enough to be told apart, else sums."""

    start_us: int
    end_us: int
    clock: str
    bucket_count: int = 0
    """Parts that the window is cut into: part k begins at start + k · length ÷ count, rounded
    down. 0: `rows` holds events."""
    event_count: int = 0
    """Events that touch the window in the rows shown."""
    lanes: tuple[Lane, ...] = ()
    hidden_lane_count: int = 0
    """Lanes left out because only so many fit a picture."""
    rows: tuple[Spans | Buckets, ...] = ()
    items: tuple[Item, ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    runs: tuple[tuple[int, int, int, bool], ...] = ()
    """Number, start, duration and whether it is warm-up of the runs that touch the window."""
    run_count: int = 0
    """Runs that touch the window; `runs` is empty where they are too many to be drawn."""
