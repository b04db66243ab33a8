"""How the time is spent: processes, sessions, rounds and blocks, and when it is enough."""

from __future__ import annotations

import math

from msgspec import Struct

from ortlab.domain.study import StopRule

# One turn lasts about this long: short enough that drift hits every configuration alike.
BLOCK_US = 3_000.0
# Runs that only warm the caches again after another process had the core.
DROPPED_RUNS = 3
# A run this long refills the caches on its own; dropping one already costs more than it cures.
LONG_RUN_US = 20_000.0
# Sessions of the same setting differ from themselves: short runs by 2 % and more, where with
# twelve sessions the A/A ratio of a 0.8 ms model strayed by 0.9 %. Long ones differ by 0.3 %.
SESSIONS = 12
SESSIONS_SHORT = 40
SHORT_RUN_US = 2_000.0
# Processes differ too, by about 1 %. Even numbers, so that the order of creation can be reversed
# in every second set; the largest whose starting and opening leaves most of the time for turns.
CHEAP_PROCESSES = 10
PROCESSES = 6
MIN_PROCESSES = 4
MAX_PROCESSES = 16
DEFAULT_SECONDS_EACH = 4.0
DEFAULT_PRECISION = 0.01
# In a search for precision a process set gets this much time per member, at least one round.
PROBE_SECONDS_EACH = 0.35


class BlockPlan(Struct, frozen=True):
    """Runs of one turn: `drop` uncounted, then `runs` counted."""

    drop: int
    runs: int

    def cost_us(self, run_us: float) -> float:
        """Expected length of the turn."""
        return (self.drop + self.runs) * run_us


class Schedule(Struct, frozen=True, kw_only=True):
    """The design of one study.

    `process_sets` sets of fresh processes, one per member, are measured one after another;
    in each, every process opens `sessions_each` fresh sessions in turn. `set_seconds` is the
    measuring time of one process set. With `precision`, sets end early once all intervals
    are that narrow.
    """

    process_sets: int
    sessions_each: int
    set_seconds: float
    precision: float | None = None
    runs_each: int | None = None
    """Counted runs per member over the whole study, when asked for by count."""

    @property
    def session_seconds(self) -> float:
        """Measuring time of one session set."""
        return self.set_seconds / self.sessions_each


def block_plan(run_us: float) -> BlockPlan:
    """The turn that suits a run of this length."""
    if run_us >= LONG_RUN_US:
        return BlockPlan(drop=1 if run_us < 5 * LONG_RUN_US else 0, runs=1)
    return BlockPlan(drop=DROPPED_RUNS, runs=max(1, math.ceil(BLOCK_US / max(run_us, 0.5))))


def schedule(stop: StopRule, *, run_us: list[float], open_s: list[float]) -> Schedule:
    """The design for these members.

    Args:
        stop: what was asked; nothing asked means 1 % within four seconds per member.
        run_us: expected run time of every member, the A/A twin included.
        open_s: time to start a worker, open its session and warm it up, of every member.
    """
    sessions = SESSIONS_SHORT if min(run_us) < SHORT_RUN_US else SESSIONS
    seconds = stop.seconds
    precision = stop.precision
    if stop.runs is not None:
        seconds = seconds or math.inf
    elif seconds is None:
        seconds = DEFAULT_SECONDS_EACH * len(run_us)
        precision = precision or DEFAULT_PRECISION
    if precision is not None:
        return _searching(
            seconds, precision, sessions, run_us=run_us, open_s=sum(open_s), runs=stop.runs
        )
    if not math.isfinite(seconds):
        return _counting(stop.runs or 1, sessions)
    round_s = sum(block_plan(us).cost_us(us) for us in run_us) / 1e6
    process_sets = _process_sets(seconds, round_s=round_s, open_s=sum(open_s))
    per_set = seconds / process_sets
    most = min(round(per_set / max(sum(open_s), 1e-9)), int(per_set / max(round_s, 1e-9)))
    sessions_each = max(1, min(math.ceil(sessions / process_sets), most))
    return Schedule(
        process_sets=process_sets,
        sessions_each=sessions_each,
        set_seconds=per_set,
        runs_each=stop.runs,
    )


def _process_sets(seconds: float, *, round_s: float, open_s: float) -> int:
    """As many processes as the time allows: never fewer than four, however dear opening is."""
    if max(2 * open_s, round_s) * CHEAP_PROCESSES <= seconds:
        return CHEAP_PROCESSES
    if max(open_s, round_s) * PROCESSES <= seconds:
        return PROCESSES
    return MIN_PROCESSES


def _counting(runs: int, sessions: int) -> Schedule:
    """So many counted runs per member, spread over as many processes and sessions as fit."""
    process_sets = PROCESSES if runs >= 5 * PROCESSES else MIN_PROCESSES
    sessions_each = max(1, min(math.ceil(sessions / process_sets), runs // (5 * process_sets)))
    return Schedule(
        process_sets=process_sets,
        sessions_each=sessions_each,
        set_seconds=math.inf,
        runs_each=runs,
    )


def _searching(
    seconds: float,
    precision: float,
    sessions: int,
    *,
    run_us: list[float],
    open_s: float,
    runs: int | None,
) -> Schedule:
    """Small process sets, as many as it takes: the time limit ends the search."""
    round_s = sum(block_plan(us).cost_us(us) for us in run_us) / 1e6
    set_seconds = max(PROBE_SECONDS_EACH * len(run_us), 2 * round_s)
    # When opening is dear, longer sets: else most of the wait would be for openings.
    set_seconds = max(set_seconds, open_s)
    sets = max(MIN_PROCESSES, int(min(seconds / set_seconds, MAX_PROCESSES)) // 2 * 2)
    if math.isfinite(seconds):
        set_seconds = seconds / sets
    sessions_each = max(1, min(math.ceil(sessions / MIN_PROCESSES),
                               int(set_seconds / max(round_s, open_s, 1e-9))))  # fmt: skip
    return Schedule(
        process_sets=sets,
        sessions_each=sessions_each,
        set_seconds=set_seconds,
        precision=precision,
        runs_each=runs,
    )


def precise_enough(intervals: list[tuple[float, float]], *, precision: float) -> bool:
    """Every 95 % interval of a ratio is within ± `precision` of its middle."""
    return all(_half(low, high) <= precision for low, high in intervals)


def _half(low: float, high: float) -> float:
    return math.log(high / low) / 2 if low > 0 else math.inf
