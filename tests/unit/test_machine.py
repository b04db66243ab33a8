"""What the machine is read from: container limits, the processor, and its identity."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortlab.domain.machine import Cpu
from ortlab.measure import cpu, gpus, machine
from ortlab.measure.cgroup import Allowance, allowance


def tree(root: Path, files: dict[str, str]) -> Path:
    """A folder with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def limits(root: Path, *, own: str, files: dict[str, str]) -> Allowance:
    """What `allowance` reads from such a tree."""
    tree(root / "fs", files)
    (root / "own").write_text(own)
    return allowance(root=root / "fs", own=root / "own")


def test_a_version_2_quota_is_read_in_cores(tmp_path: Path) -> None:
    found = limits(
        tmp_path,
        own="0::/\n",
        files={"cpu.max": "150000 100000\n", "memory.max": "1073741824\n",
               "cpuset.cpus.effective": "0-2,7\n"},
    )  # fmt: skip
    assert found == Allowance(cpu_quota=1.5, cpuset_cores=4, memory_bytes=1 << 30)


def test_no_limit_in_version_2_is_none(tmp_path: Path) -> None:
    files = {"cpu.max": "max 100000\n", "memory.max": "max\n"}
    assert limits(tmp_path, own="0::/\n", files=files) == Allowance()


@pytest.mark.parametrize("inner", ["400000", "max"])
def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path, inner: str) -> None:
    found = limits(
        tmp_path,
        own="0::/pod/box\n",
        files={"pod/cpu.max": "200000 100000", "pod/box/cpu.max": f"{inner} 100000",
               "pod/memory.max": "max", "pod/box/memory.max": "4096"},
    )  # fmt: skip
    assert found == Allowance(cpu_quota=2.0, memory_bytes=4096)


def test_version_1_is_read_from_its_own_mounts(tmp_path: Path) -> None:
    found = limits(
        tmp_path,
        own="12:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n3:cpuset:/docker/abc\n",
        files={
            "cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "50000",
            "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
            "memory/docker/abc/memory.limit_in_bytes": "2097152",
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "cpuset/docker/abc/cpuset.cpus": "3",
        },
    )
    assert found == Allowance(cpu_quota=0.5, cpuset_cores=1, memory_bytes=2 << 20)


def test_an_unlimited_version_1_quota_is_none(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000",
             "memory/memory.limit_in_bytes": "9223372036854771712"}  # fmt: skip
    assert limits(tmp_path, own="4:cpu:/\n5:memory:/\n", files=files) == Allowance()


def test_a_path_outside_the_mounted_tree_falls_back_to_the_mount(tmp_path: Path) -> None:
    files = {"cpu.max": "100000 100000"}
    assert limits(tmp_path, own="0::/../../elsewhere\n", files=files).cpu_quota == 1.0
    assert limits(tmp_path, own="0::/not/mounted/here\n", files=files).cpu_quota == 1.0


def test_a_machine_without_cgroups_has_no_limits(tmp_path: Path) -> None:
    assert allowance(root=tmp_path / "none", own=tmp_path / "none") == Allowance()


@given(
    quota=st.none() | st.floats(0.01, 512),
    cpuset=st.none() | st.integers(1, 512),
    affinity=st.integers(1, 512),
)
def test_usable_cores_never_exceed_any_limit_and_are_at_least_one(
    quota: float | None, cpuset: int | None, affinity: int
) -> None:
    allowed = Allowance(cpu_quota=quota, cpuset_cores=cpuset)
    cores = cpu.usable_cores(allowed, affinity=affinity)
    assert 1 <= cores <= affinity
    assert cpuset is None or cores <= cpuset
    assert quota is None or cores < quota + 1


def test_two_hyper_threads_are_one_physical_core(tmp_path: Path) -> None:
    block = "processor : {}\nmodel name : A  CPU\nphysical id : {}\ncore id : {}\nflags : {}\n\n"
    flags = "fpu avx2 fma avx512_vnni amx_int8"
    text = "".join(block.format(i, i // 4, i // 2 % 2, flags) for i in range(8))
    file = tree(tmp_path, {"cpuinfo": text}) / "cpuinfo"
    assert cpu.physical_cores(file) == 4
    assert cpu.name(file) == "A CPU"
    assert cpu.isa(file) == ("avx2", "fma", "avx512_vnni", "amx_int8")


def test_arm_features_have_their_usual_names(tmp_path: Path) -> None:
    text = "processor : 0\nFeatures : fp asimd asimddp sve i8mm bf16\n"
    file = tree(tmp_path, {"cpuinfo": text}) / "cpuinfo"
    assert cpu.isa(file) == ("neon", "asimddp", "i8mm", "bf16", "sve")


def test_gpus_are_read_from_the_kernel_where_the_library_is_missing(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {"version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n",
         "gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H200\nIRQ: 1\n"},
    )  # fmt: skip
    found = gpus._from_nvidia_proc(root)
    assert [(g.name, g.driver) for g in found] == [("NVIDIA H200", "580.65.06")]


def test_the_identity_is_stable_and_does_not_show_the_machines_own_id() -> None:
    processor = Cpu(name="A", physical_cores=2, logical_cores=4, usable_cores=2)
    limited = Cpu(name="A", physical_cores=2, logical_cores=4, usable_cores=1)
    one = machine.identity(processor, memory_bytes=16 << 30, secret="secret-id")
    nearly = machine.identity(limited, memory_bytes=(16 << 30) - 5_000_000, secret="secret-id")
    other = machine.identity(processor, memory_bytes=16 << 30, secret="another")
    assert one == nearly
    assert one != other
    assert "secret-id" not in one


def test_this_machine_is_described_without_running_onnx_runtime() -> None:
    here = machine.machine()
    assert here.id == machine.machine().id
    assert 1 <= here.cpu.usable_cores <= here.cpu.logical_cores
    assert here.memory_bytes > 0


def test_the_fingerprint_changes_with_what_decides_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = machine.fingerprint()
    assert machine.fingerprint() == before
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "no such device")
    assert machine.fingerprint() != before
