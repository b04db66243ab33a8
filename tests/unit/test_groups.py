"""What does not fit in memory together is measured in groups, each beside the baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortlab.domain.configuration import Configuration
from ortlab.domain.study import StopRule
from ortlab.measure import groups as module
from ortlab.measure.groups import expected_s, groups, joined_seen, member_of
from ortlab.measure.precision import schedule
from ortlab.measure.prepare import Prepared, Rehearsal
from ortlab.measure.rounds import Seen
from ortlab.measure.samples import Block, by_member
from ortlab.measure.verdict import compare

GIB = 1 << 30


def prepared(count: int, *, peak: int | None) -> tuple[list[Configuration], Prepared]:
    """So many configurations that took so much memory when they were tried."""
    configurations = [Configuration(threads=i + 1) for i in range(count)]
    rehearsal = Rehearsal(run_us=1000.0, open_s=0.5, active=(), session_init_us=1.0,
                          first_run_us=1.0, peak_memory_bytes=peak, outputs=None)  # fmt: skip
    ids = [c.id for c in configurations]
    return configurations, Prepared(
        models=dict.fromkeys(ids, Path("m")), feeds=dict.fromkeys(ids, Path("f")), feed_notes=(),
        dims={}, rehearsals=dict.fromkeys(ids, rehearsal), failures={},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def ten_gib_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_memory_bytes", lambda: 10 * GIB)


@pytest.mark.parametrize("count", [1, 2, 5, 23, 60])
@pytest.mark.parametrize("peak", [None, 1, GIB, 2 * GIB, 100 * GIB])
def test_every_configuration_is_in_one_group_that_its_baseline_leads(
    count: int, peak: int | None
) -> None:
    configurations, known = prepared(count, peak=peak)
    baseline = configurations[count // 2]
    found = groups(configurations, baseline, known)
    assert all(group[0] == baseline for group in found)
    others = [c.id for group in found for c in group[1:]]
    assert sorted(others) == sorted(c.id for c in configurations if c != baseline)


@pytest.mark.parametrize(("peak", "together"), [(GIB, 6), (2 * GIB, 3), (1 << 20, 24)])
def test_a_group_and_the_twin_fit_in_the_share_of_free_memory(peak: int, together: int) -> None:
    configurations, known = prepared(60, peak=peak)
    first, *rest = groups(configurations, configurations[0], known)
    assert len(first) + 1 <= together
    assert all(len(group) <= together for group in rest)


def test_what_does_not_fit_at_all_is_still_measured_beside_the_baseline() -> None:
    configurations, known = prepared(3, peak=100 * GIB)
    found = groups(configurations, configurations[0], known)
    assert [len(g) for g in found] == [2, 2]


def test_sessions_are_compared_with_the_baseline_of_their_own_group() -> None:
    def block(member: str, session: int, ns: int) -> Block:
        return Block(member=member, process=session, session=session, round=0, cpu_ns=ns,
                     wall_ns=ns, latency_ns=(ns,) * 5)  # fmt: skip

    # The machine ran at half its speed while the second group was measured.
    first = [block("base", i, 1000) for i in range(8)] + [block("a", i, 1000) for i in range(8)]
    second = [block("base", 1000 + i, 2000) for i in range(8)]
    second += [block("b", 1000 + i, 2000) for i in range(8)]
    whole = joined_seen(
        Seen(blocks=first, opened=[], failures={}, rounds=3, process_sets=8),
        Seen(blocks=second, opened=[], failures={}, rounds=4, process_sets=8),
    )
    found = by_member(whole.blocks)
    for name in ("a", "b"):
        compared = compare(found["base"], found[name], cpu_time_allowed=False)
        assert compared is not None
        assert compared.ratio == pytest.approx(1.0)
        assert compared.pair_count == 8
    assert whole.rounds == 7


def test_a_group_is_expected_to_take_at_least_its_measuring_time() -> None:
    configurations, known = prepared(3, peak=1)
    members = [member_of(c, known) for c in configurations]
    plan = schedule(StopRule(seconds=9), run_us=[1000.0] * 3, open_s=[0.5] * 3)
    assert expected_s(members, plan, known) > 9
    counted = schedule(StopRule(runs=1000), run_us=[1000.0] * 3, open_s=[0.5] * 3)
    assert 3 < expected_s(members, counted, known) < 300
