"""What a benchmark script reports: rows of name, measured, target, met.

A script is a module of this folder with `if __name__ == "__main__": rows.publish(...)`.
It runs alone as `python -m benchmarks.NAME`, or with all others by `make bench`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# Where `python -m benchmarks` asks a script to leave its rows.
ROWS_FILE = "ORTLAB_BENCH_ROWS"


class Row(NamedTuple):
    """One line of the table; `measured` and `target` are texts with their units."""

    name: str
    measured: str
    target: str
    met: bool


def publish(rows: Iterable[Row]) -> None:
    """Print rows as they come, and leave them for the common table when asked to."""
    file = os.environ.get(ROWS_FILE)
    for row in rows:
        print(line(row), flush=True)
        if file:
            with Path(file).open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")


def line(row: Row) -> str:
    """One row as text."""
    return f"{row.name:<58} | {row.measured:<26} | {row.target:<26} | {'yes' if row.met else 'NO'}"
