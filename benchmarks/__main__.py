"""`python -m benchmarks [NAME …]`: run the benchmark scripts, then print one table.

Each script runs in a process of its own, one after another. Exit code 1 when a target was
missed or a script failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rows import ROWS_FILE, Row, line

FOLDER = Path(__file__).parent
NOT_SCRIPTS = {"__init__", "__main__", "rows"}


def main(names: list[str]) -> int:
    known = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in NOT_SCRIPTS)
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"No benchmark is called {unknown[0]}; there are: {', '.join(known)}.")
        return 2
    rows: list[Row] = []
    for name in names or known:
        rows += run(name)
    print("\n" + line(Row("name", "measured", "target", True)).replace("yes", "met"))
    print("-" * 124)
    for row in rows:
        print(line(row))
    return 0 if rows and all(row.met for row in rows) else 1


def run(name: str) -> list[Row]:
    """The rows of one script; a script that fails is a row of its own."""
    print(f"\n== {name} ==", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        returncode = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"],
            env={**os.environ, ROWS_FILE: str(file)},
            cwd=FOLDER.parent,
            check=False,
        ).returncode
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = [Row(*json.loads(text)) for text in lines]
    print(f"   {name}: {time.monotonic() - started:.0f} s", flush=True)
    if returncode or not rows:
        rows.append(Row(f"{name} (the script)", f"exit code {returncode}", "0, with rows", False))
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
