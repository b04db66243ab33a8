"""Records the three ONNX Runtime profiles in `traces/`, for opening a profile without a model.

    python sample_models/record_traces.py           # needs onnxruntime
    python sample_models/record_traces.py --webgpu  # the WebGPU one too: onnxruntime-ep-webgpu

Without a GPU the WebGPU provider runs on a software device, such as Chromium's:

    ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 \
    VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json \
    python sample_models/record_traces.py --webgpu
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# Before the import: its wheels report home by default.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

FOLDER = Path(__file__).parent
TRACES = FOLDER / "traces"
WEBGPU = "WebGpuExecutionProvider"
SEED = 5
RUNS = 8
# Inside an event, as a process killed while it writes leaves it.
CUT_AT_SHARE = 0.6


def main() -> None:
    TRACES.mkdir(exist_ok=True)
    random = np.random.default_rng(SEED)
    digits = {"x": np.load(FOLDER / "digits_eval.npz")["x"][:8]}
    image = {"image": random.standard_normal((1, 3, 128, 128)).astype(np.float32)}
    cpu = record("digits_cnn", digits, target="digits_cnn_cpu.json", provider=None)
    text = cpu.read_bytes()
    cut = TRACES / "digits_cnn_cut_off.json"
    cut.write_bytes(text[: int(len(text) * CUT_AT_SHARE)])
    if "--webgpu" in sys.argv[1:]:
        record("detector", image, target="detector_webgpu.json", provider=WEBGPU)
    for path in sorted(TRACES.glob("*.json")):
        print(f"{path.name}: {path.stat().st_size:,} bytes")


def record(model: str, feeds: dict[str, np.ndarray], *, target: str, provider: str | None) -> Path:
    """The profile of a session with two threads that ran `RUNS` times."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.intra_op_num_threads = 2
        if provider == WEBGPU:
            options.add_provider_for_devices([webgpu_device()], {})
        providers = None if provider else ["CPUExecutionProvider"]
        session = ort.InferenceSession(FOLDER / f"{model}.onnx", options, providers=providers)
        for _ in range(RUNS):
            session.run(None, feeds)
        text = Path(session.end_profiling()).read_bytes()
    path = TRACES / target
    path.write_bytes(text)
    return path


def webgpu_device() -> ort.OrtEpDevice:
    """The first WebGPU device that the plugin finds here."""
    import onnxruntime_ep_webgpu as plugin

    ort.register_execution_provider_library("webgpu", plugin.get_library_path())
    devices = [d for d in ort.get_ep_devices() if d.ep_name == plugin.get_ep_name()]
    if not devices:
        sys.exit("The WebGPU plugin found no device here; see the top of this file.")
    return devices[0]


if __name__ == "__main__":
    main()
