"""`ortlab bench`: measure every combination, and say which is fastest and how surely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ortlab.cli import documents, options, outcomes, screen
from ortlab.domain import units
from ortlab.domain.ask import Ask
from ortlab.domain.study import Study, StudySpec

if TYPE_CHECKING:
    from pathlib import Path

    from ortlab.lab import Lab

Profile = Annotated[
    bool, typer.Option("--profile", help="Record a profile of every row afterwards.")
]
Samples = Annotated[bool, typer.Option("--samples", help="Every observed latency, in --json.")]


def bench(
    context: typer.Context,
    model: options.Model,
    provider: options.Provider = None,
    level: options.Level = None,
    variant: options.Variant = None,
    runtime: options.Runtime = None,
    threads: options.Threads = None,
    config: options.Config = None,
    baseline: options.Baseline = None,
    title: options.Title = "",
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
    profile: Profile = False,
    samples: Samples = False,
    as_json: options.Json = False,
) -> int:
    """Measure combinations of options: which is fastest, how surely?"""
    from ortlab import Lab

    lab = Lab.open()
    study = measure(lab, planned(lab, model, options.ask(context.params)))
    failure = outcomes.failure(study)
    findings = lab.findings(study.id)
    if as_json:
        raw = {row.id: lab.samples_of(study.id, row.id) for row in study.configurations}
        screen.show(documents.bench(
            study, findings=findings, samples=raw if samples else None, failure=failure
        ))  # fmt: skip
    else:
        from ortlab.cli import tables

        screen.out().print(tables.study(study, findings))
    if failure is None:
        return 0
    screen.complain(failure, as_json=False)
    return failure.exit_code


def planned(lab: Lab, model: Path, ask: Ask) -> StudySpec:
    """The study that answers a question about the model at a path.

    Raises:
        OrtlabError: the model is unusable, or the question impossible.
    """
    info = lab.add_model(model)
    return lab.plan(info.id, ask)


def measure(lab: Lab, spec: StudySpec) -> Study:
    """The finished study; an interrupt cancels it.

    Raises:
        OrtlabError: it ended without an answer.
    """
    for line in spec.notes:
        screen.note(line)
    rows = len(spec.configurations)
    wait = units.duration(lab.estimate_s(spec))
    study_id = lab.submit(spec)
    screen.note(f"Measuring {rows} configuration{'s' * (rows != 1)}, about {wait}; "
                f"study {study_id}.")  # fmt: skip
    with screen.progress_bar() as tell:
        study = lab.wait(study_id, tell).record
    outcomes.check_finished(study)
    return study
