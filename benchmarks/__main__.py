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

from benchmarks.rows import MEASURED_WIDTH, NAME_WIDTH, ROWS_FILE, TARGET_WIDTH, Row, line

FOLDER = Path(__file__).parent


def scripts() -> list[str]:
    """Names of the modules here that have a function `rows`."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if "\ndef rows(" in p.read_text("utf-8"))


def main(names: list[str]) -> int:
    known = scripts()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"No benchmark is called {unknown[0]}; there are: {', '.join(known)}.")
        return 2
    rows = [row for name in names or known for row in run(name)]
    print("\n" + line("name", "measured", "target", "met"))
    print("-|-".join("-" * width for width in (NAME_WIDTH, MEASURED_WIDTH, TARGET_WIDTH, 3)))
    for row in rows:
        print(line(*row[:3], "yes" if row.met else "NO"))
    return 0 if rows and all(row.met for row in rows) else 1


def run(name: str) -> list[Row]:
    """The rows of one script; a script that fails is a row of its own."""
    print(f"\n== {name} ==", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        returncode = subprocess.run(
            [sys.executable, "-m", "benchmarks.rows", name],
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
