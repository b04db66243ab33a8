"""`ortlab profile` and `ortlab placement`: where the time goes, and where the nodes ran."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer

from ortlab.catalog.exports import ALL_RUNS, FORMAT_IDS, format_of
from ortlab.cli import documents, options, outcomes, screen
from ortlab.cli.commands_bench import measure, planned
from ortlab.domain.ask import Ask
from ortlab.domain.files import looks_like_trace
from ortlab.domain.study import ConfigurationResult, StopRule, Study
from ortlab.errors import RequestError

if TYPE_CHECKING:
    from ortlab.lab import Lab
    from ortlab.views import ProfileView

# A profile needs a figure beside it to know its overhead, not precision.
TWIN_STOP = StopRule(seconds=2.0)
# Options that mean something for a trace too.
_OF_TRACES = frozenset({"source", "steady", "top", "export", "output", "run", "as_json"})

Steady = Annotated[bool, typer.Option("--steady", help="Leave warm-up runs out.")]
Top = Annotated[
    int | None, typer.Option("--top", metavar="N", min=0, help="At most this many nodes.")
]
Export = Annotated[
    str | None,
    typer.Option("--export", metavar="KIND", help=f"Write it to -o as {'|'.join(FORMAT_IDS)}."),
]
Out = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="PATH",
                 help="Where --export writes: a file (.gz packs it), or a folder for several."),
]  # fmt: skip
Shown = Annotated[
    str | None,
    typer.Option("--run", metavar="N|all",
                 help="The run whose events chrome and speedscope show; else a middling one."),
]  # fmt: skip
OneProvider = Annotated[
    str, typer.Option("--provider", "-p", metavar="P", help=f"{options.PROVIDER_IDS}.")
]


def profile(
    context: typer.Context,
    source: options.Source,
    steady: Steady = False,
    top: Top = None,
    export: Export = None,
    output: Out = None,
    run: Shown = None,
    provider: options.Provider = None,
    level: options.Level = None,
    variant: options.Variant = None,
    runtime: options.Runtime = None,
    threads: options.Threads = None,
    config: options.Config = None,
    inter_op: options.InterOp = 1,
    execution_mode: options.ExecutionMode = "sequential",
    io_binding: options.IoBinding = False,
    spinning: options.Spinning = True,
    no_arena: options.NoArena = False,
    no_mem_pattern: options.NoMemoryPattern = False,
    session_config: options.SessionConfig = None,
    dim: options.Dim = None,
    batch: options.Batch = None,
    input_file: options.Input = None,
    seed: options.Seed = 0,
    seconds: options.Seconds = None,
    runs: options.Runs = None,
    precision: options.Precision = None,
    warmup: options.Warmup = None,
    as_json: options.Json = False,
) -> None:
    """Show where the time goes, of a model or of a trace ORT wrote."""
    from ortlab import Lab

    taking = taken(export, output, run)
    lab = Lab.open()
    if looks_like_trace(source):
        _note_unused(context)
        view = _of_trace(lab, source, steady=steady)
    else:
        view = _of_model(lab, source, context.params, steady=steady)
    record = view.record
    if taking is not None:
        for path in view.export(taking.kind, taking.out, run=taking.run):
            screen.note(f"written: {path}")
    if as_json:
        screen.show(documents.profile(view, top=top))
        return
    from ortlab.cli import tables

    screen.out().print(tables.profile(record, top=top))


def _note_unused(context: typer.Context) -> None:
    """Say which options were given in vain: a trace is read, and nothing is measured."""
    given = [
        name
        for name in context.params
        if name not in _OF_TRACES
        and getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if given:
        options_given = ", ".join("--" + name.replace("_", "-") for name in given)
        screen.note(f"no effect on a trace, which is only read: {options_given}")


def placement(
    context: typer.Context,
    model: options.Model,
    provider: OneProvider,
    level: options.Level = None,
    dim: options.Dim = None,
    batch: options.Batch = None,
    input_file: options.Input = None,
    as_json: options.Json = False,
) -> None:
    """Show where each node ran, what fell back, and why."""
    from ortlab import Lab

    lab = Lab.open()
    study, row = _one_row(lab, model, {**context.params, "provider": [provider]})
    record = lab.placement_of(study.id, row.id)
    if as_json:
        screen.show(documents.placement(record))
        return
    from ortlab.cli import tables

    screen.out().print(tables.placement(record))


class Taken(NamedTuple):
    """What is to be written beside the answer."""

    kind: str
    out: Path
    run: int | str | None


def taken(kind: str | None, out: Path | None, run: str | None) -> Taken | None:
    """The export that the options ask for, checked before anything is read or measured.

    Raises:
        RequestError: there is no such kind, no path, or `run` is no number.
    """
    if kind is None:
        if out is not None or run is not None:
            raise RequestError(
                f"{'-o' if out is not None else '--run'} belongs to an export, and none is asked "
                "for.",
                hint=f"Add --export {'|'.join(FORMAT_IDS)}.",
            )
        return None
    format_of(kind)
    if out is None:
        raise RequestError(f"--export {kind} needs a place to write to.", hint="Add -o PATH.")
    if run is None or run == ALL_RUNS:
        return Taken(kind, out, run)
    if not run.isdecimal():
        raise RequestError(
            f"--run takes the number of a run or 'all', not '{run}'.", hint="Runs count from 0."
        )
    return Taken(kind, out, int(run))


def _of_trace(lab: Lab, path: Path, *, steady: bool) -> ProfileView:
    return lab.trace(lab.open_trace(path), steady=steady)


def _of_model(lab: Lab, path: Path, params: dict[str, Any], *, steady: bool) -> ProfileView:
    study, row = _one_row(lab, path, params)
    return lab.profile_of(study.id, row.id, steady=steady)


def _one_row(lab: Lab, path: Path, params: dict[str, Any]) -> tuple[Study, ConfigurationResult]:
    """A profiled study of one configuration, and its row.

    Raises:
        RequestError: the options make a grid.
        OrtlabError: what made the row fail.
    """
    ask = msgspec.structs.replace(options.ask(params), profile=True)
    ask = msgspec.structs.replace(ask, stop=_with_default(ask))
    spec = planned(lab, path, ask)
    if len(spec.configurations) != 1:
        raise RequestError(
            f"A profile is of one configuration; these options make {len(spec.configurations)}.",
            hint="Name each option once, or use `ortlab bench --profile`.",
        )
    study = measure(lab, spec)
    row = study.configurations[0]
    problem = outcomes.row_failure(row)
    if problem is not None:
        raise problem
    return study, row


def _with_default(ask: Ask) -> StopRule:
    nothing = (ask.stop.seconds, ask.stop.runs, ask.stop.precision) == (None, None, None)
    if not nothing:
        return ask.stop
    return msgspec.structs.replace(ask.stop, seconds=TWIN_STOP.seconds)
