"""The coordinator: fresh workers for every configuration, and turns in shuffled rounds.

One process set holds one worker per member, all alive, only one awake. Each session set opens
one session in every worker, in an order that the next set reverses, and warms it up; then
rounds go over all members in a new random order, a short block each, until the set's time is
used. Workers that wait are stopped by the system, so their idle thread pools cannot spin
beside the one that is measured.
"""

from __future__ import annotations

import random
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from ortlab.domain.configuration import Configuration
from ortlab.errors import OrtlabError
from ortlab.measure.precision import BlockPlan, Schedule, block_plan
from ortlab.measure.samples import AA_TWIN, Block
from ortlab.sandbox.limits import Limits
from ortlab.sandbox.outcome import ChildFailedError, Outcome
from ortlab.sandbox.spawn import Child, close_all

WARM_UP_MAX_S = 3.0
# Ten of the longest windows: runs of a few microseconds need thousands to fill one.
WARM_UP_MAX_RUNS = 20_000
# A worker that was steady before needs only a few runs in a fresh session.
REWARM_S = 0.25
REWARM_WINDOW_NS = 3_000_000
# Starting Python and importing ONNX Runtime, alone and from a cold disk.
START_TIMEOUT_S = 60.0


class Member(Struct, frozen=True, kw_only=True):
    """One configuration to be measured, or the baseline's twin."""

    name: str
    """Configuration id, or `aa`."""
    configuration: Configuration
    model: Path
    feeds: Path
    plugins: dict[str, str]
    run_us: float


class Bounds(Struct, frozen=True, kw_only=True):
    """Time and memory limits for every worker."""

    limits: Limits
    open_s: float
    run_s: float
    warmup_runs: int | None = None


class Opened(Struct, frozen=True, kw_only=True):
    """What opening one session told."""

    member: str
    session_init_us: float
    first_run_us: float
    warmup_runs: int
    warmup_us: float
    steady: bool
    first_in_process: bool


class Seen(Struct):
    """Everything observed so far, growing."""

    blocks: list[Block]
    opened: list[Opened]
    failures: dict[str, OrtlabError]
    rounds: int = 0
    measuring_s: float = 0.0
    process_sets: int = 0


Watch = Callable[[Seen, str], None]
"""Called between turns with what was seen and a word on what is going on."""


class Coordinator:
    """Runs the design of one study over its members."""

    def __init__(
        self,
        members: list[Member],
        *,
        folder: Path,
        bounds: Bounds,
        seed: int,
        cancel: threading.Event,
        watch: Watch,
        offset: int = 0,
    ) -> None:
        """`offset` is added to process and session numbers, to keep groups of a study apart."""
        self._members = members
        self._folder = folder
        self._bounds = bounds
        self._seed = seed
        self._random = random.Random(seed)
        self._cancel = cancel
        self._watch = watch
        self._offset = offset
        self._sessions = 0
        self._counted: dict[str, int] = {}
        self._alive: dict[str, Child] = {}
        self.seen = Seen(blocks=[], opened=[], failures={})

    def run(self, schedule: Schedule, *, enough: Callable[[Seen], bool]) -> Seen:
        """All process sets of the schedule, or fewer once `enough` says so.

        A member that fails leaves with its error; the others go on. Cancelling raises.
        """
        for number in range(schedule.process_sets):
            if self._all_counted(schedule):
                break
            self._process_set(number, schedule)
            self.seen.process_sets = number + 1
            self._watch(self.seen, f"measuring, {number + 1} of {schedule.process_sets} sets done")
            # Pairs of sets, so that creation order stays counterbalanced.
            if number % 2 == 1 and number + 1 >= 4 and enough(self.seen):
                break
        return self.seen

    def _process_set(self, number: int, schedule: Schedule) -> None:
        try:
            self._start(number)
            for index in range(schedule.sessions_each):
                opened = self._open_all(first=index == 0)
                self._rounds(opened, number=number, schedule=schedule)
                self._sessions += 1
        finally:
            close_all(self._alive.values())
            self._alive = {}

    def _start(self, number: int) -> None:
        """A fresh worker for every member, imports done, asleep."""
        order = self._counterbalanced(number, self._living())
        for member in order:
            folder = self._folder / f"set{self._offset + number}-{member.name}"
            try:
                self._alive[member.name] = child = Child(folder, limits=self._bounds.limits)
                child.send("warm_imports")
            except OrtlabError as error:
                self._leave(member.name, error)
        # All of them import at the same time, on few cores.
        patience_s = START_TIMEOUT_S + len(order) * START_TIMEOUT_S / 10
        for name in list(self._alive):
            self._guarded(name, lambda c: c.receive(timeout_s=patience_s, cancel=self._cancel))

    def _counterbalanced(self, number: int, members: list[Member]) -> list[Member]:
        """A random order; two neighbouring numbers share one, the second takes it backwards."""
        order = list(members)
        random.Random(f"{self._seed} {number // 2}").shuffle(order)
        return order[::-1] if number % 2 else order

    def _open_all(self, *, first: bool) -> list[Member]:
        """Open one session in every worker, one after another, in counterbalanced order."""
        ready = [m for m in self._living() if m.name in self._alive]
        order = self._counterbalanced(self._sessions, ready)
        for member in order:
            self._watch(self.seen, f"opening {member.name}")
            self._guarded(member.name, self._opener(member, first=first))
        return [m for m in order if m.name in self._alive]

    def _opener(self, member: Member, *, first: bool) -> Callable[[Child], None]:
        def open_and_warm(child: Child) -> None:
            request = request_of(member)
            facts = child.ask(
                "open" if first else "reopen",
                request,
                timeout_s=self._bounds.open_s,
                cancel=self._cancel,
            )
            facts |= child.ask("first_run", timeout_s=self._bounds.run_s, cancel=self._cancel)
            warm_up, longest_s = self._warm_up(member, first=first)
            warm = child.ask(
                "warm_up", warm_up, timeout_s=self._bounds.run_s + longest_s, cancel=self._cancel
            )
            self.seen.opened.append(_opened(member.name, facts, warm, first=first))

        return open_and_warm

    def _warm_up(self, member: Member, *, first: bool) -> tuple[dict[str, Any], float]:
        """The request for one warm-up, and the seconds it takes at most, its last run aside."""
        runs = self._bounds.warmup_runs
        if runs is not None:
            return {"runs": runs}, WARM_UP_MAX_S + 10 * runs * member.run_us / 1e6
        longest_s = max(WARM_UP_MAX_S if first else REWARM_S, 5 * member.run_us / 1e6)
        request = {"max_runs": WARM_UP_MAX_RUNS, "max_s": longest_s}
        return request if first else request | {"window_ns": REWARM_WINDOW_NS}, longest_s

    def _rounds(self, members: list[Member], *, number: int, schedule: Schedule) -> None:
        """Shuffled rounds until the session set's measuring time is used."""
        plans = {m.name: block_plan(m.run_us) for m in members}
        used, round_s = 0.0, 0.0
        while members and used + round_s / 2 < schedule.session_seconds:
            started = time.monotonic()
            turn = list(members)
            self._random.shuffle(turn)
            for member in turn:
                plan = self._within_quota(member, plans[member.name], schedule)
                if plan.runs:
                    self._turn(member, plan, number=number)
            members = [m for m in members if m.name not in self.seen.failures]
            round_s = time.monotonic() - started
            used += round_s
            self.seen.rounds += 1
            self.seen.measuring_s += round_s
            self._watch(self.seen, "measuring")
            if self._quota_reached(members, schedule):
                break

    def _turn(self, member: Member, plan: BlockPlan, *, number: int) -> None:
        def one_block(child: Child) -> None:
            reply = child.ask(
                "block",
                {"drop": plan.drop, "runs": plan.runs},
                timeout_s=self._bounds.run_s + 10 * plan.cost_us(member.run_us) / 1e6,
                cancel=self._cancel,
            )
            self._counted[member.name] = self._counted.get(member.name, 0) + plan.runs
            self.seen.blocks.append(
                Block(
                    member=member.name,
                    process=self._offset + number,
                    session=self._offset + self._sessions,
                    round=self.seen.rounds,
                    cpu_ns=reply["cpu_ns"],
                    wall_ns=reply["wall_ns"],
                    latency_ns=array("q", reply["latency_ns"]),
                )
            )

        self._guarded(member.name, one_block)

    def _guarded(self, name: str, action: Callable[[Child], Any]) -> None:
        """Do something with one worker, which sleeps before and after; its error is its own."""
        child = self._alive.get(name)
        if child is None:
            return
        try:
            child.resume()
            action(child)
            child.pause()
        except OrtlabError as error:
            self._leave(name, error)

    def _leave(self, name: str, error: OrtlabError) -> None:
        """A member's worker is gone, and the member with it. Cancelling raises."""
        child = self._alive.pop(name, None)
        if child is not None:
            child.kill()
        if isinstance(error, ChildFailedError) and error.outcome is Outcome.CANCELLED:
            raise error
        self.seen.failures[name] = error
        measured = len({b.session for b in self.seen.blocks if b.member == name})
        error.message = (
            f"{error.message.rstrip('.')}. This was in process set {self.seen.process_sets + 1}, "
            f"after {measured} of its sessions had been measured."
        )
        error.args = (error.message,)

    def _living(self) -> list[Member]:
        return [m for m in self._members if m.name not in self.seen.failures]

    def _quota(self, schedule: Schedule) -> int | None:
        """Counted runs per member that this session set may add."""
        if schedule.runs_each is None:
            return None
        sets = schedule.process_sets * schedule.sessions_each
        return -(-schedule.runs_each * (self._sessions + 1) // sets)

    def _within_quota(self, member: Member, plan: BlockPlan, schedule: Schedule) -> BlockPlan:
        quota = self._quota(schedule)
        if quota is None:
            return plan
        left = max(0, quota - self._counted.get(member.name, 0))
        return BlockPlan(drop=plan.drop, runs=min(plan.runs, left))

    def _quota_reached(self, members: list[Member], schedule: Schedule) -> bool:
        quota = self._quota(schedule)
        return quota is not None and all(self._counted.get(m.name, 0) >= quota for m in members)

    def _all_counted(self, schedule: Schedule) -> bool:
        runs, living = schedule.runs_each, self._living()
        # The baseline's twin alone answers nothing.
        if all(m.name == AA_TWIN for m in living):
            return True
        return runs is not None and all(self._counted.get(m.name, 0) >= runs for m in living)


def request_of(member: Member) -> dict[str, Any]:
    """The `open` request of one member."""
    return {
        "model": str(member.model),
        "configuration": to_builtins(member.configuration),
        "feeds": str(member.feeds),
        "plugins": member.plugins,
    }


def _opened(name: str, facts: dict[str, Any], warm: dict[str, Any], *, first: bool) -> Opened:
    return Opened(
        member=name,
        session_init_us=facts["session_init_us"],
        first_run_us=facts["first_run_us"],
        warmup_runs=warm["runs"],
        warmup_us=warm["us"],
        steady=warm["steady"],
        first_in_process=first,
    )
