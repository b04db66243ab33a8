"""What cannot be measured, each refused by name before anything is queued."""

from __future__ import annotations

from collections.abc import Iterable

from ortlab.catalog import levels
from ortlab.catalog import providers as catalog
from ortlab.catalog.options import nearest
from ortlab.domain.configuration import CPU, Configuration, ProviderChoice
from ortlab.domain.machine import MachineReport, Runtime
from ortlab.domain.model import ModelInfo
from ortlab.domain.study import StopRule
from ortlab.errors import ModelError, ProviderUnavailableError, RequestError

# ONNX Runtime 1.31 hangs when it is asked for tens of thousands of threads.
MAX_THREADS = 64
MAX_THREADS_PER_CORE = 8
EXECUTION_MODES = ("sequential", "parallel")
# What dynamic int8 can change at all; convolutions stay in float.
_DYNAMIC_INT8_OPS = ("MatMul", "Gemm")


def check_stop(stop: StopRule) -> None:
    """Refuse a stop rule that is out of bounds.

    Raises:
        RequestError: naming the rule and its bounds.
    """
    limits = (
        ("seconds", stop.seconds, 0.1, 86_400.0),
        ("runs", stop.runs, 1, 10**9),
        ("precision", stop.precision, 0.0001, 0.5),
        ("warmup", stop.warmup, 0, 10**6),
    )
    for name, value, low, high in limits:
        if value is not None and not low <= value <= high:
            raise RequestError(
                f"{name} cannot be {value:g}.", hint=f"It goes from {low:g} to {high:g}."
            )


def check(configuration: Configuration, model: ModelInfo, machine: MachineReport) -> None:
    """Refuse a configuration that could not run anywhere, or not with this model.

    Raises:
        RequestError: naming what does not go together.
    """
    c = configuration
    known_name(c.execution_mode, EXECUTION_MODES, "execution mode")
    limit = max(MAX_THREADS, MAX_THREADS_PER_CORE * machine.machine.cpu.logical_cores)
    for name, value in (("threads", c.threads), ("inter-op threads", c.inter_op_threads)):
        if not 1 <= value <= limit:
            raise RequestError(
                f"There cannot be {value} {name}.", hint=f"Give a number from 1 to {limit}."
            )
    level, version = levels.BY_ID[c.level], runtime_of(machine, c.runtime).onnxruntime_version
    if version and catalog.version(version) < catalog.version(level.since):
        raise RequestError(
            f"Optimization level {c.level} arrived in ONNX Runtime {level.since}; "
            f"{c.runtime} has {version}.",
            hint="Use all, which every version has.",
        )
    _check_binding(c, model)
    _check_variant(c, model)


def _check_binding(configuration: Configuration, model: ModelInfo) -> None:
    """IO binding holds fixed-size tensors only, and CUDA graphs need it."""
    graphs = ("enable_cuda_graph", "trt_cuda_graph_enable")
    for choice in configuration.providers:
        option = next((g for g in graphs if choice.options.get(g) == "1"), None)
        if option and not configuration.io_binding:
            raise RequestError(
                f"{catalog.label(choice.name)}: {option} needs IO binding.",
                hint="Add --io-binding.",
            )
    if not configuration.io_binding:
        return
    for tensor in (*model.inputs, *model.outputs):
        if tensor.dtype == "string" or tensor.kind != "tensor":
            what = "strings" if tensor.dtype == "string" else f"a {tensor.kind}"
            raise RequestError(
                f"IO binding cannot hold '{tensor.name}', which is {what}.",
                hint="Leave IO binding off for this model.",
            )


def _check_variant(configuration: Configuration, model: ModelInfo) -> None:
    if configuration.variant != "dynamic-int8":
        return
    if not any(model.op_counts.get(op) for op in _DYNAMIC_INT8_OPS):
        raise RequestError(
            f"dynamic-int8 changes nothing in {model.name}: it has neither MatMul nor Gemm.",
            hint="Leave dynamic-int8 out.",
        )


def refuse_broken(model: ModelInfo) -> None:
    """Refuse a model that the installed ONNX Runtime will not open.

    Raises:
        ModelError: its first problem, with the repair where there is one.
    """
    for problem in model.problems:
        if problem.severity == "error":
            repair = f" `ortlab fix` can repair it ({problem.fix})." if problem.fix else ""
            hint = f"{problem.hint or ''}{repair}".strip() or None
            raise ModelError(problem.message, hint=hint, kind=problem.code)


def runtime_of(machine: MachineReport, name: str) -> Runtime:
    """The ONNX Runtime of that name.

    Raises:
        RequestError: there is none; names those there are.
    """
    by_id = {r.id: r for r in machine.runtimes}
    return by_id[known_name(name, by_id, "runtime")]


def known_name(name: str, known: Iterable[str], what: str) -> str:
    """The name itself, when it is among the known.

    Raises:
        RequestError: it is not; names the nearest.
    """
    names = list(known)
    if name in names:
        return name
    like = nearest(name, names)
    raise RequestError(
        f"There is no {what} '{name}'.",
        hint=f"Did you mean {like}?" if like else f"Known are {', '.join(names)}.",
    )


def provider_refusal(
    configuration: Configuration, machine: MachineReport
) -> ProviderUnavailableError | None:
    """Why these providers cannot be used here; None when nothing speaks against them."""
    runtime = runtime_of(machine, configuration.runtime)
    states = {p.name: p for p in runtime.providers}
    for choice in configuration.providers:
        if choice.name == CPU:
            continue
        state = states.get(choice.name)
        label = catalog.label(choice.name)
        if state is None:
            return ProviderUnavailableError(
                f"{label} is not part of {runtime.package} {runtime.onnxruntime_version}.",
                hint=catalog.find(choice.name).install or None,
            )
        if not state.loadable and not _names_files(choice):
            return ProviderUnavailableError(
                f"{label} cannot be used here: {state.reason or 'no session opened on it'}.",
                hint=state.hint,
            )
    return None


def _names_files(choice: ProviderChoice) -> bool:
    """Whether options name libraries or files, with which the provider may load after all."""
    row = catalog.BY_NAME.get(choice.name)
    return row is not None and any(not o.from_page for o in row.options if o.key in choice.options)
