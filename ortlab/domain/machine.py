"""What this computer is, and what each ONNX Runtime on it can use."""

from __future__ import annotations

from msgspec import Struct

from ortlab.domain.roofline import Peaks


class Cpu(Struct, frozen=True, kw_only=True):
    """`usable_cores` is what the container's quota and affinity really allow."""

    name: str
    physical_cores: int
    logical_cores: int
    usable_cores: int
    isa: tuple[str, ...] = ()


class Gpu(Struct, frozen=True, kw_only=True):
    """One GPU as its driver reports it."""

    name: str
    memory_bytes: int
    driver: str


class Container(Struct, frozen=True, kw_only=True):
    """Limits set from outside; None where there is none. `cpu_quota` is in cores."""

    cpu_quota: float | None = None
    memory_limit_bytes: int | None = None


class Machine(Struct, frozen=True, kw_only=True):
    """The hardware; `id` is stable across restarts and holds nothing personal."""

    id: str
    cpu: Cpu
    memory_bytes: int
    gpus: tuple[Gpu, ...] = ()
    container: Container = Container()
    platform: str = ""
    python: str = ""


class ProviderState(Struct, frozen=True, kw_only=True):
    """Built in (listed), loadable (a session opened here). `reason` says why not."""

    name: str
    built_in: bool
    loadable: bool
    devices: tuple[str, ...] = ()
    reason: str | None = None
    hint: str | None = None
    plugin: str | None = None
    """The package that brings this provider as a plugin library, if one does."""


class Runtime(Struct, frozen=True, kw_only=True):
    """One ONNX Runtime in one Python."""

    id: str
    python: str
    onnxruntime_version: str
    package: str
    providers: tuple[ProviderState, ...] = ()
    max_ir_version: int | None = None
    max_opset: int | None = None
    note: str = ""
    """What is wrong with the installation, such as two builds over each other."""
    build: str = ""
    """What the build says about itself."""


class Noise(Struct, frozen=True, kw_only=True):
    """The self-check: one configuration against itself, as in every study."""

    aa_ratio: float
    aa_ci95: tuple[float, float]
    load_average: float
    steal_share: float


class MachineReport(Struct, frozen=True, kw_only=True):
    """The contract's `machine` document."""

    machine: Machine
    runtimes: tuple[Runtime, ...]
    noise: Noise | None = None
    peaks: Peaks | None = None
    """The roofs for as many threads as ONNX Runtime takes by itself, where they were asked for."""
