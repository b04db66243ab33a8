"""The views of memory and threads say what the records hold, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from ortlab.analysis import threads
from ortlab.analysis.arenas import memory
from ortlab.charts import memory as memory_charts
from ortlab.charts import threads as threads_charts
from ortlab.domain.memory import (
    AliveNode,
    AllocatorMemory,
    MemoryPoint,
    MemoryReport,
    RunMemory,
)
from ortlab.domain.threads import WAITS, HelperThread, PoolRow, ThreadReport
from tests.app.conftest import HOSTILE, texts

CPU = "CPUExecutionProvider"
SENT_LIMIT_BYTES = 100_000


def allocator(*, points: int = 5, name: str = "node", **changes: object) -> AllocatorMemory:
    """An arena whose use grows by 1 KiB a node, with the last two nodes alive at the peak."""
    series = tuple(
        MemoryPoint(7 * i, 1024 * (i + 1), 1000 * (i + 1), 1 << 20, i) for i in range(points)
    )
    alive = tuple(
        AliveNode(node=i, name=f"{name}{i}", op_type="Conv", bytes=1024, since_us=7 * i,
                  share=1 / points, sure=bool(i % 2))
        for i in range(points - 2, points)
    )  # fmt: skip
    made = AllocatorMemory(
        providers=(CPU,), points=series, point_count=points, peak_bytes=1024 * points,
        peak_at_us=series[-1].at_us, peak_node=points - 1, peak_name=f"{name}{points - 1}",
        peak_op_type="Conv", before_bytes=1024 * (points - 3), alive=alive, alive_count=2,
        alive_bytes=2048, unexplained_bytes=1024,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def memory_report(*allocators: AllocatorMemory) -> MemoryReport:
    return MemoryReport(run_index=3, warmup=False, duration_us=40, parallel=False,
                        allocators=allocators or (allocator(),), event_count=5)  # fmt: skip


def pool_row(number: int, *, name: str = "node", says: str = "") -> PoolRow:
    return PoolRow(
        op_type="MatMul", provider=CPU, node=number, name=f"{name}{number}", calls=4, pool_calls=4,
        duration_us=100, run_us=40, wait_us=45, distribution_us=5, pool_share=0.9, wait_share=0.5,
        loop_count=8, joined_count=4, joined_share=0.5, imbalance=4 / 3, block_size=16, says=says,
    )  # fmt: skip


def thread_report(*, nodes: int = 3, name: str = "node") -> ThreadReport:
    rows = tuple(pool_row(i, name=name, says=WAITS) for i in range(nodes))
    whole = msgspec.structs.replace(rows[0], node=None, name="", duration_us=100 * nodes)
    return ThreadReport(
        helper_count=2, event_count=4 * nodes, untold_count=1, no_pool_count=2, no_pool_us=9,
        node_us=100 * nodes, run_us=40 * nodes, wait_us=45 * nodes, distribution_us=5 * nodes,
        loop_count=8 * nodes, joined_count=4 * nodes, joined_share=0.25, imbalance=2.0,
        concurrent=False, operators=(whole,), nodes=rows, node_count=nodes,
        threads=tuple(HelperThread(pool="p", number=i, loop_count=9 - i, share=0.5)
                      for i in (1, 2)),
    )  # fmt: skip


def memory_page(report: object, version: object = None, names: tuple[str, ...] = ()) -> None:
    from ortlab.domain.trace import NodeRow, Profile
    from ortlab.ui import memory_view

    nodes = tuple(
        NodeRow(name=name, op_type="MatMul", provider="?", calls=1, total_us=1, self_us=1,
                p50_us=1.0, order=order)
        for order, name in enumerate(names)
    )  # fmt: skip
    memory_view.show(report, Profile(source="a test", ort_version=version, nodes=nodes))


def threads_page(report: object, version: object = None) -> None:
    from ortlab.domain.trace import Profile
    from ortlab.ui import threads_view

    threads_view.show(report, Profile(source="a test", ort_version=version))


def shown(page: Callable[..., None], *args: object) -> AppTest:
    app = AppTest.from_function(page, args=args, default_timeout=60).run()
    assert not app.exception, app.exception
    return app


def test_the_split_of_the_peak_is_said_in_one_sentence() -> None:
    said = texts(shown(memory_page, memory_report()))
    assert "5.00\u2009KiB" in said
    assert "2.00\u2009KiB are outputs of the nodes below" in said
    assert "1.00\u2009KiB cannot be told" in said


@pytest.mark.parametrize("because", ["planned", "parallel", "many", "bodies"])
def test_a_peak_without_names_says_why(because: str) -> None:
    nameless = allocator(alive=(), alive_count=0, alive_bytes=0, unnamed_because=because)
    app = shown(memory_page, memory_report(nameless))
    assert sum(table.proto.id.endswith("memory-alive-0") for table in app.dataframe) == 0
    assert "cannot be told" in texts(app) or "no bytes" in texts(app)


def test_a_trace_without_memory_fields_says_since_when_they_are_written() -> None:
    said = texts(shown(memory_page, None, "1.14 to 1.20"))
    assert "1.28" in said
    assert "1.14 to 1.20" in said


def test_of_several_arenas_one_is_shown_and_the_others_can_be_chosen() -> None:
    gpu = allocator(points=9, providers=("CUDAExecutionProvider",), peak_name="on the gpu")
    app = shown(memory_page, memory_report(allocator(), gpu))
    assert "node4" in texts(app)
    app.radio(key="memory-arena").set_value(1).run()
    assert not app.exception
    assert "on the gpu" in texts(app)


def test_runs_are_drawn_only_where_their_peaks_differ() -> None:
    same = tuple(RunMemory(i, 5000, 100, 1 << 20, False) for i in range(4))
    alike = shown(memory_page, memory_report(allocator(runs=same, run_count=4)))
    grown = (*same, RunMemory(4, 9000, 100, 2 << 20, False))
    apart = shown(
        memory_page,
        memory_report(allocator(runs=grown, run_count=5, arena_growth_bytes=1 << 20)),
    )
    assert "same peak" in texts(alike)
    assert len(apart.get("plotly_chart")) == len(alike.get("plotly_chart")) + 1
    assert "grows by 1.00\u2009MiB" in texts(apart)


@pytest.mark.parametrize("page", [memory_page, threads_page])
def test_foreign_names_stay_text(page: Callable[..., None]) -> None:
    report = memory_report(allocator(name=HOSTILE)) if page is memory_page else thread_report(
        name=HOSTILE
    )  # fmt: skip
    app = shown(page, report)
    for kind in ("markdown", "caption"):
        for element in getattr(app, kind):
            assert not re.search(r"(?<!\\)(\]\(|<img)", str(element.value))


def test_names_in_the_memory_figure_cannot_be_markup() -> None:
    figure = memory_charts.usage(
        allocator(name=HOSTILE), duration_us=40, names={0: "<b>bold</b>", 4: HOSTILE}
    )
    assert "<img" not in figure.to_json()
    assert "<b>bold" not in figure.to_json()


def test_the_memory_figure_ends_with_the_run_and_marks_the_peak() -> None:
    drawn = allocator()
    figure = memory_charts.usage(drawn, duration_us=40)
    use = next(trace for trace in figure.data if trace.name == "in use")
    assert use.x[-1] == 40
    assert len(use.x) == len(use.y) == len(drawn.points) + 1
    assert max(use.y) == pytest.approx(5.0)
    assert any("5.00" in note.text and "node4" in note.text for note in figure.layout.annotations)


def test_an_arena_far_above_does_not_press_the_steps_flat() -> None:
    figure = memory_charts.usage(allocator(), duration_us=40)
    assert figure.layout.yaxis.range[1] < 10
    assert any("1.00\u2009MiB" in (trace.name or "") for trace in figure.data)


def sent_bytes(app: AppTest) -> int:
    elements = [*app.get("plotly_chart"), *app.dataframe]
    return sum(element.proto.ByteSize() for element in elements)


def test_the_largest_views_stay_below_what_a_view_may_send() -> None:
    path = "/model/encoder/layer.11/attention/self/query/MatMul_output_0_"
    large = allocator(
        points=memory.MAX_POINTS, name=path,
        alive=tuple(
            AliveNode(node=i, name=f"{path}{i}", op_type="MatMul", bytes=9, since_us=7, share=0.01)
            for i in range(memory.MAX_ALIVE)
        ),
        runs=tuple(RunMemory(i, 5000 + i, 5, 1 << 20, False) for i in range(memory.MAX_RUNS)),
        run_count=memory.MAX_RUNS,
    )  # fmt: skip
    names = tuple(f"{path}{i}" for i in range(memory.MAX_POINTS))
    app = shown(memory_page, memory_report(large), None, names)
    assert 20_000 < sent_bytes(app) <= SENT_LIMIT_BYTES
    many = msgspec.structs.replace(
        thread_report(nodes=threads.MAX_NODES, name=path),
        operators=tuple(pool_row(i) for i in range(300)),
    )
    assert 20_000 < sent_bytes(shown(threads_page, many)) <= SENT_LIMIT_BYTES


def test_records_without_points_or_rows_give_titled_empty_figures() -> None:
    empty = msgspec.structs.replace(thread_report(), operators=(), threads=())
    for figure in (
        memory_charts.usage(
            allocator(
                points=3,
            ),
            duration_us=1,
        ),
        memory_charts.runs(allocator()),
        threads_charts.by_operator(empty),
        threads_charts.helpers(empty),
    ):
        assert figure.layout.title.text or figure.data


def test_parts_of_an_operators_bar_add_up_to_its_time() -> None:
    figure = threads_charts.by_operator(thread_report())
    assert sum(sum(trace.x) for trace in figure.data) == pytest.approx(300)


def test_the_thread_view_says_who_waits_and_how_often_helpers_took_part() -> None:
    said = texts(shown(threads_page, thread_report()))
    assert "The 2 helper threads took part in **25.0" in said
    assert "3 nodes, 300\u2009µs: the calling thread waits" in said
    assert "2 of 12 node events used no pool" in said


def test_a_trace_that_tells_of_no_pool_says_what_that_may_mean() -> None:
    said = texts(shown(threads_page, None))
    assert "one thread" in said
    assert "1.10" in said
