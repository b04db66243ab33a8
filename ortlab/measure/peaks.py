"""The roofs of this machine, measured in a worker: arithmetic, memory, the cost of a node."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ortlab.domain.machine import Cpu
from ortlab.domain.roofline import Peaks
from ortlab.sandbox.limits import available_memory_bytes
from ortlab.sandbox.spawn import run_task

# About 8 s where it was written; ten times that on a slow processor.
TYPICAL_S = 8
TIMEOUT_S = 180.0
_CPU_FOLDER = Path("/sys/devices/system/cpu")
_SIZE = re.compile(r"(\d+)([KM]?)")
# What every processor since 2010 keeps beside each core, where the system does not tell.
_ASSUMED_CACHE_BYTES = 512 << 10
# Streamed through so that the level holds it with room for what else lives there.
_FILLED_SHARE = 0.5
# A last level is shared with other programs, and on a rented machine with other tenants.
_FILLED_SHARED_SHARE = 0.25
# So far above every cache that none of it survives a pass.
_MEMORY_TIMES_CACHE = 4
_MEMORY_LEAST_BYTES = 256 << 20
_MEMORY_MOST_BYTES = 2 << 30
_MEMORY_SHARE = 0.2

Progress = Callable[[float, str], None]
"""Called with the part that is done, 0–1, and what is measured now."""


def default_threads(processor: Cpu) -> int:
    """As many as ONNX Runtime takes by itself: one for each core that can be used."""
    return max(1, min(processor.physical_cores or 1, processor.usable_cores or 1))


def peaks(
    folder: Path,
    *,
    machine_id: str,
    threads: int,
    on_progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Peaks:
    """The roofs for so many threads, measured now; nothing else should run meanwhile.

    Args:
        folder: private; the worker writes there.
        machine_id: whose roofs they are.
        threads: of one operator, at least 1.
        on_progress: told before every step.
        cancel: ends the measurement when it is set.
    """

    def tell(message: dict[str, Any]) -> None:
        if on_progress is not None:
            on_progress(float(message["done_share"]), str(message["what"]))

    reply = run_task(
        "peaks",
        {"threads": threads, "levels": levels(threads)},
        folder=folder,
        timeout_s=TIMEOUT_S,
        cancel=cancel,
        on_progress=tell,
    )
    return msgspec.convert(
        reply
        | {
            "memory": _falling(reply["memory"]),
            "machine_id": machine_id,
            "onnxruntime_version": reply["onnxruntime"],
            "threads": threads,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        Peaks,
    )


def _falling(memory: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same levels, none slower than the one behind it: what fits here passes no farther."""
    found, least = [], 0.0
    for level in reversed(memory):
        least = max(least, level["bytes_per_s"])
        found.append(level | {"bytes_per_s": least})
    return found[::-1]


def levels(threads: int, *, folder: Path = _CPU_FOLDER) -> list[list[Any]]:
    """[name, capacity in bytes, bytes to stream through] of each level, main memory last.

    Args:
        threads: capacities are those of so many cores together.
        folder: where Linux describes its processors.
    """
    caches = _caches(threads, folder) or [("cache", _ASSUMED_CACHE_BYTES * threads, False)]
    found: list[list[Any]] = [
        [name, size, int(size * (_FILLED_SHARED_SHARE if shared else _FILLED_SHARE))]
        for name, size, shared in caches
    ]
    wanted = max(_MEMORY_LEAST_BYTES, _MEMORY_TIMES_CACHE * caches[-1][1])
    most = min(_MEMORY_MOST_BYTES, int(available_memory_bytes() * _MEMORY_SHARE))
    return [*found, ["memory", None, min(wanted, most)]]


def _caches(threads: int, folder: Path) -> list[tuple[str, int, bool]]:
    """(name, bytes for so many threads, shared by cores) of L2 and beyond, as Linux tells."""
    found = []
    for entry in sorted(folder.glob("cpu0/cache/index*")):
        try:
            number = int((entry / "level").read_text())
            kind = (entry / "type").read_text().strip()
            match = _SIZE.match((entry / "size").read_text().strip())
            sharing = _cpu_count((entry / "shared_cpu_list").read_text().strip())
        except (OSError, ValueError):
            continue
        if number < 2 or kind == "Instruction" or match is None:
            continue
        each = int(match[1]) << {"": 0, "K": 10, "M": 20}[match[2]]
        found.append((f"L{number}", each * -(-threads // sharing), sharing > 2))
    return found


def _cpu_count(text: str) -> int:
    """How many processors `0-3,8` names."""
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return max(count, 1)
