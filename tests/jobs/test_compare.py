"""Real recordings against each other: the same model twice, two settings, a study and a trace."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from ortlab.domain.compare import Difference
from ortlab.errors import RequestError, TraceError
from ortlab.lab import Lab
from tests import build
from tests.conftest import ROOT

TRACE = ROOT / "tests" / "data" / "cpu_mlp_24runs.json"
OTHER = ROOT / "tests" / "data" / "cpu_parallel_executor.json"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, str, str]:
    """Two studies of the same model: two levels in one, one of them again in the other."""
    folder = tmp_path_factory.mktemp("compare")
    lab = Lab.open(folder / "home")
    onnx.save(build.mlp(width=256, layers=4), folder / "mlp.onnx")
    ask = {"seconds": 1.0, "threads": [1], "profile": True}
    both = lab.bench(folder / "mlp.onnx", levels=["disabled", "all"], **ask)
    again = lab.bench(folder / "mlp.onnx", levels=["disabled"], **ask)
    return lab, both.id, again.id


def nodes_are_told_once(found: Difference) -> bool:
    told = [n.order for n in found.nodes] + [n.order for n in found.removed]
    return sorted(told) == list(range(found.base.node_count))


def test_the_same_model_recorded_twice_has_the_same_nodes_and_few_differences(
    measured: tuple[Lab, str, str],
) -> None:
    lab, both, again = measured
    row = lab.study(again).record.configurations[0].id
    found = lab.compare(f"{both}/{row}", f"{again}/{row}").record
    assert not found.added
    assert not found.removed
    assert {n.match for n in found.nodes} == {"name"}
    told = [n for n in found.nodes if n.verdict in ("faster", "slower")]
    assert len(told) <= len(found.nodes) / 4, told
    assert found.base.machine_id == found.other.machine_id
    assert "machine_unknown" not in {c.code for c in found.caveats}


def test_two_rows_of_one_study_have_the_verdict_that_was_measured_in_turns(
    measured: tuple[Lab, str, str],
) -> None:
    lab, both, _ = measured
    record = lab.study(both).record
    first, second = (row.id for row in record.configurations)
    found = lab.compare(f"{both}/{first}", f"{both}/{second}").record
    by_id = {row.id: row for row in record.configurations}
    assert found.unprofiled is not None
    assert by_id[second].vs_baseline is not None
    assert found.unprofiled.ratio == by_id[second].vs_baseline.ratio
    assert found.unprofiled.verdict == by_id[second].vs_baseline.verdict
    assert nodes_are_told_once(found)


def test_two_studies_compare_what_both_measured(measured: tuple[Lab, str, str]) -> None:
    lab, both, again = measured
    found = lab.compare(both, again).record
    assert found.configurations is not None
    assert [row.match for row in found.configurations.rows] == ["configuration"]
    assert len(found.configurations.removed) == 1
    assert "studies_not_interleaved" in {c.code for c in found.caveats}
    assert found.nodes


def test_a_study_against_a_trace_says_which_row_speaks_for_it(
    measured: tuple[Lab, str, str],
) -> None:
    lab, both, _ = measured
    found = lab.compare(both, TRACE).record
    baseline = lab.study(both).record.baseline
    assert found.base.configuration_id == baseline
    assert found.other.kind == "trace"
    assert found.caveats[0].code == "profile_of"
    assert "the baseline" in found.caveats[0].message


def test_traces_are_named_by_file_or_by_id(own_home: Path) -> None:
    lab = Lab.open(own_home)
    opened = lab.open_trace(TRACE)
    by_file, by_id = lab.compare(TRACE, OTHER).record, lab.compare(opened, OTHER).record
    assert by_file == by_id
    assert by_file.base.id == opened
    assert lab.compare(TRACE, TRACE).record.caveats[0].code == "same_recording"


def test_profiles_compare_themselves(own_home: Path) -> None:
    lab = Lab.open(own_home)
    first, second = lab.profile(TRACE), lab.profile(OTHER)
    found = first.compare(second).record
    assert found.base.node_count == len(first.nodes)
    assert found.other.node_count == len(second.nodes)


@pytest.mark.parametrize("source", ["nothere", "nothere/abc", ""])
def test_what_is_neither_study_nor_trace_is_refused(own_home: Path, source: str) -> None:
    with pytest.raises(RequestError, match="neither a study"):
        Lab.open(own_home).compare(source, TRACE)


def test_a_model_is_no_recording(own_home: Path, tmp_path: Path) -> None:
    onnx.save(build.mlp(width=8, layers=1), tmp_path / "m.onnx")
    with pytest.raises(RequestError, match="is a model") as refused:
        Lab.open(own_home).compare(tmp_path / "m.onnx", TRACE)
    assert "bench" in (refused.value.hint or "")


def test_a_broken_trace_is_a_trace_error(own_home: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(TraceError):
        Lab.open(own_home).compare(tmp_path / "bad.json", TRACE)


def test_a_row_that_a_study_lacks_is_refused(measured: tuple[Lab, str, str]) -> None:
    lab, both, _ = measured
    with pytest.raises(RequestError, match="nothing00"):
        lab.compare(f"{both}/nothing00", TRACE)


def test_a_study_without_a_profile_cannot_stand_against_a_trace(
    measured: tuple[Lab, str, str], tmp_path: Path
) -> None:
    lab, both, _ = measured
    onnx.save(build.mlp(width=64, layers=2), tmp_path / "mlp.onnx")
    bare = lab.bench(tmp_path / "mlp.onnx", seconds=0.3, threads=[1], profile=False)
    with pytest.raises(RequestError, match="has no profile"):
        lab.compare(bare.id, TRACE)
    found = lab.compare(bare.id, both).record
    assert found.run.basis == "measured latency"
    assert not found.nodes
    assert {"no_profiles", "different_model"} <= {c.code for c in found.caveats}
