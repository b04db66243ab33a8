"""The command line that asks the same question, and how long the answer will take."""

from __future__ import annotations

import itertools
import math
import re
import shlex

from msgspec.structs import replace

from ortlab.domain.ask import Ask
from ortlab.domain.configuration import Configuration
from ortlab.domain.model import ModelInfo
from ortlab.domain.study import StopRule, StudySpec
from ortlab.measure import provider_text
from ortlab.measure.precision import PROCESSES

# Starting a worker with its imports, on a machine that does something else too.
START_S = 0.5
# Opening a session is mostly packing weights: 2.2 GB took 10 s.
OPEN_S_PER_BYTE = 10 / 2.2e9
# Two processes at a time make feeds, variants, first outputs and profiles.
AT_ONCE = 2
PROFILE_S = 2.5
# Where nothing else tells: floating point operations per second and thread, and a short run.
FLOPS_PER_THREAD = 2e10
RUN_S = 1e-3
_DEFAULT = Ask()
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}")


def command_line(question: Ask | StudySpec, model_name: str) -> str:
    """The `ortlab bench` line that asks the same, quoted for a shell.

    A study whose configurations are no grid is told by its recipe files, named by id, which
    `ortlab export --as recipe` writes.
    """
    ask = question if isinstance(question, Ask) else ask_of(question)
    words = ["ortlab", "bench", model_name]
    if not ask.only_configurations:
        words += _grid_words(ask)
    for name, size in ask.dims.items():
        words += ["--dim", f"{name}={size}"]
    if ask.batch is not None:
        words += ["--batch", str(ask.batch)]
    for configuration in ask.configurations:
        words += ["--config", f"{configuration.id}.toml"]
    words += _study_words(ask)
    return shlex.join(words)


def ask_of(spec: StudySpec) -> Ask:
    """A question that makes this study's configurations again: a grid where they are one."""
    common = Ask(
        stop=spec.stop, seed=spec.seed, profile=spec.profile, input_npz=spec.input_npz,
        baseline=str(spec.baseline) if spec.baseline else None, title=spec.title,
    )  # fmt: skip
    whole = _with(common, configurations=spec.configurations, only_configurations=True)
    first = spec.configurations[0]
    shared = (
        "inter_op_threads", "execution_mode", "memory_pattern", "arena", "spinning", "io_binding",
        "dims", "session_config",
    )  # fmt: skip
    for name in shared:
        if any(getattr(c, name) != getattr(first, name) for c in spec.configurations):
            return whole
    axes: dict[str, list[str] | list[int]] = {
        "providers": [provider_text.text_of(c.providers) for c in spec.configurations],
        "runtimes": [c.runtime for c in spec.configurations],
        "levels": [c.level for c in spec.configurations],
        "variants": [c.variant for c in spec.configurations],
        "threads": [c.threads for c in spec.configurations],
    }
    distinct = {name: tuple(dict.fromkeys(values)) for name, values in axes.items()}
    grid = list(itertools.product(*distinct.values()))
    if grid != list(zip(*axes.values(), strict=True)):
        return whole
    return _with(common, **distinct, **{name: getattr(first, name) for name in shared})


def estimate_s(spec: StudySpec, model: ModelInfo) -> float:
    """How long a person will wait, roughly: preparing, starting processes, measuring, profiling."""
    members = len(spec.configurations) + 1
    open_s = START_S + model.total_bytes * OPEN_S_PER_BYTE
    run_s = max(_run_s(c, model) for c in spec.configurations)
    preparing = len(spec.configurations) * (open_s + START_S + 2 * run_s) / AT_ONCE
    starting = PROCESSES * members * (open_s + 5 * run_s) / AT_ONCE
    profiling = len(spec.configurations) * (PROFILE_S + open_s) if spec.profile else 0.0
    return preparing + starting + _measuring_s(spec, run_s) + profiling


def _measuring_s(spec: StudySpec, run_s: float) -> float:
    """Time spent in turns."""
    bounds = []
    if spec.stop.seconds is not None:
        bounds.append(spec.stop.seconds)
    if spec.stop.runs is not None:
        bounds.append(spec.stop.runs * run_s * (len(spec.configurations) + 1))
    if not bounds:
        bounds.append(4.0 * (len(spec.configurations) + 1))
    return min(bounds)


def _run_s(configuration: Configuration, model: ModelInfo) -> float:
    """A guess at one run, from the operations counted for a batch of one."""
    if not model.flops:
        return RUN_S
    scale = math.prod(v for k, v in configuration.dims.items() if "batch" in k.lower()) or 1
    return model.flops * scale / (FLOPS_PER_THREAD * configuration.threads) + 1e-5


def _grid_words(ask: Ask) -> list[str]:
    """Flags of the grid and of what all its configurations share; defaults stay unsaid."""
    words: list[str] = []
    for flag, values in (
        ("--provider", ask.providers), ("--level", ask.levels), ("--variant", ask.variants),
        ("--runtime", _unless_default(ask.runtimes, _DEFAULT.runtimes)),
        ("--threads", _unless_default(ask.threads, _DEFAULT.threads)),
    ):  # fmt: skip
        for value in values:
            words += [flag, str(value)]
    if ask.inter_op_threads != _DEFAULT.inter_op_threads:
        words += ["--inter-op", str(ask.inter_op_threads)]
    if ask.execution_mode != _DEFAULT.execution_mode:
        words += ["--execution-mode", ask.execution_mode]
    for flag, off in (
        ("--no-memory-pattern", not ask.memory_pattern), ("--no-arena", not ask.arena),
        ("--no-spinning", not ask.spinning), ("--io-binding", ask.io_binding),
    ):  # fmt: skip
        words += [flag] * off
    for key, value in ask.session_config.items():
        words += ["--session-config", f"{key}={value}"]
    return words


def _study_words(ask: Ask) -> list[str]:
    words = _stop_words(ask.stop)
    words += ["--profile"] * ask.profile
    if ask.input_npz is not None:
        # Once queued, the file is known by its digest, which nobody can type a file from.
        named = _DIGEST.fullmatch(ask.input_npz) is None
        words += ["--input", ask.input_npz if named else "inputs.npz"]
    if ask.baseline is not None:
        words += ["--baseline", ask.baseline]
    if ask.seed:
        words += ["--seed", str(ask.seed)]
    if ask.title:
        words += ["--title", ask.title]
    return words


def _stop_words(stop: StopRule) -> list[str]:
    words: list[str] = []
    if stop.seconds is not None:
        words += ["--seconds", f"{stop.seconds:g}"]
    if stop.runs is not None:
        words += ["--runs", str(stop.runs)]
    if stop.precision is not None:
        words += ["--precision", f"{stop.precision * 100:g}%"]
    if stop.warmup is not None:
        words += ["--warmup", str(stop.warmup)]
    return words


def _unless_default(values: tuple[object, ...], default: tuple[object, ...]) -> tuple[object, ...]:
    return () if values == default else values


def _with(ask: Ask, **changes: object) -> Ask:
    return replace(ask, **changes)
