"""What reading a trace costs, beside what others need for the same answer.

ONNX Runtime records the files on the spot, from a sample model, into a temporary folder.
Every program reads the same file in a process of its own; CPU time is that of the reading,
imports excluded. Before a time is told the answers are compared, and have to be equal.
`ORTLAB_BENCH_TRACES` names the sizes, separated by commas; all three take about 15 minutes
and 7 GB of disk.
"""

from __future__ import annotations

import compileall
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import traces_page
from benchmarks.rows import Row, publish
from benchmarks.traces_files import ROOT, RUNS_OF_SIZE, recorded, repeated
from ortlab.lab import Lab

SIZES = os.environ.get("ORTLAB_BENCH_TRACES", ",".join(RUNS_OF_SIZE)).split(",")
MILLION = "1 M events"
# The middle one counts. A loop over a million events takes a minute and 5 GB: once.
REPEATS = {"20 MB": 15, "200 MB": 3, MILLION: 1}
COPIES = 5
REOPENINGS = 5
SUMS_RATIO, TABLE_RATIO, EXPLORER_RATIO, TRANSFORMERS_RATIO, COMMAND_RATIO = 15, 12, 40, 15, 5
MAX_MEMORY_MB = 64
MAX_REOPEN_MS = 60
# For a list of five million events; a person's own limit is 2 GiB.
FILE_LIMIT = str(10 << 30)

# The pool that comes with numpy spins for a while after its import, whoever reads what.
QUIET = {"OPENBLAS_NUM_THREADS": "1"}

# A whole command, as short as it gets.
LOOP = """
import json, sys
sums = {}
for event in json.load(open(sys.argv[1], encoding="utf-8")):
    if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
        arguments = event["args"]
        found = sums.setdefault(arguments["op_name"] + " " + arguments["provider"], [0, 0])
        found[0] += 1
        found[1] += event["dur"]
print(json.dumps(sums))
"""

REOPEN = """
import sys, time
from ortlab.lab import Lab
lab = Lab.open(sys.argv[1])
lab.trace(sys.argv[2]).record
started = time.perf_counter()
record = lab.trace(sys.argv[3]).record
print(1e3 * (time.perf_counter() - started), record.node_event_count)
"""


def rows() -> Iterator[Row]:
    """Reader, command, memory and page, size by size."""
    # As an installation does; a first import would compile on the clock.
    compileall.compile_dir(ROOT / "ortlab", quiet=2)
    os.environ["ORTLAB_TRACE_LIMIT_BYTES"] = FILE_LIMIT
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        small = recorded(folder, "20 MB")
        for size in SIZES:
            path = small if size == "20 MB" else recorded(folder, size)
            yield from reader(path, size)
            if size == "200 MB":
                yield from rivals(path, size)
                yield command(path, folder)
                yield from traces_page.opening(path, folder)
            if size == MILLION:
                yield memory(path)
                yield reopened(path, small, folder)
                many = repeated(path, folder / "many.json", times=COPIES)
                path.unlink()
                yield from traces_page.views(many, folder)


@functools.lru_cache
def cost(name: str, path: Path, size: str) -> tuple[float, float, Any]:
    """CPU seconds (the middle of its repeats), most extra memory in MB, and the answer."""
    found = []
    for _ in range(REPEATS[size]):
        with tempfile.TemporaryDirectory() as text:
            out = Path(text) / "answer.json"
            subprocess.run(
                [sys.executable, "-m", "benchmarks.traces_programs", name, str(path), str(out)],
                check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=os.environ | QUIET,
            )  # fmt: skip
            found.append(json.loads(out.read_text(encoding="utf-8")))
    cpu_s = statistics.median(one["cpu_s"] for one in found)
    return cpu_s, max(one["memory_bytes"] for one in found) / 1e6, found[-1]["answer"]


def reader(path: Path, size: str) -> Iterator[Row]:
    """Sums and table against the plain loop."""
    for what, least in (("sums", SUMS_RATIO), ("table", TABLE_RATIO)):
        yield against(f"{size}, {what}: the plain loop over ortlab's reader, CPU",
                      (f"loop_{what}", f"ortlab_{what}"), path, size, least=least)  # fmt: skip


def rivals(path: Path, size: str) -> Iterator[Row]:
    """Sums against ORT's own tools."""
    for name, title, least in (
        ("explorer", "the steps of ORT's profile_explorer (all runs)", EXPLORER_RATIO),
        ("transformers", "ORT's transformers profile processing", TRANSFORMERS_RATIO),
    ):
        yield against(f"{size}, sums: {title} over ortlab's reader, CPU",
                      (name, "ortlab_sums"), path, size, least=least)  # fmt: skip


def against(title: str, programs: tuple[str, str], path: Path, size: str, *, least: float) -> Row:
    theirs, ours = (cost(program, path, size) for program in programs)
    told = equal(programs, theirs[2], ours[2])
    ratio = theirs[0] / ours[0]
    said = f"{ratio:.1f} ({theirs[0]:.2f} s / {ours[0]:.3f} s)"
    return Row(f"{title}; {told}", said, f">= {least}", ratio >= least)


def equal(names: tuple[str, str], theirs: Any, ours: Any) -> str:
    """Says that the answers are equal, in what both of them tell; ends the benchmark otherwise."""
    shared = sorted(set(theirs) & set(ours))
    if not shared or any(theirs[key] != ours[key] for key in shared):
        raise SystemExit(f"{names[0]} and {names[1]} do not agree: {theirs} is not {ours}")
    told = ", ".join(f"{len(theirs[key])} {key}" if isinstance(theirs[key], dict)
                     else f"{key} {theirs[key]}"[:24] for key in shared)  # fmt: skip
    print(f"   answers of {names[0]} and {names[1]} are equal: {told}", flush=True)
    return "answers equal"


def command(path: Path, folder: Path) -> Row:
    """Wall time of the whole command on a fresh home, against a bare loop as a command."""
    ours, theirs, answers = [], [], set()
    for repeat in range(REPEATS["200 MB"]):
        home = folder / f"home-{repeat}"
        wall_s, text = timed([sys.executable, "-m", "ortlab", "profile", str(path), "--json"],
                             home=home)  # fmt: skip
        ours.append(wall_s)
        document = json.loads(text)
        answers.add(json.dumps({
            f"{row['op_type']} {row['provider']}": [row["calls"], row["total_us"]]
            for row in document["operators"]
        }, sort_keys=True))  # fmt: skip
        shutil.rmtree(home)
        wall_s, text = timed([sys.executable, "-c", LOOP, str(path)], home=home)
        theirs.append(wall_s)
        answers.add(json.dumps(json.loads(text), sort_keys=True))
    if len(answers) != 1:
        raise SystemExit(f"The command and the loop do not agree: {answers}")
    print("   answers of `ortlab profile` and the loop are equal", flush=True)
    ratio = statistics.median(theirs) / statistics.median(ours)
    said = f"{ratio:.1f} ({statistics.median(theirs):.1f} s / {statistics.median(ours):.2f} s)"
    return Row("200 MB: the bare loop as a command over `ortlab profile FILE --json` on a fresh "
               "home, wall time; answers equal",
               said, f">= {COMMAND_RATIO}", ratio >= COMMAND_RATIO)  # fmt: skip


def timed(arguments: list[str], *, home: Path) -> tuple[float, str]:
    """Wall seconds of a command, and what it prints."""
    environment = os.environ | {"ORTLAB_HOME": str(home)}
    started = time.perf_counter()
    done = subprocess.run(arguments, env=environment, cwd=ROOT, check=True, capture_output=True,
                          text=True)  # fmt: skip
    return time.perf_counter() - started, done.stdout


def memory(path: Path) -> Row:
    """Memory beyond that of the imports, while everything that is kept is written."""
    used = {name: cost(name, path, MILLION)[1] for name in ("ortlab_sums", "ortlab_store")}
    size = path.stat().st_size / 1e6
    said = f"{used['ortlab_store']:.0f} MB (sums {used['ortlab_sums']:.0f} MB)"
    return Row(f"memory while {size:,.0f} MB are read and stored, over that of the imports",
               said, f"<= {MAX_MEMORY_MB} MB", max(used.values()) <= MAX_MEMORY_MB)  # fmt: skip


def reopened(path: Path, small: Path, folder: Path) -> Row:
    """Opening the stored form again, in a process that has opened another trace before."""
    home = folder / "home-reopened"
    lab = Lab.open(home)
    ids = [lab.open_trace(file) for file in (small, path)]
    values = []
    for _ in range(REOPENINGS):
        _, text = timed([sys.executable, "-c", REOPEN, str(home), *ids], home=home)
        values.append(float(text.split()[0]))
    shutil.rmtree(home)
    middle = statistics.median(values)
    return Row(f"{MILLION}: second open of the stored form", f"{middle:.1f} ms",
               f"<= {MAX_REOPEN_MS} ms", middle <= MAX_REOPEN_MS)  # fmt: skip


if __name__ == "__main__":
    publish(rows())
