"""Traces written as text, in ORT's own layout, for tests that need a certain one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from ortlab.analysis.profiles import traces
from ortlab.domain.trace import Profile, TraceFacts
from ortlab.worker.traces import decode

CPU = "CPUExecutionProvider"
DATA = Path(__file__).parent / "data"


def node(
    name: str,
    ts: int,
    dur: int,
    *,
    op: str = "MatMul",
    tid: int = 1,
    provider: str = CPU,
    **arguments: Any,
) -> dict[str, Any]:
    """A node event; arguments as ORT writes them, which is as text."""
    return {
        "cat": "Node", "pid": 1, "tid": tid, "dur": dur, "ts": ts, "ph": "X",
        "name": f"{name}_kernel_time",
        "args": {"op_name": op, "provider": provider, **arguments},
    }  # fmt: skip


def session(name: str, ts: int, dur: int, *, tid: int = 1) -> dict[str, Any]:
    """A Session event, `model_run` for example."""
    return {"cat": "Session", "pid": 1, "tid": tid, "dur": dur, "ts": ts, "ph": "X",
            "name": name, "args": {}}  # fmt: skip


def text(events: list[dict[str, Any]]) -> str:
    """The events as ORT lays them out: a list with one event per line."""
    return "[\n" + ",\n".join(json.dumps(event) for event in events) + "\n]\n"


def decoded(content: str | bytes, *, name: str = "trace.json") -> tuple[TraceFacts, Path]:
    """What the worker's task makes of this content: the facts, and the file of events."""
    folder = Path(tempfile.mkdtemp())
    path, out = folder / name, folder / "events.parquet"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return decode(path, out), out


def profile(content: str | bytes, **options: Any) -> Profile:
    """The profile of a trace with this content."""
    _, events = decoded(content)
    return traces.profile(events, source="a test", **options)


def recorded(name: str) -> bytes:
    """One of the small traces beside the tests; see tests/data/README.md."""
    return (DATA / f"{name}.json").read_bytes()
