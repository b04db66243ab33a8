"""What a benchmark script reports: rows of name, measured, target, met.

A script is a module of this folder with a function `rows()` that yields `Row`s or dicts of
the same keys. It runs alone (`python -m benchmarks NAME`), or with all others (`make bench`).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

# Where `python -m benchmarks` asks a script to leave its rows.
ROWS_FILE = "ORTLAB_BENCH_ROWS"
NAME_WIDTH, MEASURED_WIDTH, TARGET_WIDTH = 62, 34, 28


class Row(NamedTuple):
    """One line of the table; `measured` and `target` are texts with their units."""

    name: str
    measured: str
    target: str
    met: bool


def publish(rows: Iterable[Row | Mapping[str, Any]]) -> None:
    """Print rows as they come, and leave them for the common table when asked to."""
    file = os.environ.get(ROWS_FILE)
    for given in rows:
        row = Row(**given) if isinstance(given, Mapping) else given
        print(line(*row[:3], "yes" if row.met else "NO"), flush=True)
        if file:
            with Path(file).open("a", encoding="utf-8") as out:
                out.write(json.dumps([*row[:3], bool(row.met)]) + "\n")


def line(name: str, measured: str, target: str, met: str) -> str:
    """One row of the table; a long name goes on below."""
    first, *more = textwrap.wrap(name, NAME_WIDTH)
    cells = f"{measured:<{MEASURED_WIDTH}} | {target:<{TARGET_WIDTH}} | {met}"
    return "\n".join([f"{first:<{NAME_WIDTH}} | {cells}", *(f"  {text}" for text in more)])


if __name__ == "__main__":
    publish(importlib.import_module(f"benchmarks.{sys.argv[1]}").rows())
