"""Lanes: the threads of the processes that a trace tells of, as codes."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ortlab.domain.trace import NOT_TOLD
from ortlab.worker.tracing.events import whole

# Threads named by text have numbers from here down; those of a system are small or positive.
_FIRST_TEXT = -(1 << 62)
# A hostile file may name each event's thread differently; further ones share a lane.
MAX_LANES = 100_000
_MAX_TEXT = 200

Ints: TypeAlias = NDArray[np.int64]


class Lanes:
    """Gives each pair of process and thread its code."""

    def __init__(self) -> None:
        self._codes: dict[tuple[int, int], int] = {}
        self._texts: list[str] = []
        self._text_codes: dict[str, int] = {}
        self._last: tuple[int, int, int] | None = None

    def codes(self, pids: Ints, tids: Ints) -> Ints:
        """The lane of each event, in order."""
        last = self._last
        if last is not None and (pids == last[0]).all() and (tids == last[1]).all():
            return np.full(len(pids), last[2], np.int64)
        pairs = list(zip(pids.tolist(), tids.tolist(), strict=True))
        codes = [self._code(pair) for pair in pairs]
        if pairs:
            self._last = (*pairs[-1], codes[-1])
        return np.array(codes, np.int64)

    def number(self, name: Any) -> int:
        """A thread or process as a number, also one that is named by text."""
        number = whole(name)
        if number is not None and number > _FIRST_TEXT:
            return number
        if name is None:
            return NOT_TOLD
        text = name if isinstance(name, str) else msgspec.json.encode(name).decode()
        text = text[:_MAX_TEXT]
        if text not in self._text_codes:
            if len(self._texts) >= MAX_LANES:
                return NOT_TOLD
            self._text_codes[text] = _FIRST_TEXT - len(self._texts)
            self._texts.append(text)
        return self._text_codes[text]

    def names(self) -> list[list[int | str | None]]:
        """Process and thread of each lane, as the file names them."""
        return [[self._name(pid), self._name(tid)] for pid, tid in self._codes]

    def _code(self, pair: tuple[int, int]) -> int:
        if pair not in self._codes and len(self._codes) >= MAX_LANES:
            pair = (NOT_TOLD, NOT_TOLD)
        return self._codes.setdefault(pair, len(self._codes))

    def _name(self, number: int) -> int | str | None:
        if number == NOT_TOLD:
            return None
        return number if number > _FIRST_TEXT else self._texts[_FIRST_TEXT - number]
