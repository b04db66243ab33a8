"""True fallback on a second real provider: WebGPU on a software GPU, with an operator it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest
from onnx import TensorProto, helper

from tests import build

if TYPE_CHECKING:
    from tests.cli.conftest import Command

SOFTWARE_GPU = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
WEBGPU = "WebGpuExecutionProvider"


@pytest.fixture
def software_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """WebGPU opens a session here, on the processor."""
    pytest.importorskip("onnxruntime_ep_webgpu", reason="the extra `webgpu` is not installed")
    if not SOFTWARE_GPU.exists():
        pytest.skip("no software GPU (SwiftShader) is installed; Debian's chromium brings one")
    monkeypatch.setenv("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER", "1")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(SOFTWARE_GPU))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def half_supported() -> onnx.ModelProto:
    """A product that WebGPU takes, and a NonZero that it does not."""
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["product"], name="product"),
        helper.make_node("NonZero", ["product"], ["y"], name="cells"),
    ]
    outputs = [build.tensor("y", 2, "found", dtype=TensorProto.INT64)]
    return build.model(nodes, [build.tensor("x", 32, 32)], outputs)


@pytest.mark.slow
@pytest.mark.usefixtures("software_gpu")
def test_nodes_that_fell_back_are_named_with_their_reason_and_become_a_finding(
    fresh_ortlab: Command, tmp_path: Path
):
    path = tmp_path / "half.onnx"
    onnx.save(half_supported(), path)
    asked = ("-p", "webgpu", "-n", "5", "--warmup", "2", "--profile", "--json")
    document = fresh_ortlab("bench", path, *asked).document
    row = document["configurations"][0]
    assert row["error"] is None
    assert WEBGPU in row["providers_active"]
    found = {finding["diagnosis"]: finding for finding in document["findings"]}
    assert "1 of " in found["provider-fallback"]["evidence"]
    assert "NonZero" in found["provider-fallback"]["evidence"]

    from ortlab import Lab

    placement = Lab.open(fresh_ortlab.home).placement_of(document["study"]["id"], row["id"])
    fallen = {node.node: node for node in placement.fallback}
    assert fallen["cells"].severity == "costly"
    assert "NonZero" in fallen["cells"].reason
    assert "product" not in fallen
    assert 0 < placement.node_share_by_provider[WEBGPU] < 1
