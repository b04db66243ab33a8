"""The arena over a run: peaks are exact, and every byte of one is named or said to be unnamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.arenas import lifetimes, memory
from ortlab.analysis.arenas.tensors import tensors
from ortlab.analysis.reading.derived import derive
from ortlab.domain.memory import AllocatorMemory, MemoryReport
from ortlab.errors import TraceError
from tests import trace_text
from tests.trace_text import node, session


def rounded(count: int) -> int:
    return (count + 255) // 256 * 256


class Arena:
    """Writes node events as an arena would be seen by ORT: read after a node, then released."""

    def __init__(self, before: int = 0) -> None:
        self.sizes: dict[str, int] = {"weights": before} if before else {}
        self.shapes: dict[str, dict[str, list[int]]] = {}
        self.events: list[dict[str, Any]] = []
        self.mark = self.in_use
        self.clock = 0

    @property
    def in_use(self) -> int:
        return sum(map(rounded, self.sizes.values()))

    @property
    def requested(self) -> int:
        return sum(self.sizes.values())

    def node(
        self,
        name: str,
        count: int,
        *,
        reads: tuple[str, ...] = (),
        frees: tuple[str, ...] = (),
        op: str = "Concat",
        provider: str = trace_text.CPU,
        scratch: int = 0,
        floats: bool = False,
    ) -> None:
        before = self.in_use, self.requested
        shapes = [self.shapes[read] for read in reads]
        self.shapes[name] = {"float": [count // 4]} if floats else {"int8": [count]}
        self.sizes[name] = count
        self.mark = max(self.mark, self.in_use + scratch)
        self.events.append(
            node(name, self.clock, 10, op=op, provider=provider, output_size=str(count),
                 input_type_shape=shapes, output_type_shape=[self.shapes[name]],
                 **self.figures(self.in_use - before[0], self.requested - before[1]))
        )  # fmt: skip
        self.clock += 20
        for gone in frees:
            del self.sizes[gone]

    def figures(self, in_use_delta: int, requested_delta: int) -> dict[str, str]:
        return {
            "mem_bytes_in_use": str(self.in_use), "mem_in_use_delta": str(in_use_delta),
            "mem_bytes_requested_in_use": str(self.requested),
            "mem_requested_in_use_delta": str(requested_delta), "mem_in_use_peak": str(self.mark),
            "mem_arena_held": str(1 << 20), "mem_arena_held_delta": "0",
        }  # fmt: skip

    def run(self, start: int) -> None:
        self.events.append(session("model_run", start, self.clock - start))
        self.clock += 100


def report_of(events: list[dict[str, Any]]) -> MemoryReport:
    _, path = trace_text.decoded(trace_text.text(events))
    found = memory.memory(derive(path))
    assert found is not None
    return found


def only(events: list[dict[str, Any]]) -> AllocatorMemory:
    (allocator,) = report_of(events).allocators
    return allocator


def test_the_peak_is_split_into_before_nodes_and_unexplained_to_the_byte() -> None:
    arena = Arena(before=5000)
    arena.node("a", 3000)
    arena.node("b", 700, reads=("a",))
    arena.node("c", 9000, reads=("b",), frees=("b", "c"))
    arena.run(0)
    found = only(arena.events)
    assert found.peak_name == "c"
    assert found.before_bytes == rounded(5000)
    assert {n.name: n.bytes for n in found.alive} == {
        "a": rounded(3000), "b": rounded(700), "c": rounded(9000)
    }  # fmt: skip
    assert {n.name: n.requested_bytes for n in found.alive} == {"a": 3000, "b": 700, "c": 9000}
    assert found.unexplained_bytes == 0
    assert sum(n.share for n in found.alive) == pytest.approx(found.alive_bytes / found.peak_bytes)


def test_what_a_node_used_up_is_not_in_use_at_a_later_peak() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.node("b", 6000, reads=("a",), frees=("a",))
    arena.node("c", 8000, reads=("b",))
    arena.run(0)
    assert {n.name for n in only(arena.events).alive} == {"b", "c"}


def test_of_two_outputs_of_one_size_the_one_just_read_is_gone_and_the_other_unsure() -> None:
    arena = Arena()
    arena.node("long", 4000)
    arena.node("short", 4000)
    arena.node("b", 6000, reads=("short",), frees=("short",))
    arena.node("c", 8000, reads=("b",))
    arena.run(0)
    sure = {n.name: n.sure for n in only(arena.events).alive}
    assert sure == {"long": False, "b": True, "c": True}


def test_what_was_read_is_released_before_what_came_later() -> None:
    arena = Arena()
    arena.node("read", 4000, floats=True)
    arena.node("later", 4000)
    arena.node("b", 6000, reads=("read",), frees=("read",))
    arena.node("c", 8000, reads=("b",))
    arena.run(0)
    assert {n.name for n in only(arena.events).alive} == {"later", "b", "c"}


def test_an_operator_that_writes_over_its_input_takes_the_buffer_over() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.node("relu", 4000, op="Relu", reads=("a",))
    written_over = arena.events.pop()
    del arena.sizes["relu"]
    written_over["args"] |= arena.figures(0, 0)
    arena.events.append(written_over)
    arena.node("b", 6000)
    arena.run(0)
    assert {n.name: n.bytes for n in only(arena.events).alive} == {
        "relu": rounded(4000), "b": rounded(6000)
    }  # fmt: skip


def test_bytes_allocated_between_nodes_are_nobodys() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.sizes["planned block"] = 10_000
    arena.node("b", 6000)
    arena.run(0)
    found = only(arena.events)
    assert found.unexplained_bytes == rounded(10_000)
    assert found.alive_bytes == rounded(4000) + rounded(6000)


def test_a_node_that_leaves_more_than_its_outputs_owns_the_rest_too() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.events[-1]["args"]["output_size"] = "1000"
    arena.events[-1]["args"]["output_type_shape"] = [{"int8": [1000]}]
    arena.run(0)
    assert [(n.name, n.bytes) for n in only(arena.events).alive] == [("a", rounded(4000))]


def test_a_mark_that_a_node_set_while_it_ran_is_told_beside_the_peak() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.node("lstm", 500, reads=("a",), scratch=50_000)
    arena.node("c", 2000)
    arena.run(0)
    found = only(arena.events)
    assert (found.inside_name, found.inside_bytes) == (
        "lstm", rounded(4000) + rounded(500) + 50_000
    )  # fmt: skip
    assert found.peak_bytes == rounded(4000) + rounded(500) + rounded(2000)


def planned_runs(count: int) -> list[dict[str, Any]]:
    """A first run that allocates piece by piece, then runs with one planned block."""
    arena = Arena()
    for name in "abc":
        arena.node(name, 4000)
    arena.run(0)
    for _ in range(count - 1):
        start = arena.clock
        arena.sizes = {"block": 13_000}
        for name in "abc":
            arena.node(name, 4000)
            del arena.sizes[name]
            arena.events[-1]["args"] |= arena.figures(0, 0)
        arena.run(start)
    return arena.events


def test_the_run_that_shows_allocations_is_shown_and_the_planned_block_is_told() -> None:
    report = report_of(planned_runs(9))
    (found,) = report.allocators
    assert report.run_index == 0
    assert [n.name for n in found.alive] == ["a", "b", "c"]
    assert found.planned_bytes == rounded(13_000)
    assert found.steady_peak_bytes == rounded(13_000)
    assert found.run_count == 9
    assert not found.unnamed_because


def test_runs_with_planned_blocks_only_name_nobody_and_say_why() -> None:
    end_of_first = 60
    found = only([e for e in planned_runs(5) if e["ts"] >= end_of_first])
    assert found.unnamed_because == "planned"
    assert not found.alive
    assert found.before_bytes == found.peak_bytes == rounded(13_000)


def test_nodes_at_the_same_time_are_not_named() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.node("b", 6000)
    for event, (start, thread) in zip(arena.events, ((0, 1), (5, 2)), strict=True):
        event["ts"], event["tid"] = start, thread
    arena.run(0)
    report = report_of(arena.events)
    assert report.parallel
    assert report.allocators[0].unnamed_because == "parallel"
    assert report.allocators[0].peak_bytes == rounded(4000) + rounded(6000)


def test_two_arenas_are_kept_apart_and_a_shared_one_is_put_together() -> None:
    other = "WebGpuExecutionProvider"
    first, second = Arena(before=9000), Arena()
    for number in range(3):
        first.node(f"a{number}", 1000)
        second.clock = first.clock
        second.node(f"b{number}", 500, provider=other)
        first.clock = second.clock
    events = sorted([*first.events, *second.events], key=lambda e: e["ts"])
    apart = report_of([*events, session("model_run", 0, 200)])
    assert [a.providers for a in apart.allocators] == [(trace_text.CPU,), (other,)]

    shared = Arena()
    for number in range(3):
        shared.node(f"a{number}", 1000)
        shared.node(f"b{number}", 500, provider=other)
    shared.run(0)
    assert set(only(shared.events).providers) == {trace_text.CPU, other}
    assert only(shared.events).unexplained_bytes == 0


def test_a_trace_without_memory_fields_has_no_report() -> None:
    _, path = trace_text.decoded(trace_text.text([node("a", 0, 10), session("model_run", 0, 20)]))
    assert memory.memory(derive(path)) is None


def test_node_events_without_memory_fields_are_counted() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.events.append(node("bare", arena.clock, 5, op="Shape"))
    arena.clock += 10
    arena.run(0)
    report = report_of(arena.events)
    assert (report.event_count, report.untold_count) == (2, 1)


def test_a_file_without_a_whole_run_shows_all_its_nodes() -> None:
    arena = Arena()
    arena.node("a", 4000)
    arena.node("b", 2000)
    report = report_of(arena.events)
    assert report.run_index is None
    assert report.allocators[0].peak_bytes == rounded(4000) + rounded(2000)


def test_growth_of_the_arena_over_the_runs_is_told() -> None:
    arena = Arena()
    for held in (1 << 20, 3 << 20):
        start = arena.clock
        arena.node("a", 4000, frees=("a",))
        arena.events[-1]["args"]["mem_arena_held"] = str(held)
        arena.run(start)
    assert only(arena.events).arena_growth_bytes == 2 << 20


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=5000), st.integers(4, 300))
def test_thinning_keeps_the_highest_the_lowest_and_both_ends(values: list[int], limit: int) -> None:
    series = np.array(values)
    kept = memory.thinned(series, limit)
    assert len(kept) <= limit
    assert kept == sorted(set(kept))
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    assert series[kept].max() == series.max()
    assert series[kept].min() == series.min()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-3000, 3000)), max_size=40))
def test_whatever_the_figures_say_no_more_is_named_than_was_in_use(
    steps: list[tuple[int, int]],
) -> None:
    arena = Arena()
    for number, (name, delta) in enumerate(steps):
        arena.node(f"n{name}", abs(delta) + 1, op=("Relu", "MatMul")[name % 2])
        if number % 3:
            arena.events[-1]["args"]["mem_in_use_delta"] = str(delta)
            arena.events[-1]["args"]["mem_requested_in_use_delta"] = str(-delta)
    arena.run(0)
    if not steps:
        return
    found = only(arena.events)
    assert found.peak_bytes == found.before_bytes + found.alive_bytes + found.unexplained_bytes
    assert found.alive_bytes <= found.peak_bytes
    assert all(n.bytes >= 0 for n in found.alive)


def test_sizes_follow_from_types_and_shapes() -> None:
    found = tensors("float[2,3] int64[] bool[7] string[4]")
    assert [t.bytes for t in found] == [24, 8, 7, 0]
    assert tensors("?") == tensors("") == tensors("float[-1,3]") == ()


def test_a_thousand_buffers_of_one_size_are_released_without_trying_every_sum() -> None:
    steps = [
        lifetimes.Step(event=i, node=i, body=-1, op_type="Concat", in_use=256 * (i + 1),
                       requested=100 * (i + 1), in_use_delta=256, requested_delta=100,
                       holds_graph=False, inputs=(), outputs=tensors("int8[100]"))
        for i in range(1000)
    ]  # fmt: skip
    last = lifetimes.Step(event=1000, node=1000, body=-1, op_type="Concat", in_use=256,
                          requested=33, in_use_delta=0, requested_delta=0, holds_graph=False,
                          inputs=(), outputs=())  # fmt: skip
    assert len(lifetimes.alive([*steps, last])) <= 1


def shared_traces(shared_folder: Path) -> list[Path]:
    """Every trace that was recorded elsewhere."""
    folder = shared_folder / "traces"
    return [p for p in sorted(folder.glob("*/*.json")) if ".expect" not in p.suffixes]


def test_recorded_traces_of_all_kinds_are_split_to_the_byte(shared_folder: Path) -> None:
    reported = 0
    for path in shared_traces(shared_folder):
        try:
            _, events = trace_text.decoded(path.read_bytes())
        except TraceError:
            continue
        report = memory.memory(derive(events))
        for found in report.allocators if report else ():
            reported += 1
            assert found.peak_bytes == (
                found.before_bytes + found.alive_bytes + found.unexplained_bytes
            ), path.name
            assert min(found.before_bytes, found.alive_bytes, found.unexplained_bytes) >= 0
            assert found.peak_bytes == max(p.in_use_bytes for p in found.points)
    assert reported >= 10
