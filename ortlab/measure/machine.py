"""What this computer is, and what each ONNX Runtime on it can really use.

The hardware is read here; ONNX Runtime is asked in workers, one per provider, so that a
provider's library which crashes takes nothing along.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from ortlab.catalog import providers as catalog
from ortlab.domain.machine import (
    Container,
    Cpu,
    Gpu,
    Machine,
    MachineReport,
    Noise,
    ProviderState,
    Runtime,
)
from ortlab.errors import OrtlabError
from ortlab.measure.cgroup import allowance
from ortlab.measure.cpu import cpu
from ortlab.measure.gpus import gpus
from ortlab.sandbox.spawn import run_task

DEFAULT_RUNTIME = "default"
PROBE_TIMEOUT_S = 60.0
# TensorRT builds an engine even for one node.
TRY_TIMEOUT_S = 120.0
# Workers at once; more only wait for each other's imports.
TRIES_AT_ONCE = 2
_ID_DIGITS = 12
_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH",
                "ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER")  # fmt: skip


def machine() -> Machine:
    """The hardware and the limits set on this process; runs no ONNX Runtime."""
    allowed = allowance()
    processor, memory = cpu(allowed), psutil.virtual_memory().total
    found = gpus()
    return Machine(
        id=identity(processor, memory_bytes=memory, secret=_machine_id()),
        cpu=processor,
        memory_bytes=memory,
        gpus=found,
        container=Container(cpu_quota=allowed.cpu_quota, memory_limit_bytes=allowed.memory_bytes),
        platform=platform.platform(),
        python=platform.python_version(),
    )


def identity(processor: Cpu, *, memory_bytes: int, secret: str) -> str:
    """Twelve hex digits, the same after a restart; nothing can be read back from them.

    Args:
        processor: its name and core counts.
        memory_bytes: counted in whole GiB, because kernels reserve a little.
        secret: this installation's own id; goes in hashed.
    """
    hashed = hashlib.sha256(f"ortlab:{secret}".encode()).hexdigest()
    parts = (
        processor.name, str(processor.physical_cores), str(processor.logical_cores),
        str(round(memory_bytes / (1 << 30))), hashed,
    )  # fmt: skip
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:_ID_DIGITS]


def report(folder: Path, *, noise: Noise | None = None) -> MachineReport:
    """The contract's machine document: hardware, and the runtime with every provider tried.

    Args:
        folder: private; the workers write below it.
        noise: the self-check, if it was run.
    """
    hardware = machine()
    return MachineReport(
        machine=hardware, runtimes=(runtime(folder, found_gpus=hardware.gpus),), noise=noise
    )


def runtime(
    folder: Path,
    *,
    runtime_id: str = DEFAULT_RUNTIME,
    python: str | None = None,
    found_gpus: tuple[Gpu, ...] = (),
) -> Runtime:
    """One ONNX Runtime: what it is, and each provider tried in a worker of its own.

    Args:
        folder: private; the workers write below it.
        runtime_id: how configurations name it.
        python: its interpreter; this one when None.
        found_gpus: named as the devices of CUDA and TensorRT when those load.
    """
    probed = run_task(
        "probe",
        {"plugins": list(catalog.PLUGIN_MODULES.values())},
        folder=folder / "probe",
        timeout_s=PROBE_TIMEOUT_S,
        python=python,
    )
    rows = _candidates(probed)
    with ThreadPoolExecutor(TRIES_AT_ONCE) as pool:
        states = pool.map(
            lambda row: _state(
                row, probed, folder=folder, python=python, gpu_names=[g.name for g in found_gpus]
            ),
            rows,
        )
        providers = tuple(states)
    return Runtime(
        id=runtime_id,
        python=probed["python"],
        onnxruntime_version=probed["onnxruntime_version"],
        package=probed["package"],
        providers=providers,
        max_ir_version=probed["max_ir_version"],
        max_opset=probed["max_opset"],
        note=probed["conflict"] or "",
        build=probed["build_info"],
    )


def fingerprint() -> str:
    """Changes when packages or variables that decide what is loadable change; cheap."""
    versions = [
        f"{d.name}={d.version}"
        for d in importlib.metadata.distributions()
        if re.match(r"onnxruntime|ort-|nvidia-|tensorrt", d.name or "")
    ]
    variables = [f"{name}={os.environ.get(name, '')}" for name in _ENVIRONMENT]
    drivers = [f"{g.name}={g.driver}" for g in gpus()]
    text = "|".join([*sorted(versions), *variables, *drivers])
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]


def _candidates(probed: dict[str, Any]) -> list[catalog.Provider]:
    """Catalog rows worth a line here: listed, or made for this platform; unknown ones too."""
    here = {"linux": "linux", "darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    rows = [
        row
        for row in catalog.PROVIDERS
        if not row.hidden
        and (row.name in probed["providers"] or (here in row.platforms and not row.gone_since))
    ]
    unknown = [n for n in probed["providers"] if n not in catalog.BY_NAME]
    return rows + [catalog.unknown(name) for name in unknown]


def _state(
    row: catalog.Provider,
    probed: dict[str, Any],
    *,
    folder: Path,
    python: str | None,
    gpu_names: list[str],
) -> ProviderState:
    """One provider: built in, loadable, and the reason where it is not."""
    built_in = row.name in probed["providers"]
    plugin = probed["plugins"].get(row.plugin_module) if row.plugin_module else None
    if not built_in and not (plugin and plugin["installed"]):
        return _absent(row, probed)
    tried = _try(
        row,
        folder=folder / row.short,
        python=python,
        plugin=None if built_in else row.plugin_module,
    )
    devices = tried["devices"] or (gpu_names if tried["loadable"] and _on_nvidia(row) else [])
    return ProviderState(
        name=row.name,
        built_in=built_in,
        loadable=tried["loadable"],
        devices=tuple(devices),
        reason=tried["reason"],
        hint=_hint(row, tried, gpu_names),
        plugin=None if built_in else row.package,
    )


def _absent(row: catalog.Provider, probed: dict[str, Any]) -> ProviderState:
    """A provider that is neither in this build nor installed beside it."""
    return ProviderState(
        name=row.name,
        built_in=False,
        loadable=False,
        reason=f"not part of {probed['package']} {probed['onnxruntime_version']}",
        hint=_install(row),
        plugin=row.package if row.plugin_module else None,
    )


def _install(row: catalog.Provider) -> str | None:
    """How to get a provider; whole builds overwrite each other, plugins do not."""
    if row.install and row.plugin_module is None:
        return f"{row.install}, in an environment of its own: builds overwrite each other."
    return row.install or row.note or None


def _hint(row: catalog.Provider, tried: dict[str, Any], gpu_names: list[str]) -> str | None:
    """ORT's missing library is not the trouble where there is no GPU at all."""
    hint: str | None = tried["hint"]
    if hint and not tried["loadable"] and _on_nvidia(row) and not gpu_names:
        return f"No NVIDIA GPU was found here. Where there is one: {hint}"
    return hint


def _try(
    row: catalog.Provider, *, folder: Path, python: str | None, plugin: str | None
) -> dict[str, Any]:
    """What a worker found; its crash is an answer too."""
    try:
        return run_task(
            "try_provider",
            {"provider": row.name, "options": {}, "plugin": plugin},
            folder=folder,
            timeout_s=TRY_TIMEOUT_S,
            python=python,
        )
    except OrtlabError as error:
        return {
            "loadable": False,
            "devices": [],
            "reason": error.message.rstrip("."),
            "hint": error.hint,
        }


def _on_nvidia(row: catalog.Provider) -> bool:
    return row.hardware.startswith("NVIDIA")


def _machine_id() -> str:
    """This installation's own id, where the system keeps one."""
    for path in _MACHINE_ID_FILES:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text:
            return text
    return f"{platform.system()} {platform.machine()}"
