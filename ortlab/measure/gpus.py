"""The GPUs of this machine as their drivers report them, without any tool being run."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

from ortlab.domain.machine import Gpu

_NVML = {"win32": "nvml.dll"}.get(sys.platform, "libnvidia-ml.so.1")
_NAME_BYTES = 96
_AMD_VENDOR = "0x1002"


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`."""

    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def gpus() -> tuple[Gpu, ...]:
    """Every GPU found; empty where there is none."""
    return (_from_nvml() or _from_nvidia_proc()) + _from_amd_sysfs()


def _from_nvml() -> tuple[Gpu, ...]:
    """NVIDIA GPUs through the driver's management library."""
    try:
        nvml: Any = ctypes.CDLL(_NVML)
    except OSError:
        return ()
    if nvml.nvmlInit_v2() != 0:
        return ()
    try:
        driver = ctypes.create_string_buffer(_NAME_BYTES)
        nvml.nvmlSystemGetDriverVersion(driver, _NAME_BYTES)
        count = ctypes.c_uint()
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        found = (_nvml_gpu(nvml, i, driver.value.decode()) for i in range(count.value))
        return tuple(gpu for gpu in found if gpu is not None)
    finally:
        nvml.nvmlShutdown()


def _nvml_gpu(nvml: Any, index: int, driver: str) -> Gpu | None:
    """One GPU, or None when the driver refuses to tell about it."""
    handle = ctypes.c_void_p()
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
        return None
    name = ctypes.create_string_buffer(_NAME_BYTES)
    memory = _Memory()
    nvml.nvmlDeviceGetName(handle, name, _NAME_BYTES)
    nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    return Gpu(name=name.value.decode("utf-8", "replace"), memory_bytes=memory.total, driver=driver)


def _from_nvidia_proc(root: Path = Path("/proc/driver/nvidia")) -> tuple[Gpu, ...]:
    """NVIDIA GPUs from the kernel module, where the library is missing; memory unknown."""
    version = _read(root / "version").splitlines()
    words = version[0].split() if version else []
    driver = next((w for w in words if w[0].isdigit() and "." in w), "")
    found = []
    for information in sorted(root.glob("gpus/*/information")):
        for line in _read(information).splitlines():
            key, _, value = line.partition(":")
            if key == "Model":
                found.append(Gpu(name=value.strip(), memory_bytes=0, driver=driver))
    return tuple(found)


def _from_amd_sysfs(root: Path = Path("/sys/class/drm")) -> tuple[Gpu, ...]:
    """AMD GPUs from the kernel's own files."""
    found = []
    for device in sorted(root.glob("card[0-9]*/device")):
        if _read(device / "vendor").strip() != _AMD_VENDOR:
            continue
        memory = _read(device / "mem_info_vram_total").strip()
        found.append(
            Gpu(
                name=_read(device / "product_name").strip() or "AMD GPU",
                memory_bytes=int(memory) if memory.isdigit() else 0,
                driver="amdgpu",
            )
        )
    return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
