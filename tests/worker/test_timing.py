"""Timing on a real session: opened as asked, timed in blocks, and never under a wrong name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import onnx
import pytest

from ortlab.domain.configuration import Configuration
from ortlab.errors import ProviderUnavailableError
from ortlab.sandbox.spawn import run_task
from ortlab.worker import timing
from ortlab.worker.protocol import Context
from tests import build


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Context]:
    """A conversation in which a session was opened."""
    onnx.save(build.mlp(), str(tmp_path / "model.onnx"))
    feeds = {"model": str(tmp_path / "model.onnx"), "dims": {"N": 4}, "seed": 0, "npz": None}
    made = run_task("feeds", feeds, folder=tmp_path / "feeds", timeout_s=60)
    silent = os.open(os.devnull, os.O_WRONLY)
    context = Context(reply_fd=silent, folder=tmp_path)
    request = {
        "model": str(tmp_path / "model.onnx"),
        "feeds": made["path"],
        "configuration": msgspec.to_builtins(Configuration(threads=1)),
    }
    timing.open_session_task(request, context)
    yield context
    os.close(silent)


def test_a_block_gives_every_latency_and_the_time_around_them(opened: Context) -> None:
    reply = timing.block({"drop": 3, "runs": 20}, opened)
    assert len(reply["latency_ns"]) == 20
    assert all(ns > 0 for ns in reply["latency_ns"])
    assert sum(reply["latency_ns"]) <= reply["wall_ns"]


def test_a_session_may_not_replace_itself_when_a_run_fails(opened: Context) -> None:
    assert opened.state["session"]._enable_fallback is False


def test_a_session_that_runs_elsewhere_than_it_was_opened_is_refused(opened: Context) -> None:
    opened.state["active"] = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    with pytest.raises(ProviderUnavailableError, match="while it ran it changed to CPU"):
        timing.block({"drop": 0, "runs": 1}, opened)


def test_a_fresh_session_replaces_the_one_before(opened: Context) -> None:
    before = opened.state["session"]
    facts = timing.reopen_session({}, opened)
    assert opened.state["session"] is not before
    assert facts["active"] == ["CPUExecutionProvider"]
    assert timing.block({"drop": 0, "runs": 2}, opened)["latency_ns"]


def test_memory_is_told_in_bytes(opened: Context) -> None:
    peak = timing.memory({}, opened)["peak_memory_bytes"]
    assert 10 << 20 < peak < 64 << 30


def test_a_turn_announces_its_phase_once(tmp_path: Path) -> None:
    read, write = os.pipe()
    context = Context(reply_fd=write, folder=tmp_path)
    for name in ("warm-up", "run", "run", "session", "run"):
        context.phase(name)
    os.close(write)
    with os.fdopen(read) as stream:
        told = [line.split('"phase": ')[1].strip(' "}\n') for line in stream]
    assert told == ["warm-up", "run", "session", "run"]
