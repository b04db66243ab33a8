"""Several sessions in one file: traces that were joined, each with a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from ortlab.analysis.reading.arrays import Flags, Ints
from ortlab.domain.trace import Signature

# Joined by hand are a few; a hostile file repeats the event that opens a session.
MAX_SESSIONS = 1_000
LOADING = "model_loading"
INITIALIZATION = "session_initialization"


class Sessions(Struct, frozen=True):
    """Lanes told apart by session."""

    lane: Ints
    """Per event; the lane it had, unless that thread number occurs in an earlier session."""
    lanes: list[list[Any]]
    """Process and thread of each lane; those of later sessions follow the first one's."""
    session_of_lane: Ints
    count: int


def apart(
    sig: Ints, lane: Ints, *, signatures: Sequence[Signature], lanes: list[list[Any]]
) -> Sessions:
    """The events' lanes such that no two sessions share one.

    A session begins with the loading of its model, or where the file has none with its
    initialization; it ends where, in the order of the file, the next one of the same process
    begins. Clocks of sessions are not comparable, so neither are times of different lanes.
    """
    one = Sessions(lane, lanes, np.zeros(max(1, len(lanes)), np.int64), 1)
    opens = np.array([_opens(s.name) for s in signatures] or [0], np.int8)
    if int((opens == 2).sum()) == 0:
        return one
    at = np.flatnonzero(opens[sig] > 0)
    if len(at) < 2:
        return one
    process = _codes([pair[0] if pair else None for pair in lanes])
    begins = _begins(at, is_init=opens[sig[at]] == 2, process=process[lane[at]])
    return _lifted(lane, lanes, process=process, begins=begins) if len(begins) > 1 else one


def _opens(name: str) -> int:
    return 2 if name == INITIALIZATION else 1 if name.startswith(LOADING) else 0


def _codes(values: list[Any]) -> Ints:
    known: dict[str, int] = {}
    return np.array([known.setdefault(str(v), len(known)) for v in values] or [0], np.int64)


def _begins(at: Ints, *, is_init: Flags, process: Ints) -> list[tuple[int, int]]:
    """Position and process of the first event of each session, in the order of the file."""
    begun: dict[int, bool] = {}
    found: list[tuple[int, int]] = []
    for position, init, of in zip(at.tolist(), is_init.tolist(), process.tolist(), strict=True):
        # `begun[of]` tells whether the process's open session was initialized already.
        if begun.get(of, True) and len(found) < MAX_SESSIONS:
            found.append((position, of))
            begun[of] = False
        begun[of] = begun.get(of, False) or init
    return found


def _lifted(
    lane: Ints, lanes: list[list[Any]], *, process: Ints, begins: list[tuple[int, int]]
) -> Sessions:
    session = _numbers(process[lane], begins)
    pairs = session * len(lanes) + lane
    used = np.unique(pairs)
    return Sessions(
        np.searchsorted(used, pairs).astype(np.int64),
        [lanes[pair % len(lanes)] for pair in used.tolist()],
        used // len(lanes),
        len(begins),
    )


def _numbers(process: Ints, begins: list[tuple[int, int]]) -> Ints:
    """Per event the last session that its process began before it.

    Events of a process that begins none (devices) belong to whichever began last.
    """
    position, owner = (np.array(column, np.int64) for column in zip(*begins, strict=True))
    at = np.arange(len(process))
    latest = np.maximum(np.searchsorted(position, at, side="right") - 1, 0)
    # One ascending key for all processes: each lies above the ones before it.
    key = owner * len(process) + position
    by_key = np.argsort(key)
    found = np.searchsorted(key[by_key], process * len(process) + at, side="right") - 1
    own = by_key[np.maximum(found, 0)]
    mine = (found >= 0) & (owner[own] == process)
    # Before its first session a process has nothing; whatever is there goes with that one.
    first = {of: number for number, of in reversed(list(enumerate(owner.tolist())))}
    early = np.array([first.get(of, -1) for of in range(int(process.max(initial=0)) + 1)])[process]
    numbers: Ints = np.where(mine, own, np.where(early >= 0, early, latest))
    return numbers
