"""The thread pool: times are the calling thread's, loops joined are growth of counters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis import threads
from ortlab.analysis.reading.derived import derive
from ortlab.domain.threads import ALONE, HANDS_OUT, ONE_THREAD, WAITS, PoolRow, ThreadReport
from tests import trace_text
from tests.trace_text import node, session


class Pool:
    """Writes node events with the statistics that ORT's pool would have given."""

    def __init__(self, *, helpers: int = 1, name: str = "session-1-intra-op") -> None:
        self.counts = [0] * helpers
        self.events: list[dict[str, Any]] = []
        self.clock = 0
        self._name = name

    def node(
        self,
        name: str,
        dur: int,
        *,
        run: int = 0,
        wait: int = 0,
        handing: int = 0,
        blocks: tuple[int, ...] = (),
        joined: tuple[int, ...] = (),
        **more: Any,
    ) -> None:
        for number, count in enumerate(joined):
            self.counts[number] += count
        used = bool(blocks)
        stats = {
            "main_thread": {
                "thread_pool_name": self._name, "thread_id": "1", "block_size": list(blocks),
                "core": 0 if used else -1, "Distribution": handing, "DistributionEnqueue": 0,
                "Run": run, "Wait": wait, "WaitRevoke": 0,
            },
            "sub_threads": {
                str(100 + i): {"num_run": count, "core": 1 if count else -1}
                for i, count in enumerate(self.counts)
            },
        }  # fmt: skip
        self.events.append(node(name, self.clock, dur, thread_scheduling_stats=stats, **more))
        self.clock += dur + 10

    def run(self, start: int) -> None:
        self.events.append(session("model_run", start, self.clock - start))
        self.clock += 100


def maybe(events: list[dict[str, Any]]) -> ThreadReport | None:
    _, path = trace_text.decoded(trace_text.text(events))
    return threads.threads(derive(path))


def report_of(events: list[dict[str, Any]]) -> ThreadReport:
    found = maybe(events)
    assert found is not None
    return found


def row_of(pool: Pool, name: str) -> PoolRow:
    pool.run(0)
    return next(row for row in report_of(pool.events).nodes if row.name == name)


def test_loops_that_helpers_joined_are_the_growth_of_their_counters() -> None:
    pool = Pool(helpers=2)
    pool.node("a", 100, run=80, blocks=(4, 4), joined=(2, 1))
    pool.node("b", 100, run=80, blocks=(4,), joined=(1, 0))
    pool.run(0)
    report = report_of(pool.events)
    assert {row.name: row.joined_count for row in report.nodes} == {"a": 3, "b": 1}
    assert report.joined_share == pytest.approx((3 + 1) / (3 * 2))
    assert [t.loop_count for t in report.threads] == [3, 1]
    assert [t.share for t in report.threads] == pytest.approx([1.0, 1 / 3])


@pytest.mark.parametrize(("joined", "imbalance"), [((4, 4), 1.0), ((0, 0), 3.0), ((4, 0), 1.5)])
def test_imbalance_goes_from_one_when_all_take_part_to_the_number_of_threads(
    joined: tuple[int, int], imbalance: float
) -> None:
    pool = Pool(helpers=2)
    pool.node("a", 100, run=80, blocks=(1, 1, 1, 1), joined=joined)
    assert row_of(pool, "a").imbalance == pytest.approx(imbalance)


def test_a_node_without_a_pool_is_counted_apart() -> None:
    pool = Pool()
    pool.node("used", 100, run=90, blocks=(8,), joined=(1,))
    pool.node("unused", 40)
    pool.run(0)
    report = report_of(pool.events)
    assert (report.no_pool_count, report.no_pool_us) == (1, 40)
    unused = next(row for row in report.nodes if row.name == "unused")
    assert (unused.pool_calls, unused.wait_share, unused.imbalance) == (0, None, None)


def test_events_that_tell_nothing_are_counted_and_not_taken_for_zeros() -> None:
    pool = Pool()
    pool.node("told", 100, run=90, blocks=(8,))
    pool.events.append(node("silent", pool.clock, 50, thread_scheduling_stats=""))
    pool.clock += 60
    pool.run(0)
    report = report_of(pool.events)
    assert report.untold_count == 1
    assert [row.name for row in report.nodes] == ["told"]


def test_a_trace_without_statistics_has_no_report() -> None:
    assert maybe([node("a", 0, 10), session("model_run", 0, 20)]) is None


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"run": 30, "wait": 60, "blocks": (1,) * 20, "joined": (20,)}, WAITS),
        ({"run": 60, "handing": 30, "blocks": (1,) * 20, "joined": (20,)}, HANDS_OUT),
        ({"run": 90, "blocks": (1,) * 20, "joined": (1,)}, ALONE),
        ({"run": 90, "blocks": (1,) * 5, "joined": (0,)}, ""),
        ({}, ONE_THREAD),
        ({"run": 5, "blocks": (1,), "joined": (1,)}, ""),
        ({"run": 90, "wait": 5, "blocks": (1,) * 20, "joined": (20,)}, ""),
    ],
)
def test_what_stands_out_about_a_node(figures: dict[str, Any], says: str) -> None:
    pool = Pool()
    pool.node("a", 100, **figures)
    assert row_of(pool, "a").says == says


def test_a_node_of_little_time_is_not_judged() -> None:
    pool = Pool()
    pool.node("large", 10_000, run=9_900, blocks=(1,), joined=(1,))
    pool.node("small", 50)
    assert row_of(pool, "small").says == ""


def test_warm_up_runs_and_nodes_that_hold_a_graph_are_left_out() -> None:
    pool = Pool()
    start = 0
    for dur in (900, *[100] * 11):
        begin = pool.clock
        pool.node("inner", dur, run=dur // 2, blocks=(1,), joined=(1,))
        pool.node("loop", 5, op="Loop", run=1, blocks=(1,))
        outer = pool.events[-1]
        outer["ts"], outer["dur"] = begin, pool.clock - begin
        pool.run(start)
        start = pool.clock
    report = report_of(pool.events)
    assert [(row.name, row.calls) for row in report.nodes] == [("inner", 11)]
    assert report.run_us == 11 * 50


def test_overlapping_nodes_make_the_counters_unsure() -> None:
    pool = Pool()
    pool.node("a", 100, run=90, blocks=(1,))
    pool.node("b", 100, run=90, blocks=(1,), tid=2)
    pool.events[1]["ts"] = 50
    pool.run(0)
    assert report_of(pool.events).concurrent


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 500), st.integers(0, 500),
                  st.integers(0, 9), st.integers(0, 4), st.integers(0, 4)),
        min_size=1, max_size=30,
    )
)  # fmt: skip
def test_sums_are_the_same_over_nodes_operators_and_the_whole(
    calls: list[tuple[str, int, int, int, int, int]],
) -> None:
    pool = Pool(helpers=2)
    for name, run, wait, handing, loops, joined in calls:
        pool.node(name, run + wait + handing, run=run, wait=wait, handing=handing,
                  blocks=(1,) * loops, joined=(joined,), op=name.upper())  # fmt: skip
    pool.run(0)
    report = report_of(pool.events)
    for field in ("run_us", "wait_us", "distribution_us", "loop_count", "joined_count"):
        whole = getattr(report, field)
        assert sum(getattr(row, field) for row in report.nodes) == whole
        assert sum(getattr(row, field) for row in report.operators) == whole
    assert sum(row.duration_us for row in report.nodes) == report.node_us
    for row in report.nodes:
        assert 0 <= row.pool_share <= 1
        assert row.wait_share is None or 0 <= row.wait_share <= 1
        assert row.imbalance is None or 1 <= row.imbalance <= 3


def test_absurd_numbers_of_a_damaged_file_give_no_negative_sums() -> None:
    pool = Pool(helpers=3)
    for _ in range(20):
        pool.node("a", 10, run=1 << 61, wait=1 << 61, blocks=(1,), joined=(1 << 59,))
    pool.run(0)
    report = report_of(pool.events)
    assert report.run_us >= 0
    assert report.wait_us >= 0
    assert report.joined_share is None or 0 <= report.joined_share <= 1


def test_nodes_that_a_provider_launches_on_a_device_tell_nothing_about_the_pool() -> None:
    pool = Pool()
    pool.node("on the cpu", 100, run=80, wait=10, blocks=(4,), joined=(1,))
    pool.node("launched", 900, provider="WebGpuExecutionProvider")
    pool.run(0)
    report = report_of(pool.events)
    assert [row.name for row in report.nodes] == ["on the cpu"]
    assert (report.event_count, report.untold_count, report.no_pool_count) == (1, 1, 0)


def test_a_profile_of_launches_alone_has_no_report_on_threads() -> None:
    pool = Pool()
    pool.node("launched", 900, provider="CUDAExecutionProvider")
    pool.run(0)
    assert maybe(pool.events) is None
