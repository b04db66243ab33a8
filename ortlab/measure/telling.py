"""How far a running study is: the state of every row, the part done, the time left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from ortlab.domain.study import Progress, StudySpec
from ortlab.measure import rows
from ortlab.measure.samples import AA_TWIN
from ortlab.measure.sink import Sink

# Progress is written at most this often while turns go on.
TELL_EVERY_S = 0.5
# A study that takes longer than expected is expected to take this part of its time so far.
LATE_SHARE = 0.1
# A rehearsal: start, open, warm up, compare.
REHEARSAL_S = 2.5


class Telling:
    """Tells a sink where a study stands. The part done never goes back."""

    def __init__(
        self,
        spec: StudySpec,
        *,
        study_id: str,
        sink: Sink,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.states = {c.id: "waiting" for c in spec.configurations}
        self.p50_us: dict[str, float] = {}
        self._study_id, self._sink, self._clock = study_id, sink, clock
        self._labels = {
            c.id: rows.label_of(c, spec.configurations) for c in spec.configurations
        } | {AA_TWIN: "the baseline's twin (A/A control)"}
        self._started = self._told = clock()
        self._share = 0.0
        self._end = self._started
        count = len(spec.configurations)
        self.expect(REHEARSAL_S * count + (spec.stop.seconds or 4.0 * (count + 1)))

    @property
    def elapsed_s(self) -> float:
        """Since the study began."""
        return self._clock() - self._started

    def expect(self, left_s: float) -> None:
        """From now on the study is thought to take so much longer."""
        self._end = self._clock() + left_s

    def preparing(self, doing: str) -> None:
        """Before measuring: the configuration named in `doing` is being tried."""
        for identifier, state in self.states.items():
            if identifier in doing.split():
                self.states[identifier] = "opening"
            elif state == "opening":
                self.states[identifier] = "ready"
        self.tell(doing, force=True)

    def measuring(self, doing: str, members: set[str]) -> None:
        """While turns go on among these members."""
        for identifier in members & set(self.states):
            if self.states[identifier] != "failed":
                self.states[identifier] = "measuring"
        self.tell(doing)

    def tell(self, doing: str, *, force: bool = False) -> None:
        """Write progress, at most every half second unless forced."""
        now = self._clock()
        passed = now - self._told
        if not force and passed < TELL_EVERY_S:
            return
        self._told = now
        left = max(self._end - now, LATE_SHARE * (now - self._started), TELL_EVERY_S)
        # Of what was left, the part that has passed since: this can only grow.
        self._share += (1 - self._share) * passed / (passed + left)
        self._sink.progress(
            Progress(
                study_id=self._study_id,
                status="running",
                phase=doing.split()[0].rstrip(","),
                message=self._in_words(doing),
                done_share=min(0.99, self._share),
                seconds_left=left,
                rows=tuple((i, s, self.p50_us.get(i)) for i, s in self.states.items()),
            )
        )

    def _in_words(self, doing: str) -> str:
        """What is going on, with labels in place of ids."""
        return re.sub(r"\w+", lambda found: self._labels.get(found[0], found[0]), doing)
