"""Whether a repaired model still gives the same outputs, where the original can run at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from ortlab.domain.model import ModelInfo
from ortlab.errors import OrtlabError
from ortlab.worker import feeds, sessions
from ortlab.worker.protocol import Context


class Check(Struct):
    """`equal` is None when nothing could be compared; `note` says why."""

    equal: bool | None
    max_abs_error: float | None
    note: str


def compare(before: ModelInfo, source: Path, out: Path, context: Context) -> Check:
    """Both models on the same generated inputs, on the CPU."""
    repaired, refusal = _opened(out)
    if repaired is None:
        return Check(None, None, f"ONNX Runtime does not open the result yet: {refusal}")
    original, refusal = _opened(source)
    if original is None:
        why = next((p.message for p in before.problems if p.severity == "error"), refusal)
        return Check(
            None, None,
            f"Outputs were not compared, because the original cannot run here: {why} "
            "The repaired model opens.",
        )  # fmt: skip
    try:
        made = feeds.make({"model": str(out), "dims": {}, "seed": 0}, context)
        arrays = feeds.load(Path(made["path"]))
    except OrtlabError as error:
        return Check(None, None, f"Outputs were not compared: {error.message}")
    if feeds.needs_ort_values(arrays):
        return Check(None, None, "Outputs were not compared: numpy has no type for its inputs.")
    return _compared(original.run(None, arrays), repaired.run(None, arrays))


def _opened(path: Path) -> tuple[Any, str]:
    ort = sessions.import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]), ""
    except Exception as error:  # ORT raises many kinds
        return None, " ".join(str(error).split())[:400]


def _compared(first: list[Any], second: list[Any]) -> Check:
    if len(first) != len(second):
        return Check(False, None, f"{len(first)} outputs became {len(second)}.")
    worst = 0.0
    equal = True
    for a, b in zip(first, second, strict=True):
        if not isinstance(a, np.ndarray) or a.dtype.kind not in "fiub":
            equal = equal and repr(a) == repr(b)
            continue
        if a.shape != b.shape:
            return Check(False, None, f"An output of shape {a.shape} became {b.shape}.")
        worst = max(worst, _difference(a, b))
        equal = equal and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    return Check(equal, worst, "Compared on generated inputs, on the CPU.")


def _difference(a: Any, b: Any) -> float:
    if a.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return float(np.nanmax(difference)) if not np.isnan(difference).all() else 0.0
