"""What a set of sessions proves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortlab.measure.samples import Session
from ortlab.measure.verdict import compare, latency, observed, t95, trimmed_mean, verdict


def made(
    *,
    processes: int,
    each: int,
    spread: float,
    slower: float = 1.0,
    seed: int = 0,
    cpu: float = 1.0,
) -> list[Session]:
    """Sessions whose level differs by `spread`, of 50 runs of about a millisecond."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(processes * each):
        level = 1e6 * slower * math.exp(random.normal(0, spread))
        runs = level * np.exp(random.normal(0, 0.02, 50))
        found.append(
            Session(
                member="x",
                process=number // each,
                session=number,
                latency_ns=runs.astype(np.int64),
                cpu_per_run_ns=float(level * cpu),
                cpu_share=cpu,
            )
        )
    return found


def test_intervals_of_identical_settings_hold_one_at_least_as_often_as_promised() -> None:
    held = 0
    for seed in range(200):
        a = made(processes=6, each=2, spread=0.01, seed=seed)
        b = made(processes=6, each=2, spread=0.01, seed=seed + 10_000)
        found = compare(a, b, cpu_time_allowed=False)
        assert found is not None
        held += found.ci95[0] <= 1 <= found.ci95[1]
    # 95 % of 200 is 190; four standard deviations of luck below that is 177.
    assert held >= 177


def test_a_ten_percent_slowdown_is_called_slower() -> None:
    a = made(processes=6, each=2, spread=0.005)
    b = made(processes=6, each=2, spread=0.005, slower=1.1, seed=1)
    found = compare(a, b, cpu_time_allowed=False)
    assert found is not None
    assert found.verdict == "slower"
    assert found.ratio == pytest.approx(1 / 1.1, rel=0.02)


def test_a_difference_no_larger_than_the_aa_control_is_not_called() -> None:
    assert verdict(0.02, 0.04) == "faster"
    assert verdict(0.02, 0.04, floor=0.05) == "cannot tell"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.005, 0.005, "same"),
        (0.002, 0.008, "same"),
        (0.002, 0.03, "faster"),
        (-0.03, -0.02, "slower"),
        (-0.02, 0.02, "cannot tell"),
        (-math.inf, math.inf, "cannot tell"),
    ],
)
def test_the_verdict_follows_from_the_interval(low: float, high: float, said: str) -> None:
    assert verdict(low, high) == said


def test_process_spread_widens_the_interval_even_with_many_sessions() -> None:
    def with_process_levels(seed: int) -> list[Session]:
        random = np.random.default_rng(seed)
        levels = np.exp(random.normal(0, 0.02, 6))
        return [
            Session(
                member="x", process=p, session=p * 8 + k,
                latency_ns=np.full(20, int(1e6 * levels[p]), np.int64),
                cpu_per_run_ns=1e6, cpu_share=1.0,
            )
            for p in range(6)
            for k in range(8)
        ]  # fmt: skip

    found = compare(with_process_levels(1), with_process_levels(2), cpu_time_allowed=False)
    assert found is not None
    as_if_independent = 2 * 0.02 * math.sqrt(2) / math.sqrt(48)
    assert math.log(found.ci95[1] / found.ci95[0]) / 2 > 2 * as_if_independent


def test_cpu_time_is_compared_when_others_were_on_the_core() -> None:
    a = made(processes=4, each=3, spread=0.001, cpu=0.6)
    b = made(processes=4, each=3, spread=0.001, cpu=0.6, seed=2)
    crowded = compare(a, b, cpu_time_allowed=True)
    assert crowded is not None
    assert crowded.basis == "cpu"
    not_allowed = compare(a, b, cpu_time_allowed=False)
    assert not_allowed is not None
    assert not_allowed.basis == "wall"


def test_sessions_without_a_partner_do_not_count() -> None:
    a = made(processes=4, each=3, spread=0.01)
    found = compare(a, a[:6], cpu_time_allowed=False)
    assert found is not None
    assert found.pair_count == 6
    assert compare(a, [], cpu_time_allowed=False) is None


def test_percentiles_are_observed_latencies() -> None:
    sessions = made(processes=4, each=1, spread=0.01)
    seen = {ns / 1e3 for s in sessions for ns in s.latency_ns.tolist()}
    figures = latency(sessions)
    for value in (figures.min_us, figures.p50_us, figures.p90_us, figures.p95_us, figures.max_us):
        assert value in seen


def test_p99_is_withheld_with_its_reason_below_a_thousand_runs() -> None:
    few = latency(made(processes=4, each=2, spread=0.01))
    assert few.p99_us is None
    assert "400" in (few.p99_reason or "")
    many = latency(made(processes=6, each=4, spread=0.01))
    assert many.p99_us is not None
    assert many.p99_reason is None


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=60), st.randoms())
def test_shuffling_the_runs_of_a_session_changes_nothing(values: list[int], random) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    one, two = (
        Session(member="x", process=0, session=0, latency_ns=np.array(v, np.int64),
                cpu_per_run_ns=1.0, cpu_share=1.0)
        for v in (values, shuffled)
    )  # fmt: skip
    first, second = latency([one]), latency([two])
    assert first == second or first.mean_us == pytest.approx(second.mean_us)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_trimmed_mean_lies_within_its_values(values: list[float]) -> None:
    assert min(values) - 1e-12 <= trimmed_mean(np.array(values)) <= max(values) + 1e-12


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_an_observed_quantile_is_one_of_the_values(values: list[float], quantile: float) -> None:
    ordered = np.sort(np.array(values))
    found = observed(ordered, quantile)
    assert found in ordered
    assert np.mean(ordered <= found) >= quantile - 1e-9


def test_the_t_quantile_never_narrows_with_fewer_degrees() -> None:
    quantiles = [t95(d) for d in range(1, 300)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert t95(0) == math.inf
