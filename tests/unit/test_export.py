"""The exported script runs by itself, on the providers and with the settings it names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from ortlab.domain.configuration import Configuration, ProviderChoice
from ortlab.errors import RequestError
from ortlab.export import python, recipe
from tests import build, records
from tests.records import configuration

SOFTWARE_GPU = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


def exported(folder: Path, config: Configuration, **options: object) -> Path:
    """The script of a row with this configuration, its model beside it."""
    onnx.save(build.mlp(), folder / "tiny.onnx")
    written = python.write(records.row(config), model_name="tiny.onnx", folder=folder, **options)
    return written[0]


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(script), "--runs", "3", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=script.parent.parent,
                          timeout=120, check=False)  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        configuration(dims={"N": 2}),
        configuration(level="basic", threads=2, spinning=False, arena=False, dims={"N": 2}),
        configuration(execution_mode="parallel", inter_op_threads=2, dims={"N": 2},
                      session_config={"session.disable_prepacking": "1"}),
        configuration(io_binding=True, dims={"N": 2}),
    ],
    ids=["default", "threads", "parallel", "io binding"],
)  # fmt: skip
def test_the_exported_script_runs_the_model(tmp_path: Path, config: Configuration):
    done = run(exported(tmp_path, config))
    assert done.returncode == 0, done.stderr
    assert "providers: CPUExecutionProvider" in done.stdout
    assert "output y: float32 (2, 64)" in done.stdout
    assert "median of 3 runs" in done.stdout


def test_the_exported_script_makes_the_int8_form_itself(tmp_path: Path):
    done = run(exported(tmp_path, configuration(variant="dynamic-int8", dims={"N": 1})))
    assert done.returncode == 0, done.stderr
    made = onnx.load(tmp_path / "tiny.dynamic-int8.onnx")
    assert any(node.op_type == "MatMulInteger" for node in made.graph.node)


def test_the_exported_script_opens_a_plugin_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("onnxruntime_ep_webgpu", reason="the extra `webgpu` is not installed")
    if not SOFTWARE_GPU.exists():
        pytest.skip("no software GPU (SwiftShader) is installed")
    monkeypatch.setenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(SOFTWARE_GPU))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    done = run(exported(tmp_path, configuration("WebGpuExecutionProvider", dims={"N": 1})))
    assert done.returncode == 0, done.stderr
    assert "providers: WebGpuExecutionProvider" in done.stdout


def test_a_plugin_without_a_device_is_a_sentence(tmp_path: Path):
    pytest.importorskip("onnxruntime_ep_openvino", reason="the extra `openvino` is not installed")
    npu = ProviderChoice(records.OPENVINO, {"device_type": "NPU"})
    done = run(exported(tmp_path, Configuration(providers=(npu,), dims={"N": 1})))
    assert "OpenVINOExecutionProvider has no device" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_exported_script_refuses_a_provider_that_is_not_there(tmp_path: Path):
    done = run(exported(tmp_path, configuration("XnnpackExecutionProvider", dims={"N": 1})))
    assert done.returncode != 0
    assert "Xnnpack" in done.stderr


def test_the_exported_script_takes_the_feeds_it_was_measured_on(tmp_path: Path):
    feeds = tmp_path / "mine.npz"
    np.savez(feeds, x=np.ones((5, 64), np.float32))
    done = run(exported(tmp_path, configuration(dims={"N": 1}), feeds=feeds))
    assert "output y: float32 (5, 64)" in done.stdout, done.stderr


def test_a_dimension_without_a_value_is_a_sentence_not_a_traceback(tmp_path: Path):
    done = run(exported(tmp_path, configuration()))
    assert "Dimension 'N' has no value" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_that_look_like_code_stay_text():
    hostile = 'a"""\nimport os; os.abort()\n"""\\.onnx'
    row = records.changed(records.row(), label=hostile)
    tree = ast.parse(python.python_code(row, model_name=hostile))
    assert not any(isinstance(node, ast.Attribute) and node.attr == "abort"
                   for node in ast.walk(tree))  # fmt: skip
    values = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}
    assert ast.literal_eval(values["MODEL"]) == hostile


def test_provider_options_reach_the_script():
    cuda = ProviderChoice(records.CUDA, {"use_tf32": "0"})
    code = python.python_code(
        records.row(Configuration(providers=(cuda,))), model_name="tiny.onnx",
        onnxruntime_version="1.31.1",
    )  # fmt: skip
    assert '["CUDAExecutionProvider", {"use_tf32": "0"}]' in code
    assert "preload_dlls" in code
    assert "onnxruntime 1.31.1" in code


def test_a_folder_that_cannot_be_written_is_a_wrong_request(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RequestError, match="cannot be written"):
        recipe.write(records.row(), folder=tmp_path / "file")
    with pytest.raises(RequestError, match="cannot be written"):
        python.write(records.row(), model_name="m.onnx", folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.parametrize("name", ['a"\n"; import os #.onnx', "\\", "{x}", "'''.onnx", "🦊.onnx"])
def test_a_strange_name_of_a_model_stays_a_text_in_the_script(name: str) -> None:
    code = python.python_code(records.row(configuration(dims={name: 2})), model_name=name)
    texts = {n.value for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Constant)}
    assert name in texts
