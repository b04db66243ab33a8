"""Events as columns: what a block of decoded events becomes, a group of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from ortlab.domain.trace import NOT_TOLD, NUMBER_COLUMNS, POOL_COLUMNS
from ortlab.worker.tracing import fields
from ortlab.worker.tracing.events import MAX_TIME_US
from ortlab.worker.tracing.facts import SESSION, Tally
from ortlab.worker.tracing.formats import STATS, Format
from ortlab.worker.tracing.lanes import Ints, Lanes
from ortlab.worker.tracing.pool import Pool
from ortlab.worker.tracing.signatures import DAMAGED, FENCE, Codes, Signatures

# Large enough for Parquet to compress well; 11 MB as numbers.
GROUP_EVENTS = 65_536
MAX_EXTRA_CHARACTERS = 4_000

Part: TypeAlias = tuple[Any, Ints]
"""Lines of `Group.numbers`, and their values for a block of events."""

_PLACE = {name: place for place, name in enumerate(("ts", "dur", "lane", *NUMBER_COLUMNS))}
_TIMES = slice(0, 2)
_LANE = _PLACE["lane"]
_LEAST = np.array([-MAX_TIME_US, 0])
"""Of a time and of a duration."""
_NONE: Ints = np.empty(0, np.int64)
_POOL = slice(_PLACE[POOL_COLUMNS[0]], _PLACE[POOL_COLUMNS[-1]] + 1)


class Group(Struct):
    """Rows of the table: `GROUP_EVENTS` of them, the last group fewer."""

    sig: NDArray[np.int32]
    numbers: Ints
    """One line per column: ts, dur, lane and `NUMBER_COLUMNS`."""
    extra: dict[int, str]
    """Arguments that have no column, as JSON, by row."""
    count: int = 0

    def column(self, name: str) -> Ints:
        """The values of one column."""
        values: Ints = self.numbers[_PLACE[name], : self.count]
        return values


Sink: TypeAlias = Callable[[Group], None]


class Columns:
    """Fills groups with events and hands the full ones to `sink`, in file order."""

    def __init__(self, tally: Tally, sink: Sink, *, room: int, form: Format) -> None:
        self.signatures = Signatures(tally)
        self.lanes = Lanes()
        self.pool = Pool()
        self.kept = 0
        self._capped = 0
        self._folded = 0
        self._folded_shapes = 0
        self._loads = 0
        self._starts = 0
        self._tally = tally
        self._sink = sink
        self._room = room
        self.use(form)
        self._group = _empty(self._width)

    def use(self, form: Format) -> None:
        """Take events of this format from now on."""
        self.signatures.use(form)
        self._times = [fields.values(name) for name in form.time_fields]
        self._numbers = [fields.values(name) for name in form.number_fields]
        self._places = [_PLACE[name] for name in form.number_fields]
        self._stats = fields.values(STATS) if form.has(STATS) else None
        told = {*form.number_fields, *(POOL_COLUMNS if self._stats else ())}
        self._absent = [
            _PLACE[name] for name in NUMBER_COLUMNS if form.takes_all and name not in told
        ]
        # Without these, the columns behind them are not there either.
        self._width = len(_PLACE) if form.takes_all else len(form.time_fields[:3])
        self._unknown = dict(form.unknown)
        self._top = dict(form.top_unknown)

    def take(self, events: list[Any]) -> Ints:
        """Places of events that are unsound; the others are counted and kept.

        Raises:
            OverflowError: a number does not fit 64 bits; then none was taken.
        """
        arguments = fields.arguments(events)
        times = fields.matrix(events, self._times)
        numbers = fields.matrix(arguments, self._numbers) if self._numbers else _NONE
        sig = self.signatures.codes(events, arguments)
        parts: list[Part] = [(_TIMES, times[:2])]
        if len(times) > 2:
            parts.append((_LANE, self.lanes.codes(times[2], times[3])))
        if self._places:
            parts.append((self._places, numbers))
        if self._stats is not None:
            parts.append((_POOL, self.pool.columns(self._stats(arguments))))
        extra = self._extras(events, arguments) if self._unknown or self._top else {}
        lowest, highest = times[:2].min(axis=1), times[:2].max(axis=1)
        # Nearly always: nothing below the least that is sound, no fence, nothing above.
        if (lowest >= _LEAST).all() and (highest <= MAX_TIME_US).all() and sig.min() >= 0:
            self._keep(sig, parts, extra)
            return _NONE
        sound = (times[:2] >= _LEAST[:, None]).all(axis=0) & (times[:2] <= MAX_TIME_US).all(axis=0)
        sound &= sig != DAMAGED
        fences = sound & (sig == FENCE)
        self._tally.fences += int(fences.sum())
        rows = np.flatnonzero(sound & ~fences)
        kept = {new: extra[old] for new, old in enumerate(rows.tolist()) if old in extra}
        self._keep(sig[rows], [(at, part[..., rows]) for at, part in parts], kept)
        return np.flatnonzero(~sound)

    def flush(self) -> None:
        """Count and hand on what is waiting."""
        group, self._group = self._group, _empty(self._width)
        if group.count:
            self._count(group.sig[: group.count])
            self._sink(group)

    def facts(self) -> dict[str, Any]:
        """Fields of `TraceFacts` that the columns tell."""
        loaded, started = self._loads, self._starts
        return {
            "capped_count": self._capped,
            "folded_count": self._folded,
            "folded_shapes_count": self._folded_shapes,
            "session_count": max(loaded, started),
            "pool_threads": self.pool.threads(),
        }

    def _keep(self, sig: Codes, parts: list[Part], extra: dict[int, str]) -> None:
        """Add these events to the group, as many as there is room for."""
        wanted = len(sig)
        total = min(wanted, self._room - self.kept)
        start = 0
        while start < total:
            group = self._group
            stop = min(total, start + GROUP_EVENTS - group.count)
            into = slice(group.count, group.count + stop - start)
            group.sig[into] = sig[start:stop]
            if self._absent:
                group.numbers[self._absent, into] = NOT_TOLD
            for places, values in parts:
                group.numbers[places, into] = values[..., start:stop]
            if extra:
                shift = group.count - start
                moved = {at + shift: text for at, text in extra.items() if start <= at < stop}
                group.extra.update(moved)
            group.count = into.stop
            start = stop
            if group.count == GROUP_EVENTS:
                self.flush()
        self.kept += total
        self._tally.counted += wanted
        if total < wanted:
            self._capped += wanted - total
            self._count(sig[total:])

    def _count(self, sig: Codes) -> None:
        """Count events by category, and those whose name or shapes were given up."""
        codes, counts = np.unique(sig, return_counts=True)
        known = self.signatures
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            one = known.all[code]
            self._tally.count_kind(one.category, count)
            self._folded += count if code in known.folded else 0
            self._folded_shapes += count if code in known.shapeless else 0
            if one.category == SESSION:
                self._loads += count if one.name.startswith("model_loading") else 0
                self._starts += count if one.name == "session_initialization" else 0

    def _extras(self, events: list[Any], arguments: list[Any]) -> dict[int, str]:
        """Arguments that have no column, as JSON, by place in the block."""
        found: dict[int, dict[str, Raw]] = {}
        for unknown, holders in ((self._unknown, arguments), (self._top, events)):
            for key, field in unknown.items():
                values = fields.values(field)(holders)
                places = [place for place, value in enumerate(values) if value]
                self._tally.unknown_fields[key] += len(places)
                for place in places:
                    found.setdefault(place, {})[key] = values[place]
        return {place: _json(raws) for place, raws in found.items()}


def _empty(width: int) -> Group:
    return Group(
        sig=np.zeros(GROUP_EVENTS, np.int32),
        # Filled as it is used: no page of it is touched before.
        numbers=np.empty((width, GROUP_EVENTS), np.int64),
        extra={},
    )


def _json(raws: dict[str, Raw]) -> str:
    text = msgspec.json.encode(raws).decode()
    if len(text) <= MAX_EXTRA_CHARACTERS:
        return text
    return msgspec.json.encode(
        {key: f"({len(bytes(raw)):,} bytes)" for key, raw in raws.items()}
    ).decode()
