"""Every kind of trace there is, against facts that a few lines of plain JSON work out.

Nothing of ortlab takes part in the expectations. Files of the shared folder whose facts were
worked out elsewhere lie there with an `.expect.json` beside them.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ortlab.analysis.profiles import traces
from ortlab.domain.trace import Profile, TraceFacts
from ortlab.errors import TraceError
from tests.conftest import ROOT
from tests.trace_text import DATA, decoded

Event = dict[str, Any]
KERNEL_TIME = "_kernel_time"
SHARED = ROOT.parent / "shared" / "traces"


def files() -> Iterator[Path]:
    """Recorded traces of this checkout, and of the shared folder where there is one."""
    yield from sorted(p for p in DATA.glob("*.json") if not p.name.endswith(".placement.json"))
    yield from sorted((ROOT / "sample_models" / "traces").glob("*.json"))
    yield from sorted((SHARED / "own").glob("*.json"))
    yield from sorted(wild())


def wild() -> Iterator[Path]:
    for path in (SHARED / "wild").glob("*.json"):
        if not path.name.endswith(".expect.json") and path.name != "SOURCES.json":
            yield path


def read(path: Path) -> tuple[TraceFacts, Profile]:
    facts, events = decoded(path.read_bytes())
    return facts, traces.profile(events, source=path.name)


def plain(path: Path) -> list[Event]:
    """The events by plain means: the whole as JSON, else every line that is JSON by itself."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text)
        return found["traceEvents"] if isinstance(found, dict) else found
    except ValueError:
        return [event for event in map(one, text.splitlines()) if event is not None]


def one(line: str) -> Event | None:
    try:
        event = json.loads(line.strip().strip("[],"))
    except ValueError:
        return None
    return event if isinstance(event, dict) and "cat" in event else None


def kernels(events: list[Event]) -> list[Event]:
    return [e for e in events if e["cat"] == "Node" and e["name"].endswith(KERNEL_TIME)]


def arguments(event: Event) -> dict[str, Any]:
    # Reports on the web leave them out.
    return event.get("args", {})


def by_operator(events: list[Event]) -> dict[tuple[str, str], tuple[int, int]]:
    """Calls and µs by operator and provider."""
    sums: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for event in kernels(events):
        key = arguments(event).get("op_name", "?"), arguments(event).get("provider", "?")
        calls, time_us = sums[key]
        sums[key] = calls + 1, time_us + event["dur"]
    return dict(sums)


def outermost_us(events: list[Event]) -> int:
    """µs of node events that lie in no other: what ends later in time and in the file holds.

    Start and length are cut to whole µs one by one, so an inner event may end 1 µs late.
    """
    threads: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)
    for rank, event in enumerate(kernels(events)):
        span = event["ts"], event["ts"] + event["dur"], rank
        threads[event["pid"], event["tid"]].append(span)
    return sum(
        end - start
        for spans in threads.values()
        for start, end, rank in spans
        if not any(
            a <= start and end <= b + 1 and start < b and b - a >= end - start and later > rank
            for a, b, later in spans
        )
    )


READABLE = [path for path in files() if not path.name.startswith(("notort", "nnapi"))]


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_what_is_told_of_a_trace_is_what_plain_json_says(path: Path) -> None:
    events = plain(path)
    facts, profile = read(path)
    broken = facts.damaged_count + facts.recovered_count
    assert len(events) <= sum(facts.category_counts.values()) <= len(events) + broken
    if broken:
        return
    assert facts.category_counts == Counter(event["cat"] for event in events)
    assert profile.node_event_count == len(kernels(events))
    assert profile.node_time_us == sum(event["dur"] for event in kernels(events))
    assert facts.fence_count == sum("_fence_" in event["name"] for event in events)
    assert by_operator(events) == {
        (row.op_type, row.provider): (row.calls, row.total_us) for row in profile.operators
    }
    runs = sorted((e["ts"], e["dur"]) for e in events if e["name"] == "model_run")
    assert sorted((run.start_us, run.duration_us) for run in profile.runs) == runs


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_the_time_of_outermost_nodes_is_what_a_sweep_by_thread_finds(path: Path) -> None:
    facts, profile = read(path)
    if not facts.recovered_count:
        assert profile.toplevel_us == outermost_us(plain(path))


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.stem)
def test_memory_and_device_events_are_as_many_as_in_the_file(path: Path) -> None:
    events = plain(path)
    facts, profile = read(path)
    device = [event for event in events if event["cat"] in ("Kernel", "Api")]
    assert profile.device_event_count == len(device)
    assert profile.device_time_us == sum(event["dur"] for event in device)
    told = any("mem_bytes_in_use" in arguments(event) for event in kernels(events))
    assert ("memory" in facts.marks) == told


def test_node_names_with_quotes_and_tabs_come_through() -> None:
    _, profile = read(DATA / "cpu_scan_two_threads.json")
    assert 'odd "name"\\ of\ttwo lines' in {node.name for node in profile.nodes}


def test_a_failed_run_is_a_run_with_fewer_nodes() -> None:
    _, profile = read(DATA / "cpu_failed_run.json")
    assert [run.node_count for run in profile.runs] == [3, 2, 3]


# ---- what others sent: facts that were worked out before ortlab read them


EXPECTED = sorted(p for p in (SHARED / "wild").glob("*.expect.json"))


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name.split(".expect")[0])
def test_foreign_traces_have_the_sums_that_were_worked_out_for_them(path: Path) -> None:
    expected = json.loads(path.read_text(encoding="utf-8"))
    trace = path.with_name(path.name.replace(".expect", ""))
    if "unreadable" in expected:
        check_unreadable(trace)
        return
    if not expected["kernel_events"] and trace.name.startswith("notort"):
        with pytest.raises(TraceError) as refused:
            read(trace)
        assert refused.value.kind == "not_ort_trace"
        return
    facts, profile = read(trace)
    assert facts.category_counts == expected["by_category"]
    assert profile.node_event_count == expected["kernel_events"]
    assert facts.fence_count == expected["fence_events"]
    assert profile.node_time_us == expected["kernel_sum_us"]
    assert profile.toplevel_us == expected["toplevel_us"]
    operators: Counter[str] = Counter()
    for row in profile.operators:
        operators[row.op_type] += row.total_us
    assert {o["key"]: o["us"] for o in expected["top_ops_by_sum"]}.items() <= operators.items()
    providers = {row.provider: row.total_us for row in profile.providers}
    assert {p["key"]: p["us"] for p in expected["providers_by_sum"]} == providers


def check_unreadable(path: Path) -> None:
    """No JSON reader takes it whole: ortlab takes its whole events, or says that there are none."""
    try:
        _, profile = read(path)
    except TraceError:
        assert not plain(path)
        return
    times = [event["dur"] for event in kernels(plain(path))]
    assert profile.node_time_us >= sum(times)
    assert profile.node_event_count >= len(times)


# ---- kinds: a file for each is here, or in the shared folder


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("cpu_parallel_control_flow", "pool threads"),
        ("cpu_concurrent_runs", "runs at once"),
        ("cpu_scan_two_threads", "bodies"),
        ("joined_two_sessions", "two sessions"),
        ("webgpu_tail", "copies"),
    ],
)
def test_recorded_kinds_are_what_they_are_called(name: str, mark: str) -> None:
    events = plain(DATA / f"{name}.json")
    runs = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e["name"] == "model_run")
    shown = {
        "pool threads": {e["tid"] for e in kernels(events)}.isdisjoint(
            e["tid"] for e in events if e["name"] == "model_run"
        ),
        "runs at once": any(end > start for (_, end), (start, _) in itertools.pairwise(runs)),
        "bodies": outermost_us(events) < sum(e["dur"] for e in kernels(events)),
        "two sessions": sum(e["name"] == "session_initialization" for e in events) == 2,
        "copies": any("Memcpy" in arguments(e)["op_name"] for e in kernels(events)),
    }
    assert shown[mark]
