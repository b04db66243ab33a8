"""Laws of reading a trace, from bytes to the profile: nothing breaks it, no time is invented."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ortlab.analysis.naming import modules
from ortlab.domain.trace import Profile
from ortlab.errors import TraceError
from tests.trace_text import DATA, node, profile, recorded, session, text

RECORDED = sorted(p.stem for p in DATA.glob("*.json") if not p.stem.endswith(".placement"))
LAYERS = ("/encoder/layer.0/attention/", "/encoder/layer.1/ffn/", "/head/", "")
SHAPES = ([{"float": [1, 8]}], [{"float": [8, 8]}, {"int64": [2]}], [])
PROVIDERS = ("CPUExecutionProvider", "XnnpackExecutionProvider", "CUDAExecutionProvider")

thorough = settings(max_examples=60, deadline=None,
                    suppress_health_check=[HealthCheck.too_slow])  # fmt: skip


@st.composite
def traces(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Runs on one to three threads, of nodes that hold nodes; each event has a time of its own."""
    events: list[dict[str, Any]] = []
    for tid in range(draw(st.integers(1, 3))):
        clock = draw(st.integers(0, 20))
        for _ in range(draw(st.integers(1, 3))):
            begin, clock = clock, clock + 1
            for _ in range(draw(st.integers(0, 4))):
                clock, inside = _tree(draw, clock, depth=0, tid=tid)
                events += inside
            clock += draw(st.integers(1, 9))
            events.append(session("model_run", begin, clock - begin, tid=tid))
            clock += 2
    return events


def _tree(draw: st.DrawFn, start: int, *, depth: int, tid: int) -> tuple[int, list[dict[str, Any]]]:
    clock, inside = start + 2, []
    for _ in range(draw(st.integers(0, 2 - depth))):
        clock, events = _tree(draw, clock, depth=depth + 1, tid=tid)
        inside += events
    end = clock + draw(st.integers(2, 30))
    name = draw(st.sampled_from(LAYERS)) + draw(st.sampled_from(("MatMul", "Add", "Loop")))
    own = node(
        name, start, end - start, op="Loop" if inside else draw(st.sampled_from(("MatMul", "Add"))),
        tid=tid, provider=draw(st.sampled_from(PROVIDERS)),
        input_type_shape=draw(st.sampled_from(SHAPES)), output_size=str(draw(st.integers(0, 99))),
    )  # fmt: skip
    return end + 2, [*inside, own]


def check_conserved(found: Profile) -> None:
    """The same time and the same calls, however they are grouped."""
    tables = (found.operators, found.providers, found.shapes, found.nodes)
    for rows in tables:
        assert sum(row.self_us for row in rows) == found.toplevel_us
        assert sum(row.total_us for row in rows) == found.node_time_us
        assert sum(row.calls for row in rows) == found.node_event_count
        assert all(0 <= row.self_us <= row.total_us for row in rows)
    tree = modules.tree(found)
    assert tree.root.total_us == found.toplevel_us
    assert tree.root.calls == found.node_event_count
    check_module(tree.root)


def check_module(module: modules.Module) -> None:
    assert module.total_us == module.self_us + sum(m.total_us for m in module.children)
    for inner in module.children:
        check_module(inner)


def totals(found: Profile) -> Counter[tuple[str, str, str]]:
    return Counter({(n.name, n.op_type, n.provider): n.total_us for n in found.nodes})


def read(content: str | bytes) -> Profile | None:
    """The profile, or None where the file is refused; anything else that is raised is a bug."""
    try:
        return profile(content)
    except TraceError:
        return None


# ---- sums


@thorough
@given(traces())
def test_time_and_calls_are_the_same_in_every_table(events: list[dict[str, Any]]) -> None:
    found = profile(text(events))
    kernels = [event for event in events if event["cat"] == "Node"]
    assert found.node_time_us == sum(event["dur"] for event in kernels)
    assert found.node_event_count == len(kernels)
    check_conserved(found)
    steady = profile(text(events), steady=True)
    check_conserved(steady)
    assert steady.node_time_us <= found.node_time_us


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_time_is_the_same_in_every_table(name: str) -> None:
    check_conserved(profile(recorded(name)))


# ---- permutation


@thorough
@given(traces(), st.randoms(use_true_random=False))
def test_any_order_of_lines_tells_the_same_times(
    events: list[dict[str, Any]], shuffler: random.Random
) -> None:
    shuffled = list(events)
    shuffler.shuffle(shuffled)
    expected, found = profile(text(events)), profile(text(shuffled))
    assert totals(found) == totals(expected)
    assert found.operators == expected.operators
    assert found.toplevel_us == expected.toplevel_us
    spans = [[(r.start_us, r.duration_us, r.node_count) for r in p.runs] for p in (found, expected)]
    assert sorted(spans[0]) == sorted(spans[1])


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_lines_in_any_order_lose_and_invent_nothing(name: str) -> None:
    expected = profile(recorded(name))
    lines = [line.strip(", ") for line in recorded(name).decode().splitlines()[1:-1]]
    random.Random(name).shuffle(lines)
    found = profile("[\n" + ",\n".join(lines) + "\n]")
    check_conserved(found)
    assert found.node_time_us == expected.node_time_us
    assert len(found.runs) == len(expected.runs)


# ---- truncation


@thorough
@given(st.sampled_from(RECORDED), st.floats(0, 1), st.sampled_from((b"\n", b"\r\n")))
def test_cut_anywhere_every_whole_event_before_is_used(
    name: str, share: float, line_end: bytes
) -> None:
    content = recorded(name).replace(b"\n", line_end)
    cut = content[: int(share * len(content))]
    whole = [line for line in cut.splitlines() if is_event(line)]
    kernels = [json.loads(line.strip(b",")) for line in whole]
    kernels = [event for event in kernels if event["name"].endswith("_kernel_time")]
    found = read(cut)
    if found is None:
        assert not kernels
        return
    assert found.node_event_count == len(kernels)
    assert found.node_time_us == sum(event["dur"] for event in kernels)
    assert found.truncated == (cut.rstrip() != content.rstrip())
    check_conserved(found)


def is_event(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line.strip(b",")), dict)
    except ValueError:
        return False


@thorough
@given(traces(), st.data())
def test_cut_at_any_byte_of_any_trace_is_read_or_refused(
    events: list[dict[str, Any]], data: st.DataObject
) -> None:
    content = text(events).encode()
    found = read(content[: data.draw(st.integers(0, len(content)))])
    assert found is None or found.node_time_us <= sum(e["dur"] for e in events)


# ---- corruption

_DURATION = re.compile(rb'"dur"\s*:\s*(\d+)')


@thorough
@given(st.sampled_from(RECORDED), st.data())
def test_a_broken_line_costs_itself_at_most_and_adds_nothing(
    name: str, data: st.DataObject
) -> None:
    lines = recorded(name).split(b"\n")
    at = data.draw(st.integers(1, len(lines) - 3))
    broken = data.draw(st.one_of(st.binary(max_size=40), _mutations(lines[at])))
    broken = broken.replace(b"\n", b" ").replace(b"\r", b" ")
    others = profile(b"\n".join([*lines[:at], *lines[at + 1 :]]))
    found = profile(b"\n".join([*lines[:at], broken, *lines[at + 1 :]]))
    told = {0, *(int(digits) for digits in _DURATION.findall(broken))}
    assert found.node_time_us - others.node_time_us in told
    check_conserved(found)


@st.composite
def _mutations(draw: st.DrawFn, line: bytes) -> bytes:
    """The line with some of its bytes replaced, removed or doubled."""
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, max(0, len(line) - 1)))
        end = min(len(line), begin + draw(st.integers(0, 12)))
        middle = draw(st.one_of(st.just(b""), st.binary(max_size=6), st.just(line[begin:end] * 2),
                                st.sampled_from((b'"', b"{", b"}", b"[", b"]", b"\\", b",", b"NaN",
                                                 b"1e999", b"-9", b"null"))))  # fmt: skip
        line = line[:begin] + middle + line[end:]
    return line


@thorough
@given(st.sampled_from(RECORDED), st.data())
def test_no_damage_anywhere_raises_anything_but_a_refusal(name: str, data: st.DataObject) -> None:
    content = recorded(name)
    for _ in range(data.draw(st.integers(1, 5))):
        begin = data.draw(st.integers(0, len(content)))
        end = begin + data.draw(st.integers(0, 300))
        content = content[:begin] + data.draw(st.binary(max_size=30)) + content[end:]
    found = read(content)
    if found is not None:
        check_conserved(found)


@thorough
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read(content)
