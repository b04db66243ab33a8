"""Roofs are measured once, kept by machine, version and threads, and never beside a study."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ortlab import Lab
from ortlab.domain.roofline import ComputeRoof, MemoryRoof, Peaks
from ortlab.domain.study import StudySpec
from ortlab.errors import MeasurementError, RequestError
from ortlab.jobs import peaks, runner
from ortlab.jobs.queue import Queue
from ortlab.measure import peaks as measuring
from ortlab.store.home import Store


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Threads of every measurement; in place of eight seconds of work."""
    seen: list[int] = []

    def measure(folder: Path, *, machine_id: str, threads: int, **_: object) -> Peaks:
        assert folder.is_dir()
        seen.append(threads)
        return Peaks(
            machine_id=machine_id, onnxruntime_version="1", threads=threads, seconds=8.0,
            measured_at=f"2026-11-20T12:00:{len(seen):02}+00:00",
            compute=(ComputeRoof(kind="fp32", flop_per_s=1e9, spread_share=0.0, side=64),),
            memory=(MemoryRoof(level="memory", bytes_per_s=1e9, spread_share=0.0),),
        )  # fmt: skip

    monkeypatch.setattr(measuring, "peaks", measure)
    return seen


def test_roofs_are_measured_once_for_each_number_of_threads(store: Store, asked: list[int]) -> None:
    assert peaks.known(store, threads=1) is None
    first = peaks.peaks(store, threads=1)
    assert peaks.peaks(store, threads=1) == first == peaks.known(store, threads=1)
    assert peaks.known(store, threads=3) is None
    peaks.peaks(store, threads=3)
    assert asked == [1, 3]


def test_no_number_of_threads_and_0_are_what_the_runtime_takes_by_itself(
    store: Store, asked: list[int]
) -> None:
    found = peaks.peaks(store)
    assert peaks.peaks(store, threads=0) == found == peaks.known(store, threads=found.threads)
    assert len(asked) == 1


def test_a_refresh_measures_again(store: Store, asked: list[int]) -> None:
    first = peaks.peaks(store, threads=1)
    again = peaks.peaks(store, threads=1, refresh=True)
    assert again.measured_at != first.measured_at
    assert peaks.known(store, threads=1) == again


def test_roofs_of_another_form_are_measured_anew(store: Store, asked: list[int]) -> None:
    peaks.peaks(store, threads=1)
    _, key, _ = peaks._key(store, 1)
    store.reports.save(key, '{"written": "by another version"}')
    assert peaks.known(store, threads=1) is None


@pytest.mark.parametrize("threads", [-1, peaks.MAX_THREADS + 1])
def test_impossible_threads_are_refused(store: Store, threads: int) -> None:
    with pytest.raises(RequestError, match=str(threads)):
        peaks.peaks(store, threads=threads)


def test_roofs_are_not_measured_beside_another_measurement(store: Store, asked: list[int]) -> None:
    with (
        runner.measuring_lock(store.settings),
        pytest.raises(MeasurementError, match="being measured now") as caught,
    ):
        peaks.peaks(store, threads=1)
    assert caught.value.kind == "busy"
    assert asked == []
    peaks.peaks(store, threads=1)


def test_a_study_that_is_queued_meanwhile_waits(
    store: Store, spec: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.studies.add(spec)
    settings = store.settings.model_copy(update={"runner_idle_s": 0.5})
    claimed: list[str] = []
    served = threading.Thread(target=runner.serve, args=(settings,), daemon=True)
    monkeypatch.setattr(runner.local, "run_study", lambda *a, **_: claimed.append(a[2]))

    def measure(folder: Path, **_: object) -> Peaks:
        served.start()
        served.join(timeout=1.5)
        assert claimed == []
        assert Queue(store.database, lease_s=30).waiting()
        raise MeasurementError("enough")

    monkeypatch.setattr(measuring, "peaks", measure)
    with pytest.raises(MeasurementError, match="enough"):
        peaks.peaks(store, threads=1)
    served.join(timeout=30)
    assert len(claimed) == 1


@pytest.mark.slow
def test_the_roofs_of_this_machine_are_plausible(store: Store) -> None:
    told: list[float] = []
    found = Lab(store.settings).peaks(1, on_progress=lambda share, _: told.append(share))
    assert told[0] == 0.0
    # A hundredth and a hundred times what a core of the last ten years does.
    assert 1e9 < (found.flop_per_s("fp32") or 0) < 1e13
    rates = [roof.bytes_per_s for roof in found.memory]
    assert 5e8 < rates[-1] < 1e13
    assert max(rates) / rates[-1] > 0.8
    assert 0.001 < found.dispatch_us < 100
    assert Lab(store.settings).known_peaks(1) == found
