"""Why a provider could not be used, boiled down from ORT's own words, and what would cure it."""

from __future__ import annotations

import re

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LOG_HEAD = re.compile(r"^\d{4}-\d\d-\d\d \S+ \[\w:[^\]]*\]\s*", re.MULTILINE)
_SOURCE = re.compile(r"\S+\.(?:cc|h|cpp|cu|cuh|hpp):\d+ .*?\)(?: const)? (?=[A-Z\[])")
_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_EXACT = (
    # The dynamic loader's own words; the file's folder says nothing to a reader.
    re.compile(r"with error: (?:\S*/)?(\S+?: cannot open shared object file)"),
    re.compile(r"with error: ([^\n]+)"),
    re.compile(r"(LoadLibrary failed with error \d+[^\n]*)"),
    re.compile(r"(CUDA failure \d+: [^;\n]+)"),
    re.compile(r"(cuDNN failure \d+: [^;\n]+)"),
    re.compile(r"(CUDA error[^;\n]+)"),
)
_LONGEST_REASON = 300


def boiled(text: str) -> str:
    """ORT's own sentence without file names, codes, colours and what follows from it.

    Source: messages of ONNX Runtime 1.31 on machines without the library or device.
    """
    plain = _ANSI.sub("", text)
    for pattern in _EXACT:
        found = pattern.search(plain)
        if found:
            return found.group(1).strip().rstrip(".")
    lines = [_clean(line) for line in _LOG_HEAD.sub("", plain).splitlines()]
    first = next((line for line in lines if line), "")
    return first[:_LONGEST_REASON].rstrip(". ")


def _clean(line: str) -> str:
    """One line without ORT's source positions and error codes."""
    bare = _CODE.sub("", _SOURCE.sub("", line))
    bare = bare.replace("Error creating execution provider: ", "")
    return " ".join(bare.split())


_CURES = (
    (r"libnvinfer|libnvonnxparser|nvinfer_\d+\.dll", "pip install tensorrt-cu13"),
    (r"libcuda\.so|nvcuda\.dll|driver version is insufficient",
     "Install or update the NVIDIA driver."),
    (r"no CUDA-capable device", "No NVIDIA GPU is visible here; choose another provider."),
    (r"libcud|libcublas|libcurand|libcufft|libnv|cublas\w*_\d+\.dll|cudart\w*_\d+\.dll",
     'pip install "onnxruntime-gpu[cuda,cudnn]"'),
)  # fmt: skip
"""What ends each refusal: (words in ORT's message, one command or step)."""

_BUILDS = {
    "CUDAExecutionProvider": "pip install onnxruntime-gpu",
    "TensorrtExecutionProvider": "pip install onnxruntime-gpu",
    "NvTensorRTRTXExecutionProvider": "pip install onnxruntime-trt-rtx",
    "OpenVINOExecutionProvider": "pip install onnxruntime-ep-openvino",
    "WebGpuExecutionProvider": "pip install onnxruntime-ep-webgpu",
    "QNNExecutionProvider": "pip install onnxruntime-qnn",
    "MIGraphXExecutionProvider": "pip install onnxruntime-migraphx",
    "DmlExecutionProvider": "pip install onnxruntime-directml (Windows)",
    "ROCMExecutionProvider": "ROCm left ONNX Runtime in 1.23; use MIGraphX.",
}


def cure(text: str, name: str) -> str | None:
    """The one step that would make this provider loadable, as far as ORT's words tell."""
    for pattern, step in _CURES:
        if re.search(pattern, text):
            return step
    if "not part of this build" in text or "Unknown Provider Type" in text:
        return _BUILDS.get(name, "Install an ONNX Runtime build that has this provider.")
    return "See the Machine page, or `ortlab machine`, for what this provider needs."
