"""True fallback on a second, real provider: measured, placed and told, or refused with a reason."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import onnx
import pytest
from onnx import TensorProto, helper

from ortlab.analysis import placement
from ortlab.analysis.profiles import traces
from ortlab.domain.configuration import CPU, Configuration, ProviderChoice
from ortlab.domain.study import StopRule, Study, StudySpec
from ortlab.measure import study
from ortlab.sandbox.spawn import run_task
from tests import build
from tests.jobs.test_measure import MACHINE, Kept

WEBGPU = "WebGpuExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
SOFTWARE_VULKAN = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


@pytest.fixture
def webgpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vulkan in software, which Chromium brings: WebGPU without a GPU."""
    if not SOFTWARE_VULKAN.exists():
        pytest.skip("needs Chromium's software Vulkan: `apt-get install chromium libvulkan1`")
    pytest.importorskip("onnxruntime_ep_webgpu")
    monkeypatch.setenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(SOFTWARE_VULKAN))


def with_tail() -> onnx.ModelProto:
    """Work a GPU likes, and a NonZero that WebGPU has no kernel for."""
    base = build.mlp(width=32)
    base.graph.node.append(helper.make_node("NonZero", ["y"], ["where"], name="tail"))
    del base.graph.output[:]
    base.graph.output.append(build.tensor("where", 2, "found", dtype=TensorProto.INT64))
    return base


def studied(
    folder: Path, model: onnx.ModelProto, *providers: tuple[str, ...]
) -> tuple[Study, Kept]:
    path = folder / "model" / "model.onnx"
    path.parent.mkdir()
    onnx.save(model, str(path))
    configurations = tuple(
        Configuration(threads=1, dims={"N": 4}, providers=tuple(map(ProviderChoice, names)))
        for names in providers
    )
    spec = StudySpec(
        model_id="m", model_name="test", configurations=configurations, stop=StopRule(runs=12),
        profile=True,
    )  # fmt: skip
    sink = Kept()
    answer = study.run(
        spec, study_id="s", model=path, feeds_npz=None, folder=folder / "work", sink=sink,
        cancel=threading.Event(), machine=MACHINE,
    )  # fmt: skip
    return answer, sink


@pytest.mark.usefixtures("webgpu")
def test_a_node_without_a_kernel_is_shown_on_the_cpu_with_its_copy(tmp_path: Path) -> None:
    answer, sink = studied(tmp_path, with_tail(), (CPU,), (WEBGPU, CPU))
    row = answer.configurations[1]
    assert row.error is None
    assert row.providers_active == (WEBGPU, CPU)
    assert row.latency is not None
    trace = next(p for p in sink.files if p.name == row.trace_artifact)
    events = tmp_path / "events.parquet"
    request = {"path": str(trace), "out": str(events)}
    run_task("trace", request, folder=tmp_path / "decode", timeout_s=60)
    profile = traces.profile(events, source="test")
    found = placement.placement(
        requested=row.provider_requested,
        active=row.providers_active,
        assignment=row.assignment,
        log=row.placement_log,
        profile=profile,
    )
    fallen = {f.node: f for f in found.fallback}
    assert "tail" in fallen
    assert "kernel" in fallen["tail"].reason
    assert found.copy_count >= 1
    assert 0 < found.node_share_by_provider[WEBGPU] < 1
    assert WEBGPU in profile.async_providers


@pytest.mark.usefixtures("webgpu")
def test_outputs_of_the_second_provider_are_compared_with_the_first(tmp_path: Path) -> None:
    answer, _ = studied(tmp_path, build.mlp(width=32), (CPU,), (WEBGPU,))
    accuracy = answer.configurations[1].accuracy
    assert accuracy is not None
    assert accuracy.max_abs_error is not None
    assert accuracy.max_abs_error < 1e-3


def test_openvino_is_measured_or_its_row_says_why_not(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_ep_openvino")
    answer, _ = studied(tmp_path, build.mlp(width=32), (CPU,), (OPENVINO, CPU))
    good, other = answer.configurations
    assert good.latency is not None
    if other.error is None:
        assert OPENVINO in other.providers_active
        assert other.latency is not None
    else:
        # The plugin offers its CPU device on some processors only.
        assert other.error.kind == "provider_unavailable"
        assert "OpenVINO" in other.error.message
        assert "no device" in other.error.message
        assert other.latency is None


def test_the_row_is_the_same_question_whatever_became_of_it(tmp_path: Path) -> None:
    answer, _ = studied(tmp_path, build.mlp(width=32), (CPU,), ("CUDAExecutionProvider",))
    asked = [c.id for c in answer.spec.configurations]
    assert [row.id for row in answer.configurations] == asked
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Study) == answer
