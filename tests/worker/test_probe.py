"""What the probe says about the ONNX Runtime that is really installed, in real workers."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from ortlab.catalog.providers import PLUGIN_MODULES
from ortlab.errors import ProviderUnavailableError
from ortlab.measure import machine
from ortlab.sandbox.spawn import run_task
from ortlab.worker import probe, provider_reasons, providers
from tests import build

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
WEBGPU = "WebGpuExecutionProvider"
SOFTWARE_VULKAN = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
TIMEOUT_S = 120


def tried(name: str, folder: Path, **options: str) -> dict[str, object]:
    """What a worker of its own found about one provider."""
    request = {"provider": name, "options": options, "plugin": PLUGIN_MODULES.get(name)}
    return run_task("try_provider", request, folder=folder, timeout_s=TIMEOUT_S)


@pytest.fixture
def software_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vulkan in software, which Chromium brings, so that WebGPU runs without a GPU."""
    if not SOFTWARE_VULKAN.exists():
        pytest.skip(f"needs a software Vulkan at {SOFTWARE_VULKAN}, which Chromium brings")
    monkeypatch.setenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(SOFTWARE_VULKAN))


def test_the_probe_finds_versions_and_the_newest_ir_and_opset(tmp_path: Path) -> None:
    found = run_task("probe", {"plugins": []}, folder=tmp_path, timeout_s=TIMEOUT_S)
    assert found["onnxruntime_version"] == onnxruntime.__version__
    assert found["providers"] == onnxruntime.get_available_providers()
    ir, opset = found["max_ir_version"], found["max_opset"]
    assert probe.opens(probe.tiny_model(ir=ir))
    assert not probe.opens(probe.tiny_model(ir=ir + 1))
    assert probe.opens(probe.tiny_model(opset=opset))
    assert not probe.opens(probe.tiny_model(opset=opset + 1))


def test_the_cpu_is_loadable(tmp_path: Path) -> None:
    found = tried(CPU, tmp_path)
    assert (found["loadable"], found["active"], found["reason"]) == (True, [CPU], None)


def test_cuda_is_loadable_or_the_missing_piece_is_named(tmp_path: Path) -> None:
    if CUDA not in onnxruntime.get_available_providers():
        assert "not part of this ONNX Runtime build" in str(tried(CUDA, tmp_path)["reason"])
        return
    found = tried(CUDA, tmp_path)
    if found["loadable"]:
        assert CUDA in found["active"]
        return
    assert any(word in str(found["reason"]) for word in (".so.", ".dll", "CUDA"))
    assert found["hint"]


def test_an_unknown_provider_is_not_loadable_and_the_build_is_named(tmp_path: Path) -> None:
    found = tried("XnnpackExecutionProvider", tmp_path)
    assert found["loadable"] is False
    assert "not part of this ONNX Runtime build" in str(found["reason"])


def test_openvino_runs_or_says_that_it_found_no_device(tmp_path: Path) -> None:
    found = tried(OPENVINO, tmp_path)
    assert found["loadable"] is bool(found["devices"])
    if found["loadable"]:
        assert OPENVINO in found["active"]
    else:
        assert "offers no device" in str(found["reason"])


@pytest.mark.usefixtures("software_gpu")
def test_webgpu_runs_on_a_software_device(tmp_path: Path) -> None:
    found = tried(WEBGPU, tmp_path)
    assert found["loadable"] is True, found["reason"]
    assert found["active"] == [WEBGPU, CPU]


@pytest.mark.usefixtures("software_gpu")
def test_a_value_that_the_provider_refuses_is_its_reason_not_a_silent_cpu(tmp_path: Path) -> None:
    found = tried(WEBGPU, tmp_path, validationMode="bogus")
    assert found["loadable"] is False
    assert "bogus" in str(found["reason"])


@pytest.mark.usefixtures("software_gpu")
def test_a_plugin_is_not_looked_for_on_a_device_it_does_not_have(tmp_path: Path) -> None:
    found = tried(WEBGPU, tmp_path, device_type="NPU")
    assert "no NPU device" in str(found["reason"])


def test_a_cpu_only_session_is_refused_when_cuda_was_asked() -> None:
    session = onnxruntime.InferenceSession(probe.tiny_model(), providers=[CPU])
    log = (
        "E: Failed to load library a/b.so with error: libx.so.1: cannot open shared object file: No"
    )
    with pytest.raises(ProviderUnavailableError, match=r"runs on CPU.*libx\.so\.1"):
        providers.check_active(session, [{"name": CUDA, "options": {}}], log=log)


def test_a_bad_model_is_not_blamed_on_the_provider() -> None:
    with pytest.raises(Exception, match="INVALID_PROTOBUF") as caught:
        providers.open_session(
            b"junk", options=onnxruntime.SessionOptions(), choices=[{"name": CPU, "options": {}}]
        )
    assert not isinstance(caught.value, ProviderUnavailableError)


def test_a_session_of_a_real_model_opens_on_the_cpu() -> None:
    session = providers.open_session(
        build.mlp().SerializeToString(), options=onnxruntime.SessionOptions(), choices=[]
    )
    assert session.get_providers() == [CPU]


LIBRARY_MISSING = (
    "\x1b[1;31m2026-11-20 18:18:30.4 [E:onnxruntime:Default, p.cc:2458 operator()] "
    "/onnxruntime_src/core/p.cc:2043 onnxruntime::Provider& onnxruntime::Library::Get() "
    "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /x/libp.so with error: "
    "libcublasLt.so.13: cannot open shared object file: No such file or directory\n\x1b[m"
)
WRONG_VALUE = (
    "/src/plugin.cc:71 virtual std::unique_ptr<X> F::Create(const Options&, const Logger&) "
    "Error creating execution provider: [ONNXRuntimeError] : 11 : EP_FAIL : /src/w.cc:205 "
    "onnxruntime::{anonymous}::Parse(const Config&) Invalid validation mode: bogus\n"
)
NO_GPU = (
    "/src/cuda_call.cc:121 std::conditional_t<b, void, Status> onnxruntime::CudaCall(E) "
    "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=me ; file=x"
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (LIBRARY_MISSING, "libcublasLt.so.13: cannot open shared object file"),
        (WRONG_VALUE, "Invalid validation mode: bogus"),
        (NO_GPU, "CUDA failure 100: no CUDA-capable device is detected"),
        ("", ""),
    ],
)
def test_orts_own_sentence_is_boiled_down(said: str, reason: str) -> None:
    assert provider_reasons.boiled(said) == reason


def test_everything_listed_is_tried_and_every_refusal_has_a_reason(tmp_path: Path) -> None:
    runtime = machine.runtime(tmp_path)
    states = {s.name: s for s in runtime.providers}
    assert states[CPU].loadable
    listed = {n for n in onnxruntime.get_available_providers() if n != "AzureExecutionProvider"}
    assert listed == {s.name for s in runtime.providers if s.built_in}
    assert all(s.loadable == (s.reason is None) for s in runtime.providers)
    assert states[OPENVINO].plugin == "onnxruntime-ep-openvino"
