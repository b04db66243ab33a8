"""What this machine has: the card on Start, and the whole Machine page."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future
from functools import cache

import msgspec
import streamlit as st

from ortlab.catalog import providers as catalog
from ortlab.domain import units
from ortlab.domain.machine import Machine, MachineReport, Noise, ProviderState, Runtime
from ortlab.ui import frame, table_view, words
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

# Streamlit notices a click only when the script touches the page.
_LOOK_AGAIN_S = 0.2

_COLUMNS = (
    Column("label", "Provider"),
    Column("built_in", "Built in", "check", "Listed by the installed ONNX Runtime."),
    Column("loadable", "Loadable", "check", "A session was opened with it here."),
    Column("devices", "Devices"),
    Column("reason", "Why not"),
    Column("hint", "What helps"),
    Column("name", "Name in ONNX Runtime"),
)


@cache
def _looking(home: str) -> Future[MachineReport]:
    """The report in the making: providers are proved by opening sessions, which takes seconds."""
    future: Future[MachineReport] = Future()

    def look() -> None:
        try:
            future.set_result(lab().machine())
        except BaseException as error:  # handed to the page that waits
            future.set_exception(error)

    threading.Thread(target=look, daemon=True, name="machine").start()
    return future


def report() -> MachineReport:
    """The machine's report; waits without freezing the page while it is being made."""
    future = _looking(str(lab().settings.home))
    waiting = st.empty()
    while True:
        try:
            found = future.result(timeout=_LOOK_AGAIN_S)
            waiting.empty()
            return found
        except TimeoutError:
            waiting.caption("Looking at this machine: opening a session with every provider …")


def forget() -> None:
    """Drop the kept report, so that the next look is a fresh one."""
    _looking.cache_clear()


def usable(found: MachineReport) -> list[ProviderState]:
    """Providers that a session was opened with here."""
    return [p for p in states(found) if p.loadable]


def states(found: MachineReport) -> list[ProviderState]:
    """Every provider of the default runtime that people choose from."""
    hidden = {p.name for p in catalog.PROVIDERS if p.hidden}
    runtime = default_runtime(found)
    return [p for p in runtime.providers if p.name not in hidden] if runtime else []


def default_runtime(found: MachineReport) -> Runtime | None:
    """The ONNX Runtime that ortlab itself was installed with."""
    return found.runtimes[0] if found.runtimes else None


def card(found: MachineReport) -> None:
    """The hardware in two lines and every provider that works as a badge."""
    machine, runtime = found.machine, default_runtime(found)
    st.text(hardware_line(machine))
    with st.container(horizontal=True, gap="small"):
        for state in usable(found):
            st.badge(catalog.label(state.name), icon=":material/check:", color="green")
    missing = [catalog.label(s.name) for s in states(found) if s.built_in and not s.loadable]
    if missing:
        st.caption("Not usable here: " + words.safe(", ".join(missing)) + ". Machine says why.")
    if runtime:
        st.caption(f"ONNX Runtime {words.safe(runtime.onnxruntime_version)}")


def hardware_line(machine: Machine) -> str:
    """`AMD EPYC · 2 usable cores of 8 · AVX2 · 24 GiB`, foreign text, for `st.text`."""
    cpu = machine.cpu
    cores = f"{cpu.usable_cores} usable core{'s' * (cpu.usable_cores != 1)}"
    if cpu.usable_cores != cpu.logical_cores:
        cores += f" of {cpu.logical_cores}"
    best = [i for i in ("amx", "avx512", "avx2", "avx", "neon", "sve") if _has(cpu.isa, i)][:2]
    parts = [cpu.name, cores, " ".join(i.upper() for i in best), units.size(machine.memory_bytes)]
    parts += [f"{gpu.name} ({units.size(gpu.memory_bytes)})" for gpu in machine.gpus]
    return " · ".join(p for p in parts if p)


def _has(isa: tuple[str, ...], name: str) -> bool:
    return any(word.lower().replace("-", "").startswith(name) for word in isa)


def provider_table(found: MachineReport) -> None:
    """Built in, loadable, and for each that is not the reason and what helps."""
    known = {s.name: s for s in states(found)}
    rows = [
        {
            "label": catalog.label(name),
            "built_in": state.built_in,
            "loadable": state.loadable,
            "devices": ", ".join(state.devices) or None,
            "reason": state.reason,
            "hint": state.hint,
            "name": name,
        }
        for name, state in sorted(
            known.items(), key=lambda i: (not i[1].loadable, not i[1].built_in)
        )
    ]
    table_view.show(rows, _COLUMNS, key="providers", alt="Providers and why some cannot be used",
                    name="providers")  # fmt: skip


def facts(found: MachineReport) -> None:
    """Hardware, limits set from outside, and versions, as a list of pairs."""
    machine, container = found.machine, found.machine.container
    quota = f"{container.cpu_quota:g} cores" if container.cpu_quota else "none"
    pairs = {
        "Processor": machine.cpu.name,
        "Cores": f"{machine.cpu.usable_cores} usable, {machine.cpu.physical_cores} physical, "
        f"{machine.cpu.logical_cores} logical",
        "Instruction sets": ", ".join(machine.cpu.isa) or units.MISSING,
        "Memory": units.size(machine.memory_bytes),
        "Processor quota of the container": quota,
        "Memory limit of the container": units.size(container.memory_limit_bytes)
        if container.memory_limit_bytes
        else "none",
        "GPUs": ", ".join(f"{g.name}, driver {g.driver}" for g in machine.gpus) or "none found",
        "System": machine.platform or units.MISSING,
        "Machine id": machine.id,
    }
    for runtime in found.runtimes:
        pairs[f"Runtime {runtime.id}"] = (
            f"ONNX Runtime {runtime.onnxruntime_version} ({runtime.package}), "
            f"Python {runtime.python}, up to IR {runtime.max_ir_version or '?'} and opset "
            f"{runtime.max_opset or '?'}"
        )
    st.table({words.safe(k): words.safe(v) for k, v in pairs.items()}, border="horizontal",
             width="content", alt="Hardware, limits and versions")  # fmt: skip


def self_check(found: MachineReport) -> None:
    """The last noise self-check, and the button that makes a new one."""
    kept = st.session_state.get("noise")
    noise = msgspec.convert(kept, Noise) if kept else found.noise
    slot = st.empty()
    slot.markdown(noise_line(noise))
    if st.button("Check how quiet it is", icon=":material/graphic_eq:", key="noise-check"):
        with st.spinner("Measuring one small model against itself …"):
            fresh = frame.attempt(lambda: lab().machine(noise=True))
        if fresh is not None and fresh.noise is not None:
            st.session_state["noise"] = msgspec.to_builtins(fresh.noise)
            slot.markdown(noise_line(fresh.noise))


def noise_line(noise: Noise | None) -> str:
    """What the self-check saw, in one Markdown sentence."""
    if noise is None:
        return "Not checked yet. The self-check measures one small model against itself."
    low, high = noise.aa_ci95
    off = abs(noise.aa_ratio - 1)
    word = "quiet" if off < 0.01 and high - low < 0.03 else "noisy"
    return (
        f"**{word.capitalize()}**: the same model against itself came out at "
        f"{units.speedup(noise.aa_ratio)} (95 % {units.speedup(low)} to {units.speedup(high)}), "
        f"load {noise.load_average:.2f}, {units.share(noise.steal_share)} of the processor time "
        "taken by the host."
    )


def as_text(found: MachineReport) -> str:
    """The whole report as JSON, to paste into a bug report."""
    return json.dumps(msgspec.to_builtins(found), indent=2)
