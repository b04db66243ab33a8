"""What else the machine did: others are counted, our own workers are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from ortlab.measure import cgroup
from ortlab.measure.interference import Snapshot, interference, others_used, snapshot

BEFORE = Snapshot(
    taken_s=100.0, busy_s=50.0, steal_s=1.0, total_s=200.0, throttled_us=1_000, load=0.5,
    frequency_mhz=2000.0, processes={1: ("us", 10.0), 2: ("browser", 5.0)}, own=frozenset({1}),
    own_s=10.0,
)  # fmt: skip
# Ten seconds later on two cores: we and our workers used 8 s.
AFTER = replace(
    BEFORE, taken_s=110.0, busy_s=58.0, total_s=220.0, own_s=18.0,
    processes={1: ("us", 11.0), 2: ("browser", 5.1), 3: ("worker", 3.0)}, own=frozenset({1, 3}),
)  # fmt: skip


def test_what_our_own_workers_used_is_not_told_as_other_work() -> None:
    found = interference(BEFORE, AFTER)
    assert found.other_cpu_share == pytest.approx(0.0)
    assert found.top_other is None
    assert 3 not in others_used(BEFORE, AFTER)


def test_processes_that_came_and_went_are_counted() -> None:
    found = interference(BEFORE, replace(AFTER, busy_s=68.0))
    assert found.other_cpu_share == pytest.approx(10 / 20)
    assert found.top_other is None


def test_the_busiest_other_process_is_named() -> None:
    busy = replace(AFTER, processes=AFTER.processes | {2: ("browser", 6.0), 9: ("cc1", 0.4)})
    assert interference(BEFORE, busy).top_other == "browser"


def test_without_our_own_time_the_others_are_added_up() -> None:
    after = replace(AFTER, own_s=None, processes={1: ("us", 30.0), 2: ("browser", 9.0)})
    assert interference(BEFORE, after).other_cpu_share == pytest.approx(4 / 20)


def test_steal_and_throttling_are_differences() -> None:
    found = interference(BEFORE, replace(AFTER, steal_s=3.0, throttled_us=5_000))
    assert found.steal_share == pytest.approx(2 / 20)
    assert found.throttled_us == 4_000


def test_counters_that_do_not_move_tell_nothing() -> None:
    still = replace(AFTER, total_s=BEFORE.total_s, busy_s=BEFORE.busy_s)
    found = interference(BEFORE, still)
    assert found.other_cpu_share is None
    assert found.steal_share is None


def test_a_process_we_started_is_our_own_while_it_lives_and_after() -> None:
    before = snapshot()
    code = "sum(i * i for i in range(10**6)); print(flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    living = snapshot()
    child.communicate(b"\n")
    gone = snapshot()
    assert {os.getpid(), child.pid} <= living.own
    assert child.pid not in others_used(before, living)
    assert before.own_s is not None
    assert living.own_s is not None
    assert gone.own_s is not None
    assert before.own_s < living.own_s <= gone.own_s + 0.02


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("cpu.stat", "usage_usec 9\nnr_throttled 3\nthrottled_usec 4200\n", 4200),
        ("cpu/cpu.stat", "nr_periods 9\nnr_throttled 3\nthrottled_time 4200000\n", 4200),
        ("cpu.stat", "usage_usec 9\n", None),
        ("cpu.stat", "throttled_usec\n\nthrottled_usec x\n", None),
        ("other", "", None),
    ],
)
def test_throttling_is_read_from_either_version(
    tmp_path: Path, name: str, text: str, expected: int | None
) -> None:
    file = tmp_path / "cgroup" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    own = tmp_path / "own"
    own.write_text("0::/\n4:cpu,cpuacct:/\n")
    assert cgroup.throttled_us(root=tmp_path / "cgroup", own=own) == expected
