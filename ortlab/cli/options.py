"""The options that commands share, and what their texts mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ortlab.catalog import providers
from ortlab.catalog.levels import LEVELS
from ortlab.catalog.variants import VARIANTS
from ortlab.domain.ask import Ask
from ortlab.domain.study import StopRule
from ortlab.errors import DimensionError, RequestError
from ortlab.measure.recipes import read_recipe

LEVEL_IDS = "|".join(level.id for level in LEVELS)
VARIANT_IDS = "|".join(variant.id for variant in VARIANTS)
PROVIDER_IDS = ", ".join(p.short for p in providers.VISIBLE)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx file or a .zip of one.")]
Source = Annotated[
    Path, typer.Argument(metavar="MODEL|TRACE.json", help="A model, or a profile ORT wrote.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Provider = Annotated[
    list[str] | None,
    typer.Option("--provider", "-p", metavar="P",
                 help=f"{PROVIDER_IDS}, auto, ORT's full name, a comma list in priority order, "
                 "or with options as cuda:use_tf32=0."),
]  # fmt: skip
Level = Annotated[
    list[str] | None,
    typer.Option("--level", "-l", metavar="L", help=f"{LEVEL_IDS}."),
]
Variant = Annotated[
    list[str] | None,
    typer.Option("--variant", metavar="V", help=f"{VARIANT_IDS}."),
]
Runtime = Annotated[
    list[str] | None,
    typer.Option("--runtime", metavar="R", help="default: the ONNX Runtime installed here."),
]  # fmt: skip
Threads = Annotated[
    list[int] | None,
    typer.Option("--threads", "-t", metavar="N",
                 help="Intra-op threads; 0: as many as there are usable cores."),
]  # fmt: skip
Config = Annotated[
    list[Path] | None,
    typer.Option("--config", metavar="FILE.toml", help="A recipe; measured beside the grid."),
]  # fmt: skip
Title = Annotated[
    str,
    typer.Option("--title", metavar="TEXT", help="Its name in the history."),
]
Baseline = Annotated[
    str | None,
    typer.Option("--baseline", metavar="ID|INDEX",
                 help="What the others are compared with; the first without it."),
]  # fmt: skip
InterOp = Annotated[
    int,
    typer.Option("--inter-op", metavar="N", help="Inter-op threads."),
]
ExecutionMode = Annotated[
    str,
    typer.Option("--execution-mode", metavar="MODE", help="sequential|parallel."),
]  # fmt: skip
IoBinding = Annotated[
    bool,
    typer.Option("--io-binding", help="Bind inputs and outputs."),
]
Spinning = Annotated[
    bool,
    typer.Option("--spinning/--no-spinning", help="Whether idle threads spin."),
]  # fmt: skip
NoArena = Annotated[
    bool,
    typer.Option("--no-arena", help="Without the memory arena."),
]
NoMemoryPattern = Annotated[
    bool,
    typer.Option(
        "--no-mem-pattern",
        "--no-memory-pattern",
        help="Without memory planning.",
    ),
]
SessionConfig = Annotated[
    list[str] | None,
    typer.Option("--session-config", metavar="KEY=VALUE",
                 help="An entry of ORT's session configuration, such as session.*."),
]  # fmt: skip
Dim = Annotated[
    list[str] | None,
    typer.Option("--dim", "-d", metavar="NAME=INT", help="Value of a symbolic dimension."),
]  # fmt: skip
Batch = Annotated[
    int | None,
    typer.Option("--batch", metavar="N", help="Value of the batch dimension."),
]  # fmt: skip
Input = Annotated[
    Path | None,
    typer.Option("--input", metavar="FILE.npz", help="Your own inputs, arrays by input name."),
]  # fmt: skip
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of made inputs.")]
Seconds = Annotated[
    float | None,
    typer.Option("--seconds", "-s", metavar="S", help="Measuring time, all rows together."),
]  # fmt: skip
Runs = Annotated[
    int | None,
    typer.Option("--runs", "-n", metavar="N", help="Counted runs per row."),
]
Precision = Annotated[
    str | None,
    typer.Option("--precision", metavar="1%",
                 help="Until every comparison is known this well."),
]  # fmt: skip
Warmup = Annotated[
    int | None,
    typer.Option("--warmup", metavar="N", help="Warm-up runs, instead of until steady."),
]  # fmt: skip


def ask(params: dict[str, Any]) -> Ask:
    """The question that the options of `bench` or `profile` put.

    Args:
        params: values by parameter name; a command lacks those it does not take.

    Raises:
        RequestError: a text that means nothing; the sentence names it.
    """
    grid = {
        "providers": params.get("provider"),
        "levels": params.get("level"),
        "variants": params.get("variant"),
        "runtimes": params.get("runtime"),
        "threads": params.get("threads"),
    }
    given: dict[str, Any] = {name: tuple(values) for name, values in grid.items() if values}
    own_inputs = params.get("input_file")
    recipes = [read_recipe(Path(path)) for path in params.get("config") or ()]
    return Ask(
        **given,
        configurations=tuple(recipes),
        # A recipe alone is measured alone; with options of a grid it stands beside it.
        only_configurations=bool(recipes) and not given,
        title=params.get("title", ""),
        inter_op_threads=params.get("inter_op", 1),
        execution_mode=params.get("execution_mode", "sequential"),
        memory_pattern=not params.get("no_mem_pattern", False),
        arena=not params.get("no_arena", False),
        spinning=params.get("spinning", True),
        io_binding=params.get("io_binding", False),
        dims=dims(params.get("dim") or []),
        batch=params.get("batch"),
        session_config=pairs(params.get("session_config") or [], option="--session-config"),
        baseline=params.get("baseline"),
        stop=stop(params),
        seed=params.get("seed", 0),
        profile=params.get("profile", False),
        input_npz=None if own_inputs is None else str(own_inputs),
    )


def stop(params: dict[str, Any]) -> StopRule:
    """When to stop, as asked.

    Raises:
        RequestError: a figure that is not above zero.
    """
    for name in ("seconds", "runs", "batch"):
        value = params.get(name)
        if value is not None and not value > 0:
            raise RequestError(f"--{name} is {value:g}; it must be above 0.",
                               hint="Leave it out, or give more than 0.")  # fmt: skip
    warmup = params.get("warmup")
    if warmup is not None and warmup < 0:
        raise RequestError(f"--warmup is {warmup}; it must not be negative.",
                           hint="Write --warmup 0 for none.")  # fmt: skip
    text = params.get("precision")
    return StopRule(
        seconds=params.get("seconds"),
        runs=params.get("runs"),
        precision=None if text is None else fraction(text, option="--precision"),
        warmup=warmup,
    )


def fraction(text: str, *, option: str) -> float:
    """0.01 of `1%` or `0.01`.

    Raises:
        RequestError: neither form, or not between 0 and 1.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        raise RequestError(
            f"{option} is '{text}', which is not a share between 0 and 1.",
            hint=f"Write {option} 1% or {option} 0.01.",
        )
    return value


def dims(texts: list[str]) -> dict[str, int]:
    """Sizes by symbolic name, of `NAME=INT` texts.

    Raises:
        DimensionError: not of that form, or not a size.
    """
    values = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not re.fullmatch(r"[0-9]{1,12}", number) or int(number) < 1:
            raise DimensionError(
                f"--dim is '{text}', which is not NAME=INT with a size above 0.",
                hint="Write --dim batch=1; `ortlab inspect` lists the names.",
            )
        values[name] = int(number)
    return values


def pairs(texts: list[str], *, option: str) -> dict[str, str]:
    """Values by key, of `KEY=VALUE` texts.

    Raises:
        RequestError: no `=` in it.
    """
    values = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not key or not separator:
            raise RequestError(
                f"{option} is '{text}', which is not KEY=VALUE.",
                hint=f"Write {option} session.disable_prepacking=1.",
            )
        values[key] = value
    return values
