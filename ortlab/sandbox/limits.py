"""What a child may use: memory, time, and which environment variables it sees."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

# A worker may take this part of the memory that is really there.
MEMORY_SHARE = 0.8
DEFAULT_MEMORY_BYTES = 8 << 30
MAX_FILE_BYTES = 64 << 30

_ALLOWED = {
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "SYSTEMROOT", "WINDIR", "COMSPEC", "VK_ICD_FILENAMES", "VK_DRIVER_FILES",
    "VIRTUAL_ENV", "DISPLAY", "WAYLAND_DISPLAY",
}  # fmt: skip
_ALLOWED_PREFIXES = ("CUDA_", "NVIDIA_", "ORT_", "HIP_", "ROCR_", "OV_", "ORTLAB_TEST_")


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds for one child. `memory_bytes` holds for private memory, not address space."""

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    lifetime_s: float = 3600.0
    file_bytes: int = MAX_FILE_BYTES


def default_limits(*, memory_bytes: int | None = None, lifetime_s: float = 3600.0) -> Limits:
    """Limits that leave the machine some memory, whatever runs in the child.

    Args:
        memory_bytes: what the person allows; without it a part of what is free.
        lifetime_s: after which the child is ended.
    """
    if memory_bytes is None:
        memory_bytes = int(available_memory_bytes() * MEMORY_SHARE)
    return Limits(memory_bytes=memory_bytes, lifetime_s=lifetime_s)


def available_memory_bytes() -> int:
    """Memory that can be taken now without swapping, within the container's limit."""
    import psutil

    available = int(psutil.virtual_memory().available)
    limit = _read_int("/sys/fs/cgroup/memory.max")
    used = _read_int("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        available = min(available, max(limit - used, 0))
    return available


def environment(folder: Path) -> dict[str, str]:
    """The child's environment: an allow-list, a home of its own, and no telemetry."""
    allowed = {
        key: value
        for key, value in os.environ.items()
        if key in _ALLOWED or key.startswith(_ALLOWED_PREFIXES)
    }
    package_root = Path(__file__).resolve().parents[2]
    return allowed | {
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(package_root),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "TEMP": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "NO_COLOR": "1",
    }


def _read_int(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
