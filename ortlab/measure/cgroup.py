"""What the container allows: CPU quota, cores and memory, from cgroup v1 or v2.

A limit holds wherever it is set on the way up the tree, so the smallest one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
# cgroup v1 writes "no limit" as the largest page-aligned number.
_NO_LIMIT_BYTES = 1 << 60

_Number = TypeVar("_Number", int, float)


class Allowance(Struct, frozen=True, kw_only=True):
    """Limits in force; None where there is none. `cpu_quota` is in cores."""

    cpu_quota: float | None = None
    cpuset_cores: int | None = None
    memory_bytes: int | None = None


def allowance(*, root: Path = ROOT, own: Path = OWN) -> Allowance:
    """The limits of this process; nothing is limited where there are no cgroups.

    Args:
        root: where the cgroup file systems are mounted.
        own: the file that says which groups this process is in.
    """
    groups = _groups(own)
    return Allowance(
        cpu_quota=_least(
            _quota(folder) for folder in _folders(root, groups, ("cpu", "cpu,cpuacct"))
        ),
        cpuset_cores=_least(_cpuset(folder) for folder in _folders(root, groups, ("cpuset",))),
        memory_bytes=_least(_memory(folder) for folder in _folders(root, groups, ("memory",))),
    )


def throttled_us(*, root: Path = ROOT, own: Path = OWN) -> int | None:
    """How long the CPU quota has held this process's groups back so far; None if not told."""
    folders = _folders(root, _groups(own), ("cpu", "cpu,cpuacct"))
    found = [us for folder in folders if (us := _throttled(folder)) is not None]
    return max(found, default=None)


def _throttled(folder: Path) -> int | None:
    fields = [line.split() for line in _read(folder / "cpu.stat").splitlines()]
    values = {f[0]: int(f[1]) for f in fields if len(f) == 2 and f[1].isdigit()}
    if "throttled_usec" in values:
        return values["throttled_usec"]
    # Version 1 counts nanoseconds.
    return values["throttled_time"] // 1000 if "throttled_time" in values else None


def _groups(own: Path) -> dict[str, str]:
    """Path of this process by controller; the v2 tree has the empty name."""
    groups = {}
    for line in _read(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _folders(root: Path, groups: dict[str, str], mounts: tuple[str, ...]) -> Iterator[Path]:
    """Every group folder from this process up to the root, v2 first, then v1."""
    for mount in ("", *mounts):
        base = root / mount if mount else root
        path = groups.get(mount.split(",")[0], "")
        # Within a namespace the path may lead out of what is mounted: then the mount is ours.
        inside = base / path.lstrip("/")
        if ".." in inside.parts or not inside.is_dir():
            inside = base
        while inside.is_dir():
            yield inside
            if inside == base:
                break
            inside = inside.parent


def _quota(folder: Path) -> float | None:
    """CPU quota of one group in cores."""
    version_2 = _read(folder / "cpu.max").split()
    if len(version_2) == 2:
        return _ratio(version_2[0], version_2[1])
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """Quota over period; None for `max`, -1, or what is not a number."""
    try:
        quota_us, period_us = int(quota), int(period)
    except ValueError:
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _cpuset(folder: Path) -> int | None:
    """How many processors one group may use."""
    for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
        count = _listed(_read(folder / name))
        if count:
            return count
    return None


def _listed(text: str) -> int:
    """How many numbers `0-3,8` names."""
    count = 0
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return 0
        count += int(last or first) - int(first) + 1
    return count


def _memory(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read(folder / name).strip()
        if text.isdigit() and int(text) < _NO_LIMIT_BYTES:
            return int(text)
    return None


def _least(values: Iterator[_Number | None]) -> _Number | None:
    return min((v for v in values if v is not None), default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
