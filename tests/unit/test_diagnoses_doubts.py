"""Threads, memory and doubts: each fires on its symptom, and is silent without it."""

from __future__ import annotations

import pytest

from ortlab.domain.study import AAControl, Comparison, Interference, Notice
from ortlab.domain.trace import Trust, TrustReason
from tests import records
from tests.records import configuration, found, row, study

# Threads and memory


def test_more_threads_than_cores_propose_as_many_as_cores():
    finding = found(study(row(configuration(threads=8))))["oversubscribed"]
    assert finding.proposal == configuration(threads=4)
    assert "8 intra-op threads on 4 usable" in finding.evidence


def test_as_many_threads_as_cores_are_fine():
    assert "oversubscribed" not in found(study(row(configuration(threads=4))))


def test_more_threads_than_cores_that_were_measured_faster_are_fine():
    fitting, more = row(configuration(threads=4)), row(configuration(threads=8), ratio=1.2)
    assert "oversubscribed" not in found(study(fitting, more))


def test_threads_that_cost_cpu_time_and_bring_nothing_are_contention():
    one = row(configuration(threads=1))
    two = row(configuration(threads=2), ratio=0.95, p50_us=1050.0, cpu_us=2000.0)
    finding = found(study(one, two))["thread-contention"]
    assert finding.configuration_id == two.id
    assert finding.proposal == one.configuration


def test_threads_that_scale_are_not_contention():
    one = row(configuration(threads=1))
    two = row(configuration(threads=2), ratio=1.8, p50_us=560.0, cpu_us=1100.0)
    assert not {"thread-contention", "spinning"} & set(found(study(one, two)))


@pytest.mark.parametrize(
    ("run_us", "wait_us", "threads", "fires"),
    [(1000, 9000, 4, True), (9000, 1000, 4, False), (10, 90, 4, False), (1000, 9000, 1, False)],
    ids=["waits", "works", "too little to matter", "one thread"],
)
def test_waiting_in_the_thread_pool_is_told_from_the_profile(
    run_us: int, wait_us: int, threads: int, fires: bool
):
    profile = records.profile({"MatMul": (4, 20_000)}, pool_run_us=run_us, pool_wait_us=wait_us)
    seen = found(study(row(configuration(threads=threads))), profile=profile)
    assert ("pool-waiting" in seen) is fires
    if fires:
        assert seen["pool-waiting"].proposal == configuration(threads=2)


def test_threads_that_burn_more_cpu_than_one_thread_propose_no_spinning():
    one = row(configuration(threads=1))
    four = row(configuration(threads=4), ratio=1.5, p50_us=670.0, cpu_us=2600.0)
    finding = found(study(one, four))["spinning"]
    assert finding.proposal == configuration(threads=4, spinning=False)
    assert "2.60×" in finding.evidence


def test_spinning_is_told_against_the_row_without_it():
    on = row(configuration(threads=2), cpu_us=2000.0)
    off = row(configuration(threads=2, spinning=False), ratio=0.97, cpu_us=1100.0)
    assert found(study(on, off))["spinning"].proposal == off.configuration


def test_parallel_execution_that_lost_time_is_told():
    plain = row()
    parallel = row(configuration(execution_mode="parallel", inter_op_threads=2), ratio=0.7)
    seen = found(study(plain, parallel))
    assert seen["parallel-slower"].configuration_id == parallel.id
    won = row(parallel.configuration, ratio=1.4)
    assert "parallel-slower" not in found(study(plain, won))


@pytest.mark.parametrize(("ratio", "fires"), [(1.0, True), (1.3, False)])
def test_io_binding_is_judged_by_its_twin(ratio: float, fires: bool):
    bound = row(configuration(io_binding=True), ratio=ratio, half_width=0.005)
    assert ("io-binding-idle" in found(study(row(), bound))) is fires


def test_much_memory_for_few_weights_proposes_no_arena():
    finding = found(study(row(peak_memory_bytes=2 << 30)))["arena-memory"]
    assert finding.proposal == configuration(arena=False, memory_pattern=False)


def test_memory_in_proportion_to_the_weights_is_fine():
    big = records.model(parameter_bytes=1 << 30)
    assert "arena-memory" not in found(study(row(peak_memory_bytes=2 << 30)), model=big)


def test_memory_saved_without_the_arena_is_told_from_the_measured_row():
    on = row(peak_memory_bytes=200 << 20)
    off = row(configuration(arena=False), ratio=0.98, peak_memory_bytes=110 << 20)
    finding = found(study(on, off))["arena-memory"]
    assert "110" in finding.evidence
    assert finding.proposal == off.configuration


# Doubts


def test_a_control_pair_that_leaves_out_one_is_a_doubt():
    off = study(aa=AAControl(ratio=1.05, ci95=(1.02, 1.08)))
    assert found(off)["aa-control"].severity == "doubt"


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (Interference(steal_share=0.08), "host"),
        (Interference(other_cpu_share=0.4, top_other="stress"), "stress"),
        (Interference(throttled_us=250_000), "quota"),
    ],
)
def test_interference_is_a_doubt_that_names_its_cause(seen: Interference, word: str):
    assert word in found(study(interference=seen))["noisy-machine"].evidence


def test_a_quiet_machine_is_not_called_noisy():
    quiet = Interference(steal_share=0.001, other_cpu_share=0.02, throttled_us=0, load_before=0.1)
    assert "noisy-machine" not in found(study(interference=quiet))


def test_comparisons_by_cpu_time_tell_that_others_were_there():
    by_cpu = Comparison(ratio=1.2, ci95=(1.1, 1.3), verdict="faster", basis="cpu")
    other = row(configuration(level="basic"), vs_baseline=by_cpu)
    assert "1 comparison had" in found(study(row(), other))["noisy-machine"].evidence


@pytest.mark.parametrize(("p50_us", "fires"), [(20.0, True), (200.0, False)])
def test_short_runs_are_doubted(p50_us: float, fires: bool):
    assert ("short-run" in found(study(row(p50_us=p50_us)))) is fires


@pytest.mark.parametrize(("half_width", "fires"), [(0.12, True), (0.01, False)])
def test_wide_intervals_are_doubted(half_width: float, fires: bool):
    other = row(configuration(level="basic"), ratio=1.1, half_width=half_width)
    assert ("wide-interval" in found(study(row(), other))) is fires


def test_rows_that_never_became_steady_are_doubted():
    assert "1 of 2" in found(study(row(), row(configuration(level="basic"), ratio=1.0,
                                              steady=False)))["not-steady"].evidence  # fmt: skip


def test_drift_is_told_in_the_words_of_the_measurement():
    notice = Notice("drifting", "The last rounds took 9 % longer than the first.")
    assert "9 %" in found(study(row(warnings=(notice,))))["drifting"].evidence


def test_few_sessions_are_a_doubt_with_their_count():
    notice = Notice("few-sessions", "Only 2 sessions could be measured.")
    finding = found(study(row(warnings=(notice,), session_count=2)))["few-sessions"]
    assert "fewest are 2" in finding.evidence


def test_outputs_that_are_not_numbers_are_a_problem():
    notice = Notice("not-finite", "The outputs hold 4 NaN and 0 infinite values.")
    assert "4 NaN" in found(study(row(warnings=(notice,))))["not-finite"].evidence


def test_an_interval_without_bounds_is_said_in_words():
    endless = Comparison(ratio=1.0, ci95=(0.0, 1e300), verdict="cannot tell")
    other = row(configuration(level="basic"), vs_baseline=endless)
    assert "not known at all" in found(study(row(), other))["wide-interval"].evidence


def test_a_withheld_p99_is_doubted_with_the_count():
    few = row(latency=records.latency(count=40, p99_us=None))
    assert "40" in found(study(few))["few-samples"].evidence


def test_a_doubtful_profile_is_told_with_its_first_reasons():
    doubtful = records.profile(
        {"MatMul": (1, 10)}, trust=Trust("D", (TrustReason("async", "Times are launch times."),))
    )
    assert "launch times" in found(study(), profile=doubtful)["profile-misleads"].evidence
    assert "profile-misleads" not in found(study(), profile=records.profile({"MatMul": (1, 10)}))
