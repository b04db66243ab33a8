"""`ortlab compare`: what differs between two studies or traces."""

from __future__ import annotations

from typing import Annotated

import typer

from ortlab.cli import documents, options, screen
from ortlab.cli.commands_profile import Top

Side = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|TRACE",
        help="A study's id, STUDY/CONFIGURATION for one row of it, or a profile ORT wrote.",
        show_default=False,
    ),
]


def compare(base: Side, other: Side, top: Top = None, as_json: options.Json = False) -> None:
    """Show what is slower, faster, added or removed between two."""
    from ortlab import Lab

    record = Lab.open().compare(base, other).record
    if as_json:
        screen.show(documents.compare(record, top=top))
        return
    from ortlab.cli import compare_tables

    screen.out().print(compare_tables.difference(record, top=top))
