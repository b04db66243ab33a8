"""The processor: its name, its cores, and the instruction sets that matter to inference."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import psutil

from ortlab.domain.machine import Cpu
from ortlab.measure.cgroup import Allowance

CPUINFO = Path("/proc/cpuinfo")
# The sets that ORT's kernels choose by, as Linux names them, and the name shown.
_ISA = (
    ("sse4_2", "sse4_2"), ("avx2", "avx2"), ("fma", "fma"), ("avx512f", "avx512f"),
    ("avx512_vnni", "avx512_vnni"), ("avx_vnni", "avx_vnni"), ("avx512_bf16", "avx512_bf16"),
    ("amx_int8", "amx_int8"), ("amx_bf16", "amx_bf16"), ("asimd", "neon"), ("neon", "neon"),
    ("asimddp", "asimddp"), ("i8mm", "i8mm"), ("bf16", "bf16"), ("sve", "sve"),
)  # fmt: skip
# macOS: sysctl names under hw.optional.
_SYSCTL_ISA = (
    ("arm.AdvSIMD", "neon"), ("arm.FEAT_DotProd", "asimddp"), ("arm.FEAT_I8MM", "i8mm"),
    ("arm.FEAT_BF16", "bf16"), ("sse4_2", "sse4_2"), ("avx2_0", "avx2"), ("avx512f", "avx512f"),
)  # fmt: skip
# Windows: numbers of IsProcessorFeaturePresent.
_WINDOWS_ISA = ((38, "sse4_2"), (40, "avx2"), (41, "avx512f"), (19, "neon"), (43, "asimddp"))
_SYSCTL_TIMEOUT_S = 2


def cpu(allowed: Allowance) -> Cpu:
    """The processor, with the cores that quota, affinity and cpuset really leave."""
    logical = psutil.cpu_count(logical=True) or os.cpu_count() or 1
    return Cpu(
        name=name(),
        physical_cores=physical_cores() or logical,
        logical_cores=logical,
        usable_cores=usable_cores(allowed, affinity=affinity(logical)),
        isa=isa(),
    )


def usable_cores(allowed: Allowance, *, affinity: int) -> int:
    """The fewest cores that any limit leaves; a quota of 1.5 needs two to be used up."""
    limits = [affinity]
    if allowed.cpuset_cores is not None:
        limits.append(allowed.cpuset_cores)
    if allowed.cpu_quota is not None:
        limits.append(math.ceil(allowed.cpu_quota))
    return max(1, min(limits))


def affinity(logical: int) -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return logical


def name(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name as its maker writes it."""
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.processor()
    if sys.platform == "win32":
        return _windows_name()
    fields = _fields(cpuinfo)
    for key in ("model name", "Hardware", "cpu model", "Model"):
        if fields.get(key):
            return " ".join(fields[key].split())
    return platform.processor() or platform.machine() or "unknown processor"


def physical_cores(cpuinfo: Path = CPUINFO) -> int | None:
    """Cores without hyper-threads: distinct pairs of package and core."""
    pairs, package = set(), "0"
    for line in _read(cpuinfo).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "physical id":
            package = value.strip()
        elif key.strip() == "core id":
            pairs.add((package, value.strip()))
    return len(pairs) or psutil.cpu_count(logical=False)


def isa(cpuinfo: Path = CPUINFO) -> tuple[str, ...]:
    """The instruction sets of the table that this processor has, oldest first."""
    if sys.platform == "darwin":
        present = [shown for key, shown in _SYSCTL_ISA if _sysctl(f"hw.optional.{key}") == "1"]
    elif sys.platform == "win32":
        has = ctypes.windll.kernel32.IsProcessorFeaturePresent
        present = [shown for number, shown in _WINDOWS_ISA if has(number)]
    else:
        fields = _fields(cpuinfo)
        flags = set(f"{fields.get('flags', '')} {fields.get('Features', '')}".split())
        present = [shown for flag, shown in _ISA if flag in flags]
    return tuple(dict.fromkeys(present))


def _fields(cpuinfo: Path) -> dict[str, str]:
    """The fields of the first processor."""
    fields: dict[str, str] = {}
    for line in _read(cpuinfo).splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def _sysctl(key: str) -> str:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", key],
            capture_output=True, text=True, timeout=_SYSCTL_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _windows_name() -> str:
    if sys.platform != "win32":
        return ""
    import winreg

    path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
        value, _ = winreg.QueryValueEx(key, "ProcessorNameString")
    return re.sub(r"\s+", " ", str(value)).strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
