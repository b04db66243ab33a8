"""Warm-up ends when runs are steady, and in any case in time. The clock here is the test's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ortlab.domain.configuration import Configuration
from ortlab.measure import rounds
from ortlab.measure.rounds import Bounds, Coordinator, Member
from ortlab.sandbox.limits import Limits
from ortlab.worker import timing
from ortlab.worker.protocol import Context


class Model:
    """A call of so many µs by a clock that only it moves."""

    def __init__(self, run_us: Callable[[int], float]) -> None:
        self.now_ns = 0
        self.calls = 0
        self._run_us = run_us

    def __call__(self) -> None:
        self.now_ns += int(self._run_us(self.calls) * 1e3)
        self.calls += 1


def warmed(monkeypatch: pytest.MonkeyPatch, model: Model, **request: object) -> dict[str, object]:
    """The reply of a warm-up of this model."""
    monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: model.now_ns)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        context = Context(reply_fd=silent, folder=Path())
        context.state["call"] = model
        return timing.warm_up(request, context)
    finally:
        os.close(silent)


@pytest.mark.parametrize("run_us", [2.0, 5.0, 10.0, 14.0, 800.0, 27_000.0, 150_000.0])
def test_a_model_that_is_steady_is_called_so(
    monkeypatch: pytest.MonkeyPatch, run_us: float
) -> None:
    reply = warmed(monkeypatch, Model(lambda _: run_us), max_runs=rounds.WARM_UP_MAX_RUNS,
                   max_s=rounds.WARM_UP_MAX_S)  # fmt: skip
    assert reply["steady"]
    assert reply["run_us"] == run_us


def test_a_model_that_keeps_getting_faster_is_warmed_up_to_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(lambda i: 1e5 * 0.97**i)
    reply = warmed(monkeypatch, model, max_runs=20_000, max_s=3.0)
    assert not reply["steady"]
    assert model.now_ns <= 3.2e9


@pytest.mark.parametrize("run_s", [1.0, 20.0, 100.0])
def test_long_runs_end_at_most_one_run_after_the_bound(
    monkeypatch: pytest.MonkeyPatch, run_s: float
) -> None:
    model = Model(lambda i: run_s * 1e6 * (1.2 if i % 2 else 0.8))
    request, longest_s = coordinator()._warm_up(member(run_s * 1e6), first=True)
    warmed(monkeypatch, model, **request)
    assert model.now_ns / 1e9 <= longest_s + 1.2 * run_s


def test_a_warm_up_by_count_is_given_the_time_it_needs() -> None:
    request, longest_s = coordinator(warmup_runs=500)._warm_up(member(1e6), first=True)
    assert request == {"runs": 500}
    assert longest_s > 500


def test_a_warm_up_by_count_runs_exactly_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(lambda _: 10.0)
    assert warmed(monkeypatch, model, runs=7)["runs"] == 7
    assert model.calls == 7


def member(run_us: float) -> Member:
    return Member(name="one", configuration=Configuration(), model=Path("m"), feeds=Path("f"),
                  plugins={}, run_us=run_us)  # fmt: skip


def coordinator(*, warmup_runs: int | None = None) -> Coordinator:
    bounds = Bounds(limits=Limits(), open_s=60, run_s=120, warmup_runs=warmup_runs)
    return Coordinator([], folder=Path(), bounds=bounds, seed=0, cancel=threading.Event(),
                       watch=lambda seen, doing: None)  # fmt: skip
