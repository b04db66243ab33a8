"""The roofs as the worker measures them, in ONNX Runtime itself, on smaller sizes than usual."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import msgspec
import pytest

from ortlab.domain.roofline import KINDS, Peaks
from ortlab.measure import peaks as measuring
from ortlab.worker import peaks
from ortlab.worker.protocol import Context

LEVELS = [["L2", 1 << 20, 1 << 18], ["memory", None, 1 << 22]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and windows that take a moment instead of seconds."""
    monkeypatch.setattr(peaks, "SIDES", (64, 128))
    monkeypatch.setattr(peaks, "PRODUCT_S", 0.01)
    monkeypatch.setattr(peaks, "WINDOW_S", 0.004)
    monkeypatch.setattr(peaks, "CHAIN_NODES", (20, 220))
    monkeypatch.setattr(peaks, "CHAIN_RUNS", 10)
    monkeypatch.setattr(peaks, "PROFILED_RUNS", 5)


def measured(folder: Path, *, threads: int) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The reply, and what was told on the way."""
    read_end, write_end = os.pipe()
    reply = peaks.peaks(
        {"threads": threads, "levels": LEVELS}, Context(reply_fd=write_end, folder=folder)
    )
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        return reply, [json.loads(line) for line in stream]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("threads", [1, 2])
def test_every_number_type_has_a_roof_or_a_reason(tmp_path: Path, threads: int) -> None:
    reply, _ = measured(tmp_path, threads=threads)
    found = msgspec.convert(
        reply | {"machine_id": "m", "onnxruntime_version": reply["onnxruntime"],
                 "threads": threads, "measured_at": "2026-11-20T12:00:00+00:00"},
        Peaks,
    )  # fmt: skip
    assert {roof.kind for roof in found.compute} | set(found.missing) == set(KINDS)
    assert not {roof.kind for roof in found.compute} & set(found.missing)
    assert found.flop_per_s("fp32")
    for roof in found.compute:
        assert roof.flop_per_s > 0
        assert roof.spread_share >= 0
        assert roof.side in peaks.SIDES
    assert [roof.level for roof in found.memory] == ["L2", "memory"]
    assert all(roof.bytes_per_s > 0 and roof.spread_share >= 0 for roof in found.memory)
    assert found.dispatch_us > 0
    assert found.profiled_node_us >= 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_what_is_measured_is_told_before_it_is(tmp_path: Path) -> None:
    _, told = measured(tmp_path, threads=1)
    shares = [m["done_share"] for m in told if m["type"] == "progress"]
    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert len(shares) == len(KINDS) + len(LEVELS) + 1
    assert all(0.0 <= share < 1.0 for share in shares)


@pytest.mark.usefixtures("quick")
def test_a_product_that_is_converted_first_is_no_roof(
    tmp_path: Path,
) -> None:
    # ONNX Runtime multiplies no float16 on x86, and puts Casts around a float32 product.
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("other processors have such a kernel")
    answer = peaks._compute("fp16", 1, Context(reply_fd=-1, folder=tmp_path))
    assert isinstance(answer, str)
    assert "converts" in answer


@pytest.mark.usefixtures("quick")
def test_a_product_that_the_runtime_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(peaks._PRODUCTS, "int8", ("MatMulInteger", "float32", "int8"))
    answer = peaks._compute("int8", 1, Context(reply_fd=-1, folder=tmp_path))
    assert isinstance(answer, str)
    assert answer.startswith("ONNX Runtime refuses")


def test_no_level_is_slower_than_the_one_behind_it() -> None:
    rates = [5.0, 9.0, 7.0, 2.0]
    found = measuring._falling([{"level": str(i), "bytes_per_s": r} for i, r in enumerate(rates)])
    assert [level["bytes_per_s"] for level in found] == [9.0, 9.0, 7.0, 2.0]
    assert [level["level"] for level in found] == ["0", "1", "2", "3"]


# ---- caches as Linux tells them


def cache(folder: Path, index: int, **files: str) -> None:
    entry = folder / "cpu0" / "cache" / f"index{index}"
    entry.mkdir(parents=True)
    for name, text in files.items():
        (entry / name).write_text(text + "\n")


def test_caches_are_those_of_so_many_threads_together(tmp_path: Path) -> None:
    cache(tmp_path, 0, level="1", type="Data", size="48K", shared_cpu_list="0")
    cache(tmp_path, 1, level="1", type="Instruction", size="32K", shared_cpu_list="0")
    cache(tmp_path, 2, level="2", type="Unified", size="1024K", shared_cpu_list="0,8")
    cache(tmp_path, 3, level="3", type="Unified", size="32M", shared_cpu_list="0-7")
    found = measuring.levels(4, folder=tmp_path)
    assert [(name, capacity) for name, capacity, _ in found] == [
        ("L2", 2 * (1 << 20)), ("L3", 32 << 20), ("memory", None),
    ]  # fmt: skip
    for _, capacity, streamed in found[:-1]:
        assert 0 < streamed <= capacity / 2
    assert found[-1][2] >= 4 * (32 << 20)


def test_a_system_that_tells_no_caches_still_has_two_levels(tmp_path: Path) -> None:
    found = measuring.levels(2, folder=tmp_path)
    assert [level[0] for level in found] == ["cache", "memory"]


def test_a_cache_that_is_described_oddly_is_left_out(tmp_path: Path) -> None:
    cache(tmp_path, 0, level="2", type="Unified", size="much", shared_cpu_list="0")
    cache(tmp_path, 1, level="3", type="Unified", size="8M", shared_cpu_list="0-1")
    assert [level[0] for level in measuring.levels(2, folder=tmp_path)] == ["L3", "memory"]
