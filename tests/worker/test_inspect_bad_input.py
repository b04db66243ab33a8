"""Every kind of unusable model gets a sentence, a hint, and a repair where there is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from ortlab.domain.model import ModelInfo, Problem
from ortlab.errors import ModelError
from tests import build

Inspect = Callable[..., ModelInfo]


def problem(info: ModelInfo, code: str) -> Problem:
    """The one problem of that code, with a hint."""
    (found,) = [p for p in info.problems if p.code == code]
    assert found.hint
    return found


def ort_refuses(model: onnx.ModelProto | Path) -> bool:
    """Whether the installed ONNX Runtime refuses the model too."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    try:
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception:
        return True
    return False


def test_ir_too_new_names_both_sides_and_a_repair(inspect: Inspect) -> None:
    model = build.mlp()
    model.ir_version = 14
    found = problem(inspect(model), "ir-too-new")
    assert found.message.startswith("The file has IR version 14, ONNX Runtime ")
    assert found.message.endswith("reads up to 13.")
    assert found.fix == "lower-ir"
    assert ort_refuses(model)


def test_ir_99_has_no_repair(inspect: Inspect) -> None:
    model = build.mlp()
    model.ir_version = 99
    assert problem(inspect(model), "ir-too-new").fix is None
    assert ort_refuses(model)


def test_ir_that_its_element_types_need_has_no_repair(inspect: Inspect) -> None:
    model = build.mlp()
    model.ir_version = 14
    model.graph.initializer.append(onnx.TensorProto(name="six", dims=[4], data_type=27))
    assert problem(inspect(model), "ir-too-new").fix is None


def test_limits_come_from_the_installed_release_when_not_given(inspect: Inspect) -> None:
    model = build.mlp()
    model.ir_version = 14
    info = inspect(model, max_ir_version=None, max_opset=None)
    assert f"ONNX Runtime {ort.__version__} reads up to" in problem(info, "ir-too-new").message


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def test_limits_of_another_release_are_those_of_its_version(inspect: Inspect) -> None:
    model = build.mlp()
    model.ir_version = 11
    request = {"max_ir_version": None, "max_opset": None, "onnxruntime_version": "1.22.1"}
    found = problem(inspect(model, **request), "ir-too-new")
    assert found.message.endswith("IR version 11, ONNX Runtime 1.22.1 reads up to 10.")


def test_a_graph_file_over_2_gib_is_told(inspect: Inspect, tmp_path: Path) -> None:
    # One more weight, 2 GiB of zeros; the file is a hole.
    header = b"\x0a\x04\x80\x80\x80\x08\x10\x02\x42\x01h\x4a" + varint(2**31)
    tensor = b"\x2a" + varint(len(header) + 2**31) + header
    with (tmp_path / "m.onnx").open("wb") as file:
        file.write(build.mlp().SerializeToString())
        file.write(b"\x3a" + varint(len(tensor) + 2**31) + tensor)
        file.truncate(file.tell() + 2**31)
    assert (
        "a protobuf file ends at 2 GiB"
        in problem(inspect(tmp_path / "m.onnx"), "graph-over-2-gib").message
    )


def test_no_ir_version_has_a_repair(inspect: Inspect) -> None:
    model = build.mlp()
    model.ClearField("ir_version")
    assert problem(inspect(model), "no-ir-version").fix == "lower-ir"
    assert ort_refuses(model)


@pytest.mark.parametrize(("opset", "fix"), [(28, "convert-opset"), (999, None)])
def test_opset_too_new_names_both_sides(inspect: Inspect, opset: int, fix: str | None) -> None:
    model = build.mlp()
    model.opset_import[0].version = opset
    found = problem(inspect(model), "opset-too-new")
    assert f"opset {opset} of ai.onnx, ONNX Runtime " in found.message
    assert found.message.endswith("reads up to 26.")
    assert found.fix == fix
    assert ort_refuses(model)


def test_no_opset_is_told(inspect: Inspect) -> None:
    model = build.mlp()
    model.ClearField("opset_import")
    problem(inspect(model), "no-opset")
    assert ort_refuses(model)


def with_operator(op_type: str, *, domain: str = "", opset: int = 17) -> onnx.ModelProto:
    """A model of one node."""
    node = helper.make_node(op_type, ["x"], ["y"], name="odd", domain=domain)
    model = build.model([node], [build.tensor("x", 2)], [build.tensor("y", 2)])
    model.opset_import[0].version = opset
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def test_unknown_domain_names_the_node(inspect: Inspect) -> None:
    model = with_operator("Secret", domain="my.company")
    found = problem(inspect(model), "unknown-domain")
    assert "'odd' is a my.company.Secret" in found.message
    assert ort_refuses(model)


def test_unknown_operator_names_the_node(inspect: Inspect) -> None:
    model = with_operator("Relux")
    assert "'odd' is a ai.onnx.Relux" in problem(inspect(model), "unknown-operator").message
    assert ort_refuses(model)


def test_an_operator_newer_than_the_files_opset_is_told(inspect: Inspect) -> None:
    model = with_operator("Gelu", opset=17)
    found = problem(inspect(model), "operator-not-in-opset")
    assert "came with opset 20; the file uses opset 17" in found.message
    assert ort_refuses(model)


def test_onnx_runtimes_own_operators_are_known(inspect: Inspect) -> None:
    info = inspect(with_operator("FastGelu", domain="com.microsoft"))
    assert not info.problems


def test_missing_external_data_is_named(inspect: Inspect, tmp_path: Path) -> None:
    path = build.with_outside_data(build.mlp(), tmp_path / "m.onnx")
    (tmp_path / "weights.data").unlink()
    info = inspect(path)
    assert "'weights.data' is missing" in problem(info, "missing-external-data").message
    assert info.external_data[0].bytes is None


@pytest.mark.parametrize(
    ("location", "words"),
    [("../weights.data", "goes up"), ("/etc/passwd", "absolute"), ("C:\\x.data", "absolute"),
     ("a/../../weights.data", "goes up")],
)  # fmt: skip
def test_external_data_outside_the_folder_is_refused(
    inspect: Inspect, tmp_path: Path, location: str, words: str
) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = build.with_outside_data(build.mlp(), folder / "m.onnx", location=location)
    (folder / "weights.data").rename(tmp_path / "weights.data")
    info = inspect(path)
    assert words in problem(info, "external-data-outside").message
    assert info.external_data[0].bytes is None


@pytest.mark.parametrize("location", ["w" * 256, "a/" * 2100 + "w", "é" * 200])
def test_external_data_whose_name_no_file_can_have_is_told(
    inspect: Inspect, tmp_path: Path, location: str
) -> None:
    path = build.with_outside_data(build.mlp(), tmp_path / "m.onnx", location=location)
    assert "longer than a file's can be" in problem(inspect(path), "external-data-outside").message


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc of Linux")
def test_a_file_that_cannot_be_read_from_its_first_byte_is_a_sentence(inspect: Inspect) -> None:
    with pytest.raises(ModelError, match="cannot be read") as refused:
        inspect(Path("/proc/self/mem"))
    assert refused.value.hint


def test_external_data_that_is_a_link_out_of_the_folder_is_refused(
    inspect: Inspect, tmp_path: Path
) -> None:
    (tmp_path / "inner").mkdir()
    path = build.with_outside_data(build.mlp(), tmp_path / "inner" / "m.onnx")
    (tmp_path / "inner" / "weights.data").rename(tmp_path / "secret")
    (tmp_path / "inner" / "weights.data").symlink_to(tmp_path / "secret")
    assert "is a link" in problem(inspect(path), "external-data-outside").message
    assert ort_refuses(path)


def test_model_and_data_that_link_into_one_folder_are_fine(
    inspect: Inspect, tmp_path: Path
) -> None:
    """As model hubs keep their downloads."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    build.with_outside_data(build.mlp(), tmp_path / "blobs" / "m.onnx")
    for name in ("m.onnx", "weights.data"):
        (tmp_path / "snapshot" / name).symlink_to(tmp_path / "blobs" / name)
    info = inspect(tmp_path / "snapshot" / "m.onnx")
    assert not [p for p in info.problems if p.severity == "error"]
    assert not ort_refuses(tmp_path / "snapshot" / "m.onnx")


def test_cut_off_external_data_is_told_with_both_sizes(inspect: Inspect, tmp_path: Path) -> None:
    path = build.with_outside_data(build.mlp(), tmp_path / "m.onnx")
    with (tmp_path / "weights.data").open("r+b") as data:
        data.truncate(1000)
    found = problem(inspect(path), "external-data-cut-off")
    assert "has 1,000 bytes, but the model reads up to byte 32,768" in found.message
    assert ort_refuses(path)


def test_flattened_external_data_has_a_repair(inspect: Inspect, tmp_path: Path) -> None:
    path = build.with_outside_data(build.mlp(), tmp_path / "m.onnx", location="onnx/weights.data")
    assert problem(inspect(path), "misplaced-external-data").fix == "repack-external"


def test_a_graph_with_a_cycle_is_told(inspect: Inspect) -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
    ]
    model = build.model(nodes, [build.tensor("x", 2)], [build.tensor("b", 2)])
    assert "'first' needs 'b'" in problem(inspect(model), "graph-cycle").message
    assert ort_refuses(model)


def test_unsorted_nodes_are_a_warning_with_a_repair(inspect: Inspect) -> None:
    model = build.mlp()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    found = problem(inspect(model), "unsorted-nodes")
    assert (found.severity, found.fix) == ("warning", "sort-nodes")
    assert not ort_refuses(model)


def test_duplicate_node_names_have_a_repair(inspect: Inspect) -> None:
    model = build.mlp()
    for node in model.graph.node:
        node.name = "same"
    found = problem(inspect(model), "duplicate-node-name")
    assert "5 nodes have the name 'same'" in found.message
    assert found.fix == "rename-nodes"
    assert ort_refuses(model)


def test_duplicate_tensor_names_are_told(inspect: Inspect) -> None:
    model = build.mlp()
    model.graph.node[1].output[0] = "m0"
    assert "'m0' is defined 2 times" in problem(inspect(model), "duplicate-tensor-name").message
    assert ort_refuses(model)


def test_a_needed_tensor_that_nobody_computes_is_told(inspect: Inspect) -> None:
    model = build.mlp()
    model.graph.node[0].input[1] = "gone"
    assert "needs 'gone'" in problem(inspect(model), "undefined-tensor").message
    assert ort_refuses(model)


def test_names_from_around_a_branch_are_defined(inspect: Inspect) -> None:
    assert not [p for p in inspect(build.branch()).problems if p.severity != "ask"]


def test_an_output_that_nobody_computes_is_told(inspect: Inspect) -> None:
    model = build.mlp()
    model.graph.output[0].name = "gone"
    assert "'gone'" in problem(inspect(model), "undefined-output").message
    assert ort_refuses(model)


def test_a_model_without_inputs_is_a_warning(inspect: Inspect) -> None:
    node = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.ones(2)))
    model = build.model([node], [], [build.tensor("y", 2, dtype=11)])
    assert problem(inspect(model), "no-inputs").severity == "warning"
    assert not ort_refuses(model)


def test_a_model_without_outputs_is_told(inspect: Inspect) -> None:
    model = build.mlp()
    del model.graph.output[:]
    problem(inspect(model), "no-outputs")


def test_functions_that_double_without_end_are_a_bomb(inspect: Inspect) -> None:
    found = problem(inspect(build.caller(depth=24)), "function-bomb")
    assert f"{2**24:,} nodes" in found.message


def test_a_function_that_calls_itself_is_told(inspect: Inspect) -> None:
    model = build.caller(depth=1)
    model.functions[0].node[0].op_type = "f1"
    model.functions[0].node[0].domain = "local"
    assert "calls itself" in problem(inspect(model), "recursive-function").message
    assert ort_refuses(model)


def test_absurd_sizes_do_not_break_the_card(inspect: Inspect) -> None:
    model = build.mlp()
    model.graph.initializer.append(onnx.TensorProto(name="h", dims=[2**62] * 60, data_type=1))
    assert inspect(model).parameter_count == 2**63 - 1
