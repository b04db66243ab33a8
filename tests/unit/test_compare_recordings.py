"""Real recordings of other levels, versions, providers and number formats against each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from ortlab.analysis.comparing.compare import compare
from ortlab.domain.trace import Profile
from tests import trace_text


def recorded(path: Path) -> Profile:
    """The steady runs of a trace file."""
    return trace_text.profile(path.read_bytes(), steady=True)


@pytest.fixture
def own(shared_folder: Path) -> Path:
    return shared_folder / "traces" / "own"


def test_what_a_level_fuses_is_told_beside_the_node_that_took_it(own: Path) -> None:
    found = compare(
        recorded(own / "cpu_seq_cnn_lvl0.json"), recorded(own / "cpu_seq_cnn_lvl99.json")
    )
    convs = [n for n in found.nodes if n.op_type == "Conv"]
    assert len(convs) == 9
    assert all(n.name.split("/")[1] == n.other_name.replace("_r_", "/").split("/")[0].split("_")[0]
               for n in convs)  # fmt: skip
    assert {n.op_type for n in found.removed} == {"BatchNormalization", "Relu", "Add"}
    folded = {g.into: g.removed for g in found.groups if g.kind == "folded"}
    assert folded["b0/c2_bn_nchwc"] == ("/b0/c2/BatchNormalization", "/b0/Add", "/b0/Relu")
    assert sum(len(names) for names in folded.values()) == len(found.removed)


def test_other_versions_write_the_same_nodes(own: Path) -> None:
    found = compare(
        recorded(own / "old_1.15.1_cpu_seq_loop_if_scan.json"),
        recorded(own / "cpu_seq_loop_if_scan.json"),
    )
    assert {n.match for n in found.nodes} == {"name"}
    assert len(found.nodes) == 12
    assert not found.added
    assert not found.removed


def test_a_compiled_model_replaces_all_nodes(own: Path) -> None:
    found = compare(recorded(own / "cpu_seq_cnn_lvl0.json"), recorded(own / "openvino_cnn.json"))
    (group,) = found.groups
    assert (group.kind, len(group.removed), len(group.added)) == ("replaced", 36, 1)
    assert group.delta_us == pytest.approx(found.other.node_us - found.base.node_us)
    assert "little_in_common" in {c.code for c in found.caveats}


def test_webgpu_against_cpu_compares_no_launch(own: Path) -> None:
    found = compare(
        recorded(own / "webgpu131_swiftshader_ctrl.json"),
        recorded(own / "cpu_seq_loop_if_scan.json"),
    )
    assert {n.match for n in found.nodes} == {"name"}
    launched = [n for n in found.nodes if "WebGpuExecutionProvider" in (n.provider,)]
    assert launched
    assert all(n.ratio is None for n in launched)
    assert [n.op_type for n in found.removed] == ["MemcpyFromHost"]


def test_a_quantized_model_is_matched_by_the_names_it_kept(own: Path) -> None:
    found = compare(
        recorded(own / "quant_cnnL_st_qdq_mm_s8-s8.json"),
        recorded(own / "quant_cnnL_st_qdq_mm_u8-s8.json"),
    )
    by_name = {n.name: n for n in found.nodes}
    assert by_name["/b3/c1/Conv"].other_name == "/b3/c1/Conv_token_26"
    assert by_name["/b3/c1/Conv"].match == "canonical name"
    assert [n.op_type for n in found.added] == ["Transpose"]
