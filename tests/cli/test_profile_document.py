"""`ortlab profile --json` says what the pages say, against sums over the plain file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.cli.conftest import Command

ROOT = Path(__file__).parents[2]
TRACES = sorted((ROOT / "sample_models" / "traces").glob("digits_cnn_cpu.json"))
TRACES += sorted((ROOT / "tests" / "data").glob("cpu_*.json"))


def plain(path: Path) -> list[dict[str, object]]:
    """The node events of a whole file, as the standard library reads it."""
    events = json.loads(path.read_text())
    return [e for e in events if e["cat"] == "Node" and e["name"].endswith("_kernel_time")]


@pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.stem)
def test_shapes_and_modules_add_up_to_what_the_file_holds(ortlab: Command, trace: Path):
    document = ortlab("profile", trace, "--json").document
    nodes = plain(trace)
    calls: dict[str, int] = defaultdict(int)
    for event in nodes:
        calls[event["args"]["op_name"]] += 1
    by_shape: dict[str, int] = defaultdict(int)
    for row in document["shapes"]:
        by_shape[row["op_type"]] += row["calls"]
    assert dict(by_shape) == dict(calls)
    assert sum(row["total_us"] for row in document["shapes"]) == sum(e["dur"] for e in nodes)
    (root,) = [row for row in document["modules"] if row["path"] == []]
    assert root["total_us"] == document["toplevel_us"]
    assert sum(row["self_us"] for row in document["modules"]) == document["toplevel_us"]


@pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.stem)
def test_memory_is_that_of_one_run_of_the_file(ortlab: Command, trace: Path):
    memory = ortlab("profile", trace, "--json").document["memory"]
    told = [int(e["args"]["mem_bytes_in_use"]) for e in plain(trace)]
    (arena,) = memory["allocators"]
    assert arena["peak_bytes"] in told
    assert arena["session_peak_bytes"] >= max(told)
    parts = arena["before_bytes"] + arena["alive_bytes"] + arena["unexplained_bytes"]
    assert parts == arena["peak_bytes"]


def test_threads_are_those_that_the_file_names(ortlab: Command):
    (trace,) = [path for path in TRACES if path.stem == "digits_cnn_cpu"]
    threads = ortlab("profile", trace, "--json").document["threads"]
    stats = [e["args"]["thread_scheduling_stats"] for e in plain(trace)]
    named = {name for told in stats if told for name in told["sub_threads"]}
    assert len(threads["threads"]) == len(named) > 0


def test_options_of_measuring_are_told_to_have_no_effect_on_a_trace(ortlab: Command):
    (trace,) = [path for path in TRACES if path.stem == "digits_cnn_cpu"]
    done = ortlab("profile", trace, "--provider", "cuda", "--seconds", "3", "--json")
    assert done.code == 0
    assert "no effect on a trace, which is only read: --provider, --seconds" in done.err
    assert "no effect" not in ortlab("profile", trace, "--steady", "--top", "2").err
