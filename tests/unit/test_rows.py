"""From sessions to a row: labels, failures, and doubts that are raised only where they belong."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from ortlab.domain.configuration import Configuration
from ortlab.domain.study import ConfigurationResult
from ortlab.errors import ModelError, ProviderUnavailableError
from ortlab.measure import rows
from ortlab.measure.prepare import Prepared, Rehearsal
from ortlab.measure.rounds import Opened
from ortlab.measure.samples import AA_TWIN, Session
from ortlab.sandbox.outcome import ChildFailedError, Outcome, as_error
from tests import records

ONE = Configuration(threads=1)


@dataclasses.dataclass
class Case:
    """What a row is made of; the defaults raise no doubt."""

    run_us: float = 1000.0
    sessions: int = 12
    spread: float = 0.001
    drift: float = 0.0
    steady: bool = True
    nan: int = 0
    first_only: bool = True

    def row(self) -> ConfigurationResult:
        """The row of these sessions."""
        opened = [
            Opened(member=ONE.id, session_init_us=100.0 + i, first_run_us=10.0, warmup_runs=5,
                   warmup_us=50.0, steady=self.steady, first_in_process=i % 2 == 0)
            for i in range(self.sessions)
        ]  # fmt: skip
        return rows.measured_row(
            ONE, among=(ONE,), mine=self._mine(), opened=opened, prepared=self._prepared(),
            comparison=None, accuracy=None, model_bytes=7,
        )  # fmt: skip

    def _mine(self) -> list[Session]:
        random = np.random.default_rng(0)
        found = []
        for number in range(self.sessions):
            level = self.run_us * 1e3 * math.exp(random.normal(0, self.spread))
            level *= 1 + self.drift * number / max(1, self.sessions - 1)
            found.append(
                Session(member=ONE.id, process=number // 2, session=number,
                        latency_ns=np.full(50, level).astype(np.int64), cpu_per_run_ns=level,
                        cpu_share=1.0)
            )  # fmt: skip
        return found

    def _prepared(self) -> Prepared:
        rehearsal = Rehearsal(
            run_us=self.run_us, open_s=0.1, active=("CPUExecutionProvider",), session_init_us=100.0,
            first_run_us=10.0, peak_memory_bytes=1, outputs=None, nan_count=self.nan,
        )  # fmt: skip
        return Prepared(
            models={ONE.id: Path("m")}, feeds={}, feed_notes=(), dims={ONE.id: {"batch": 4}},
            rehearsals={ONE.id: rehearsal}, failures={},
        )  # fmt: skip


def codes(row: ConfigurationResult) -> set[str]:
    return {notice.code for notice in row.warnings}


def test_a_sound_row_raises_no_doubt() -> None:
    assert codes(Case().row()) == set()


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (Case(run_us=10), "short-run"),
        (Case(spread=0.2), "wide-interval"),
        (Case(steady=False), "not-steady"),
        (Case(drift=0.2), "drifting"),
        (Case(drift=-0.2), "drifting"),
        (Case(sessions=3), "few-sessions"),
        (Case(nan=3), "not-finite"),
    ],
)
def test_each_doubt_is_raised_where_it_belongs(case: Case, code: str) -> None:
    assert code in codes(case.row())


def test_the_direction_of_a_drift_is_told() -> None:
    def told(drift: float) -> str:
        return next(w.message for w in Case(drift=drift).row().warnings if w.code == "drifting")

    assert "slower" in told(0.2)
    assert "faster" in told(-0.2)


def test_a_clock_that_calls_runs_nothing_still_makes_a_row() -> None:
    row = Case(run_us=0.0).row()
    assert row.latency is not None
    assert math.isfinite(row.latency.ci95_us[1])


def test_only_the_first_session_of_a_process_counts_as_creation() -> None:
    # Those of even numbers opened first: 100, 102 … 110, and the rehearsal's 100.
    assert Case().row().session_init_us == 104.0


def test_a_crash_keeps_its_phase_and_log() -> None:
    crash = ChildFailedError(
        "It crashed.", outcome=Outcome.CRASHED, phase="warm-up", log="last words", hint="Sit."
    )
    row = rows.failed_row(ONE, crash)
    assert row.error is not None
    assert (row.error.kind, row.error.phase, row.error.log) == ("crashed", "warm-up", "last words")
    assert row.error.hint == "Sit."
    assert row.latency is None


def test_the_phase_and_log_outlive_the_change_of_branch() -> None:
    failed = ChildFailedError("No.", outcome=Outcome.MODEL_ERROR, phase="session", log="why")
    try:
        raise as_error(failed) from failed
    except ModelError as error:
        told = rows.failure(error)
    assert (told.kind, told.phase, told.log) == ("model_error", "session", "why")


def test_a_refusal_without_a_process_has_no_phase() -> None:
    told = rows.failure(ProviderUnavailableError("No CUDA.", hint="Get it."))
    assert (told.kind, told.phase, told.log) == ("provider_unavailable", None, "")


def test_labels_name_what_differs_and_leave_out_what_is_shared() -> None:
    one, two = records.configuration(threads=1), records.configuration(threads=2)
    assert rows.label_of(one, (one, two)) == "CPU · all · fp32 · 1 thread"
    assert rows.label_of(two, (one, two)).endswith("2 threads")
    assert rows.label_of(one, (one,)) == "CPU · all · fp32"
    both = Configuration(providers=records.configuration(records.CUDA).providers + one.providers)
    assert rows.label_of(both).startswith("CUDA → CPU")


def test_a_study_that_went_as_asked_has_no_notices() -> None:
    assert rows.study_notices(ONE, ONE, {"another": ModelError("x")}, (ONE,)) == []


def test_a_replaced_baseline_and_a_lost_control_are_told() -> None:
    two = Configuration(threads=2)
    lost = {AA_TWIN: ModelError("It crashed."), two.id: ModelError("It broke.")}
    found = {n.code: n.message for n in rows.study_notices(ONE, two, lost, (ONE, two))}
    assert set(found) == {"baseline-replaced", "baseline-failed", "control-failed"}
    assert "1 thread" in found["baseline-replaced"]
    assert "It crashed." in found["control-failed"]
    assert "It broke." in found["baseline-failed"]
