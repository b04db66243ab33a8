"""Traces to read, recorded on the spot: ONNX Runtime profiles its own runs of a sample model."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "sample_models" / "tiny_encoder.onnx"
# ONNX Runtime stops its profile at a million events; a run of this model has 202.
RUNS_OF_SIZE = {"20 MB": 100, "200 MB": 1_000, "1 M events": 4_900}
_TS = re.compile(rb'"ts"\s*:\s*(\d+)')
_GAP_US = 1_000_000

RECORD = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnxruntime as ort

model, prefix, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
options = ort.SessionOptions()
options.enable_profiling = True
options.profile_file_prefix = prefix
options.intra_op_num_threads = 2
options.log_severity_level = 4
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
feeds = {
    "input_ids": np.random.default_rng(0).integers(0, 999, (1, 32)),
    "attention_mask": np.ones((1, 32), np.int64),
}
for _ in range(runs):
    session.run(None, feeds)
print(session.end_profiling())
"""


def recorded(folder: Path, size: str) -> Path:
    """A profile of as many runs as this size takes."""
    command = [sys.executable, "-c", RECORD, str(MODEL), str(folder / "profile"),
               str(RUNS_OF_SIZE[size])]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    path = folder / f"{size.replace(' ', '_')}.json"
    Path(done.stdout.split()[-1]).rename(path)
    print(f"   {size}: {path.stat().st_size / 1e6:,.0f} MB recorded", flush=True)
    return path


def repeated(path: Path, target: Path, *, times: int) -> Path:
    """The recording so many times in one list, each copy after the one before it."""
    last = max(int(match[1]) for match in map(_TS.search, _lines(path)) if match)
    with target.open("wb") as out:
        out.write(b"[\n")
        for copy in range(times):
            shift = copy * (last + _GAP_US)
            for number, line in enumerate(_lines(path)):
                out.write(b",\n" if copy or number else b"")
                out.write(_later(line, shift))
        out.write(b"\n]\n")
    return target


def _later(line: bytes, shift_us: int) -> bytes:
    return _TS.sub(lambda match: b'"ts" :%d' % (int(match[1]) + shift_us), line)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            event = line.strip().rstrip(b",")
            if len(event) > 1:
                yield event
