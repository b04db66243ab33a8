"""What a person sees: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ortlab.cli import documents
from ortlab.domain import units
from ortlab.domain.study import Progress
from ortlab.errors import OrtlabError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

# Wide enough for every table where nobody reads along, as in a file or a pipe.
PIPE_COLUMNS = 200
# The thin space stands between a number and its unit.
_SPACES = "\n" + units.THIN


def plain(text: str) -> str:
    """Text without control characters: names in models and traces are strangers' words."""
    return "".join(c if c.isprintable() or c in _SPACES else "�" for c in text)


def out() -> Console:
    """Where tables go."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return Console(width=width, highlight=False, markup=False, emoji=False)


def show(document: documents.Document) -> None:
    """Print the one document of a `--json` command."""
    sys.stdout.write(documents.text(document) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A line for people, beside the result."""
    print(plain(text), file=sys.stderr)


def complain(problem: OrtlabError, *, as_json: bool) -> None:
    """One sentence and its hint on stderr; with `--json` the error document on stdout too."""
    note(" ".join(problem.message.split()))
    if problem.hint:
        note("hint: " + " ".join(problem.hint.split()))
    if as_json:
        show(documents.error(problem))


def silence_stdout() -> None:
    """Nobody reads stdout any more: what Python still flushes at its end goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """A function to call with every `Progress`; it draws on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(),
               TextColumn("{task.fields[left]}", markup=False))  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0, left="")

        def tell(progress: Progress) -> None:
            left = progress.seconds_left
            bar.update(
                task,
                completed=progress.done_share,
                description=plain(progress.message or progress.phase or progress.status),
                left="" if left is None else f"about {units.duration(left)} left",
            )

        yield tell
