"""`ortlab inspect` and `ortlab fix`: what a model is, and what can be repaired in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ortlab.cli import documents, options, screen
from ortlab.errors import RequestError

_OUTPUT_HINT = "Name a file with -o."


def inspect(model: options.Model, as_json: options.Json = False) -> None:
    """Show what a model is made of, and what would stop it here."""
    from ortlab import Lab

    info = Lab.open().inspect(model)
    if as_json:
        screen.show(documents.inspect(info))
        return
    from ortlab.cli import tables

    screen.out().print(tables.model(info))


def fix(
    model: options.Model,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="File to write.")],
    only: Annotated[
        str | None, typer.Option("--only", metavar="CODE", help="One repair instead of all.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Repair what inspect found; writes another file."""
    from ortlab import Lab

    check_output(output)
    report = Lab.open().fix(model, output, only=only)
    if as_json:
        screen.show(documents.fix(report))
        return
    from ortlab.cli import tables

    screen.out().print(tables.fixed(report))


def check_output(path: Path) -> None:
    """Raise when something that is not a file would be replaced.

    Raises:
        RequestError: a folder, a device or a pipe has that name, or no file can.
    """
    try:
        taken = path.exists() and not path.is_file()
    except OSError as error:
        raise RequestError(
            f"'{str(path)[:300]}' cannot be written: {error.strerror}.", hint=_OUTPUT_HINT
        ) from None
    if taken:
        raise RequestError(f"'{path}' is there already, and is not a file.", hint=_OUTPUT_HINT)
