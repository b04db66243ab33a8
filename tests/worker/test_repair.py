"""Repairs: the result opens, says what was done, and gives the outputs the original gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from ortlab.domain.model import FixReport
from ortlab.errors import ModelError, RequestError
from ortlab.sandbox.limits import Limits
from ortlab.sandbox.spawn import Child
from tests import build

Fix = Callable[..., FixReport]


@pytest.fixture(scope="module")
def fix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fix]:
    """What one real worker did to a model or file."""
    folder = tmp_path_factory.mktemp("models")
    with Child(tmp_path_factory.mktemp("worker"), limits=Limits()) as child:

        def ask(model: onnx.ModelProto | Path, out: Path, only: str | None = None) -> FixReport:
            path = model if isinstance(model, Path) else folder / "model.onnx"
            if not isinstance(model, Path):
                path.write_bytes(model.SerializeToString())
            request = {"path": str(path), "out": str(out), "only": only,
                       "max_ir_version": 13, "max_opset": 26}  # fmt: skip
            return msgspec.convert(child.ask("fix", request, timeout_s=120), FixReport)

        yield ask


def outputs(path: Path, feeds: dict[str, np.ndarray] | None = None) -> list[np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feeds or {"x": np.ones((2, 64), np.float32)})


def stored(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def expected(tmp_path: Path) -> list[np.ndarray]:
    return outputs(stored(build.mlp(), tmp_path / "fine.onnx"))


def test_a_lowered_ir_version_opens_and_changes_nothing_else(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    model.ir_version = 14
    report = fix(model, tmp_path / "out.onnx")
    assert [applied.code for applied in report.applied] == ["lower-ir"]
    assert "from 14 to 13" in report.applied[0].message
    assert report.outputs_equal is None
    assert "the original cannot run here" in report.note
    assert report.model.ir_version == 13
    np.testing.assert_array_equal(outputs(tmp_path / "out.onnx"), expected(tmp_path))
    repaired = onnx.load(tmp_path / "out.onnx")
    assert repaired.graph == model.graph


def test_a_missing_ir_version_is_written(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    model.ClearField("ir_version")
    fix(model, tmp_path / "out.onnx")
    np.testing.assert_array_equal(outputs(tmp_path / "out.onnx"), expected(tmp_path))


def test_an_opset_in_which_nothing_changed_is_restated(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    model.opset_import[0].version, model.ir_version = 28, 14
    report = fix(model, tmp_path / "out.onnx")
    assert [applied.code for applied in report.applied] == ["lower-ir", "convert-opset"]
    assert "means the same in both" in report.applied[1].message
    assert report.model.opsets == {"ai.onnx": 26}
    np.testing.assert_array_equal(outputs(tmp_path / "out.onnx"), expected(tmp_path))


def test_an_old_opset_is_converted_and_gives_the_same(fix: Fix, tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    model = build.model([node], [build.tensor("x", 2, 8)], [build.tensor("y", 2, 8)])
    model.opset_import[0].version = 6
    report = fix(model, tmp_path / "out.onnx", "convert-opset")
    assert report.model.opsets == {"ai.onnx": 7}
    assert report.outputs_equal is True
    assert report.max_abs_error == 0


def test_an_opset_that_cannot_be_converted_is_a_sentence(fix: Fix, tmp_path: Path) -> None:
    node = helper.make_node("SwiGLU", ["x"], ["y"])
    model = build.model([node], [build.tensor("x", 2, 8)], [build.tensor("y", 2, 4)])
    model.opset_import[0].version = 28
    with pytest.raises(ModelError, match="Opset 28 cannot be converted to 26"):
        fix(model, tmp_path / "out.onnx")


def test_renamed_nodes_keep_the_first_name(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    for node in model.graph.node:
        node.name = "same"
    model.graph.node[-1].name = "same_2"
    report = fix(model, tmp_path / "out.onnx")
    names = [node.name for node in onnx.load(tmp_path / "out.onnx").graph.node]
    assert names == ["same", "same_3", "same_4", "same_5", "same_2"]
    assert "3 nodes" in report.applied[0].message
    np.testing.assert_array_equal(outputs(tmp_path / "out.onnx"), expected(tmp_path))


def test_sorted_nodes_give_the_same_outputs(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    report = fix(model, tmp_path / "out.onnx")
    onnx.checker.check_model(str(tmp_path / "out.onnx"))
    assert [applied.code for applied in report.applied] == ["sort-nodes"]
    assert report.outputs_equal is True
    assert not [p for p in report.model.problems if p.code == "unsorted-nodes"]


def test_misplaced_external_data_is_repacked(fix: Fix, tmp_path: Path) -> None:
    path = build.with_outside_data(build.mlp(), tmp_path / "m.onnx", location="onnx/weights.data")
    report = fix(path, tmp_path / "out" / "fixed.onnx")
    assert [applied.code for applied in report.applied] == ["repack-external"]
    assert [data.location for data in report.model.external_data] == ["fixed.onnx.data"]
    np.testing.assert_array_equal(outputs(tmp_path / "out" / "fixed.onnx"), expected(tmp_path))


def test_a_repaired_model_takes_its_data_with_it(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    model.ir_version = 14
    path = build.with_outside_data(model, tmp_path / "m.onnx")
    fix(path, tmp_path / "out" / "fixed.onnx")
    path.unlink()
    (tmp_path / "weights.data").unlink()
    np.testing.assert_array_equal(outputs(tmp_path / "out" / "fixed.onnx"), expected(tmp_path))


def test_missing_data_cannot_be_repaired_and_leaves_nothing(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    model.ir_version = 14
    path = build.with_outside_data(model, tmp_path / "m.onnx")
    (tmp_path / "weights.data").unlink()
    with pytest.raises(ModelError, match=r"'weights\.data' is missing"):
        fix(path, tmp_path / "out" / "fixed.onnx")
    assert not list((tmp_path / "out").iterdir())


def test_an_output_that_cannot_be_written_is_a_wrong_request(fix: Fix, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RequestError, match="cannot be written"):
        fix(build.mlp(), tmp_path / "file" / "out.onnx")
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.parametrize("name", ["m.onnx", "../m.onnx", "weights.data"])
def test_the_source_is_never_overwritten(fix: Fix, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = build.with_outside_data(build.mlp(), folder / "m.onnx")
    out = folder / name if "/" not in name else folder / ".." / "in" / "m.onnx"
    before = path.read_bytes()
    with pytest.raises(RequestError, match="would overwrite"):
        fix(path, out)
    assert path.read_bytes() == before


def test_a_repair_that_is_not_needed_is_refused_by_name(fix: Fix, tmp_path: Path) -> None:
    model = build.mlp()
    model.ir_version = 14
    with pytest.raises(RequestError, match="'sort-nodes' is no repair") as info:
        fix(model, tmp_path / "out.onnx", "sort-nodes")
    assert info.value.hint == "Repairs on offer: lower-ir."


def test_a_sound_model_is_copied_and_says_so(fix: Fix, tmp_path: Path) -> None:
    report = fix(build.mlp(), tmp_path / "out.onnx")
    assert report.applied == ()
    assert report.note.startswith("Nothing needed repair")
    assert report.outputs_equal is True
