"""From a question to a study that can be queued: everything impossible is refused here."""

from __future__ import annotations

import itertools
import math
import re

from msgspec.structs import replace

from ortlab.catalog import levels, session_config, variants
from ortlab.catalog import providers as catalog
from ortlab.domain.ask import Ask
from ortlab.domain.configuration import Configuration, ProviderChoice
from ortlab.domain.machine import Machine, MachineReport
from ortlab.domain.model import ModelInfo
from ortlab.domain.study import StopRule, StudySpec
from ortlab.errors import ProviderUnavailableError, RequestError
from ortlab.measure import dimensions, provider_text
from ortlab.measure.command import command_line, estimate_s
from ortlab.measure.recipes import read_recipe, write_recipe
from ortlab.measure.refusals import (
    EXECUTION_MODES,
    check,
    check_stop,
    known_name,
    provider_refusal,
    refuse_broken,
    runtime_of,
)

__all__ = [
    "command_line", "count", "estimate_s", "plan", "read_recipe", "unusable", "usable_threads",
    "write_recipe",
]  # fmt: skip

MAX_CONFIGURATIONS = 500
# Combinations before equal ones are dropped.
MAX_GRID = 10_000
MAX_SEED = (1 << 63) - 1
# Asked for nothing: one percent, within about four seconds per configuration, the A/A twin
# included, and bounds that a person waits for.
DEFAULT_PRECISION = 0.01
DEFAULT_SECONDS_EACH = 4.0
DEFAULT_SECONDS_BOUNDS = (6.0, 120.0)


def plan(ask: Ask, model: ModelInfo, machine: MachineReport) -> StudySpec:
    """The study that answers a question, with its configurations in a stable order.

    The grid runs providers, levels, variants, runtimes, threads, the last one fastest; then
    come the configurations given whole. Equal settings are measured once.

    Raises:
        RequestError: anything about the question that cannot be.
        ProviderUnavailableError: no configuration has providers that are usable here.
        ModelError: the model has a problem that the installed ONNX Runtime refuses.
    """
    refuse_broken(model)
    _check_whole(ask)
    from_file = ask.input_npz is not None
    dims = dimensions.decided(model, dims=ask.dims, batch=ask.batch, from_file=from_file)
    grid = [] if ask.only_configurations else _grid(ask, dims, machine)
    given = [_completed(c, dims, model, machine, ask=ask) for c in ask.configurations]
    configurations = tuple({c.id: c for c in [*grid, *given]}.values())
    _check_count(configurations)
    for configuration in configurations:
        check(configuration, model, machine)
        if not from_file:
            dimensions.refuse_missing(model, configuration.dims)
    spec = StudySpec(
        model_id=model.id,
        model_name=model.name,
        configurations=configurations,
        baseline=_baseline(ask.baseline, configurations),
        stop=stop_rule(ask.stop, len(configurations)),
        seed=ask.seed,
        profile=ask.profile,
        input_npz=ask.input_npz,
        title=ask.title,
        tried_finding=ask.tried_finding,
        notes=_notes(ask, configurations, machine),
        assumed_dims=_assumed(ask, model, configurations),
    )
    refused = unusable(spec, machine)
    if len(refused) == len(configurations):
        raise next(iter(refused.values()))
    return spec


def count(ask: Ask, model: ModelInfo, machine: MachineReport) -> int:
    """How many configurations a question makes."""
    return len(plan(ask, model, machine).configurations)


def usable_threads(machine: Machine | MachineReport) -> int:
    """Threads that do not hinder each other: usable cores, hyper-threads left out.

    Source: docs/method.md#threads-and-the-container.
    """
    cpu = (machine.machine if isinstance(machine, MachineReport) else machine).cpu
    return max(1, min(cpu.usable_cores, cpu.physical_cores))


def unusable(spec: StudySpec, machine: MachineReport) -> dict[str, ProviderUnavailableError]:
    """Configurations whose providers were proved not to load here, each with the reason."""
    found = {}
    for configuration in spec.configurations:
        error = provider_refusal(configuration, machine)
        if error is not None:
            found[configuration.id] = error
    return found


def stop_rule(asked: StopRule, configuration_count: int) -> StopRule:
    """What was asked, or one percent within a time that suits the number of configurations."""
    if (asked.seconds, asked.runs, asked.precision) != (None, None, None):
        return asked
    low, high = DEFAULT_SECONDS_BOUNDS
    seconds = min(high, max(low, DEFAULT_SECONDS_EACH * (configuration_count + 1)))
    return replace(asked, precision=DEFAULT_PRECISION, seconds=seconds)


def _grid(ask: Ask, dims: dict[str, int], machine: MachineReport) -> list[Configuration]:
    """Every combination, the last axis fastest."""
    entries = session_config.validate(ask.session_config, from_page=ask.from_page)
    axes = itertools.product(
        [(r, p) for p in ask.providers for r in ask.runtimes],
        ask.levels, ask.variants, ask.threads,
    )  # fmt: skip
    return [
        Configuration(
            providers=provider_text.choices(
                text, runtime=runtime_of(machine, runtime), from_page=ask.from_page
            ),
            level=known_name(level, levels.BY_ID, "optimization level"),
            variant=known_name(variant, variants.BY_ID, "variant"),
            runtime=runtime,
            threads=_threads(threads, machine),
            inter_op_threads=ask.inter_op_threads,
            execution_mode=ask.execution_mode,
            memory_pattern=ask.memory_pattern,
            arena=ask.arena,
            spinning=ask.spinning,
            io_binding=ask.io_binding,
            dims=dims,
            session_config=entries,
        )
        for (runtime, text), level, variant, threads in axes
    ]


def _completed(
    given: Configuration,
    dims: dict[str, int],
    model: ModelInfo,
    machine: MachineReport,
    *,
    ask: Ask,
) -> Configuration:
    """A configuration given whole: options checked, threads and dimensions filled in."""
    version = runtime_of(machine, given.runtime).onnxruntime_version
    own = dimensions.decided(model, dims=given.dims, batch=None, from_file=True)
    providers = tuple(
        ProviderChoice(
            catalog.find(p.name).name,
            catalog.validate_options(
                p.name, p.options, ort_version=version, from_page=ask.from_page
            ),
        )
        for p in given.providers
    )
    return replace(
        given,
        providers=provider_text.checked_together(providers),
        level=known_name(given.level, levels.BY_ID, "optimization level"),
        variant=known_name(given.variant, variants.BY_ID, "variant"),
        threads=_threads(given.threads, machine),
        dims={n: size for n in model.symbolic_dims if (size := (dims | own).get(n)) is not None},
        session_config=session_config.validate(given.session_config, from_page=ask.from_page),
    )


def _check_whole(ask: Ask) -> None:
    """What can be judged without multiplying.

    Raises:
        RequestError: naming the option and its value.
    """
    for name in ("providers", "levels", "variants", "runtimes", "threads"):
        if not getattr(ask, name) and not ask.only_configurations:
            raise RequestError(f"No {name} are named.", hint=f"Give at least one of {name}.")
    if ask.only_configurations and not ask.configurations:
        raise RequestError("There is nothing to measure.", hint="Give a configuration.")
    axes = (ask.providers, ask.runtimes, ask.levels, ask.variants, ask.threads)
    # Before multiplying: a grid of millions would take minutes just to be refused.
    if math.prod(len(axis) for axis in axes) > MAX_GRID:
        raise RequestError(f"The grid is larger than {MAX_GRID:,}.", hint="Narrow the grid.")
    known_name(ask.execution_mode, EXECUTION_MODES, "execution mode")
    if not 0 <= ask.seed <= MAX_SEED:
        raise RequestError(f"The seed cannot be {ask.seed}.", hint="Give a number from 0.")
    if ask.batch is not None and ask.batch < 1:
        raise RequestError(f"The batch cannot be {ask.batch}.", hint="Give 1 or more.")
    check_stop(ask.stop)


def _assumed(
    ask: Ask, model: ModelInfo, configurations: tuple[Configuration, ...]
) -> tuple[str, ...]:
    """Dimensions that were not asked for and have the model's hint everywhere."""
    asked = set(ask.dims)
    if ask.batch is not None:
        asked |= set(dimensions.batch_names(model, ask.batch))
    return tuple(
        name
        for name, hint in model.dim_hints.items()
        if name not in asked and all(c.dims.get(name) == hint for c in configurations)
    )


def _check_count(configurations: tuple[Configuration, ...]) -> None:
    if not configurations:
        raise RequestError("There is nothing to measure.", hint="Name a provider.")
    if len(configurations) > MAX_CONFIGURATIONS:
        raise RequestError(
            f"{len(configurations):,} configurations are more than {MAX_CONFIGURATIONS}.",
            hint="Narrow the grid.",
        )


def _baseline(asked: str | None, configurations: tuple[Configuration, ...]) -> int:
    """Index of the baseline, asked for by id, start of an id, or index from 0."""
    if asked is None:
        return 0
    matches = [i for i, c in enumerate(configurations) if c.id == asked]
    if not matches and re.fullmatch(r"\d{1,4}", asked) and int(asked) < len(configurations):
        return int(asked)
    if not matches and len(asked) >= 4:
        matches = [i for i, c in enumerate(configurations) if c.id.startswith(asked)]
    if len(matches) == 1:
        return matches[0]
    last = len(configurations) - 1
    raise RequestError(
        f"No configuration of this study is the baseline '{asked}'.",
        hint=f"Give an index from 0 to {last}, or an id: "
        f"{', '.join(c.id for c in configurations[:5])}.",
    )


def _threads(asked: int, machine: MachineReport) -> int:
    return usable_threads(machine) if asked == 0 else asked


def _notes(
    ask: Ask, configurations: tuple[Configuration, ...], machine: MachineReport
) -> tuple[str, ...]:
    """What the person should know about the question before it is measured."""
    notes = []
    if not ask.only_configurations and any(p.strip().lower() == "auto" for p in ask.providers):
        notes += [provider_text.automatic(runtime_of(machine, r))[1] for r in ask.runtimes]
    if any(c.execution_mode == "parallel" and c.inter_op_threads == 1 for c in configurations):
        notes.append(
            "Parallel execution with one inter-op thread runs nodes one after another; "
            "give two inter-op threads or more."
        )
    cores = machine.machine.cpu.usable_cores
    crowded = [c.threads for c in configurations if c.threads > cores]
    if crowded:
        notes.append(
            f"{max(crowded)} threads share {cores} usable core{'s' * (cores != 1)}: expect "
            "contention."
        )
    return tuple(notes)
