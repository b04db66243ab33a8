"""What each ONNX Runtime release reads: the newest IR version, and the newest opset by domain."""

from __future__ import annotations

from msgspec import Struct

PACKAGES = ("onnxruntime-gpu", "onnxruntime", "onnxruntime-openvino", "onnxruntime-directml",
            "onnxruntime-webgpu", "onnxruntime-migraphx", "onnxruntime-qnn")  # fmt: skip
"""Distributions that install the `onnxruntime` module, the most used first."""


class Runtime(Struct, frozen=True, kw_only=True):
    """One minor release of ONNX Runtime and what it reads."""

    version: str
    max_ir_version: int
    max_opset: int
    max_ml_opset: int


RUNTIMES = (
    Runtime(version="1.16", max_ir_version=9, max_opset=19, max_ml_opset=3),
    Runtime(version="1.17", max_ir_version=9, max_opset=20, max_ml_opset=4),
    Runtime(version="1.18", max_ir_version=10, max_opset=21, max_ml_opset=5),
    Runtime(version="1.19", max_ir_version=10, max_opset=21, max_ml_opset=5),
    Runtime(version="1.20", max_ir_version=10, max_opset=21, max_ml_opset=5),
    Runtime(version="1.21", max_ir_version=10, max_opset=22, max_ml_opset=5),
    Runtime(version="1.22", max_ir_version=10, max_opset=22, max_ml_opset=5),
    Runtime(version="1.23", max_ir_version=11, max_opset=23, max_ml_opset=5),
    Runtime(version="1.24", max_ir_version=13, max_opset=25, max_ml_opset=5),
    Runtime(version="1.25", max_ir_version=13, max_opset=26, max_ml_opset=5),
    Runtime(version="1.26", max_ir_version=13, max_opset=26, max_ml_opset=5),
    Runtime(version="1.27", max_ir_version=13, max_opset=26, max_ml_opset=5),
    Runtime(version="1.28", max_ir_version=13, max_opset=26, max_ml_opset=5),
    Runtime(version="1.29", max_ir_version=13, max_opset=26, max_ml_opset=5),
    Runtime(version="1.30", max_ir_version=13, max_opset=26, max_ml_opset=5),
    Runtime(version="1.31", max_ir_version=13, max_opset=26, max_ml_opset=5),
)
"""Oldest first. From 1.19 on read off the refusals of each released wheel, before from the
compatibility table of the ONNX Runtime documentation."""

CONTRIB_OPSETS = {"com.microsoft": 1, "ai.onnx.training": 1, "ai.onnx.preview.training": 1,
                  "com.microsoft.nchwc": 1, "com.microsoft.experimental": 1}  # fmt: skip
"""Newest opset of domains beside `ai.onnx` and `ai.onnx.ml`; the same in every release above."""

MIN_OPSET = 7
"""Older standard opsets were never promised; many of their kernels are missing."""


def runtime(version: str) -> Runtime:
    """The row for a version such as `1.31.1`; an unknown newer one is taken as the newest row."""
    wanted = _minor(version)
    fitting = [row for row in RUNTIMES if _minor(row.version) <= wanted]
    return fitting[-1] if fitting else RUNTIMES[0]


def _minor(version: str) -> tuple[int, int]:
    parts = [int("".join(c for c in part if c.isdigit()) or 0) for part in version.split(".")]
    major, minor, *_ = [*parts, 0, 0]
    return major, minor
