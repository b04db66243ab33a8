"""Nodes against roofs: bounds by hand, laws of gains, and what is told when nothing is known."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortlab.analysis.rooflines import node_work, roofs
from ortlab.analysis.rooflines.roofline import NEAR_DISPATCH, roofline
from ortlab.charts import roofline as charts
from ortlab.domain.roofline import ComputeRoof, MemoryRoof, NodeRoof, Peaks, RooflineReport
from ortlab.domain.trace import Correction, NodeRow, Profile, Run
from tests import trace_text

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
MIB = 1 << 20


def peaks(**fields: object) -> Peaks:
    """100 GFLOP/s, a cache of 1 MiB with 100 GB/s, memory with 10 GB/s, 1 µs for a node."""
    values: dict[str, object] = {
        "machine_id": "m", "onnxruntime_version": "1.31.1", "threads": 2, "seconds": 8.0,
        "measured_at": "2026-11-20T12:00:00+00:00",
        "compute": (ComputeRoof(kind="fp32", flop_per_s=100e9, spread_share=0.1, side=1024),
                    ComputeRoof(kind="int8", flop_per_s=400e9, spread_share=0.1, side=1024)),
        "memory": (MemoryRoof(level="L2", bytes_per_s=100e9, spread_share=0.0,
                              capacity_bytes=MIB),
                   MemoryRoof(level="memory", bytes_per_s=10e9, spread_share=0.0)),
        "dispatch_us": 1.0, "profiled_node_us": 3.0,
        "missing": {"fp16": "No kernel here."},
    }  # fmt: skip
    return Peaks(**{**values, **fields})


def node(order: int, op_type: str = "MatMul", *, us: float, **fields: object) -> NodeRow:
    """A node that ran once in each of ten runs, `us` long as the profiler saw it."""
    values: dict[str, object] = {
        "name": f"n{order}", "op_type": op_type, "provider": CPU, "calls": 10, "run_count": 10,
        "total_us": round(us * 10), "self_us": round(us * 10), "p50_us": us, "order": order,
        "input_shapes": "float[100,100] float[100,100]", "output_shapes": "float[100,100]",
    }  # fmt: skip
    return NodeRow(**{**values, **fields})


def profile(*nodes: NodeRow, **fields: object) -> Profile:
    runs = tuple(
        Run(index=i, start_us=i, duration_us=100, node_count=len(nodes), warmup=False)
        for i in range(10)
    )
    return Profile(source="t", runs=runs, nodes=nodes, counted_runs=10, steady_only=True, **fields)


def only(report: RooflineReport) -> NodeRoof:
    (found,) = report.nodes
    return found


# ---- bounds, by hand


def test_arithmetic_holds_a_large_product_back() -> None:
    # 2 MFLOP at 100 GFLOP/s are 20 µs; 120 kB from the cache are 1.2 µs.
    found = only(roofline(profile(node(0, us=42.0)), peaks(), threads=2))
    assert found.bound == "compute"
    assert found.flops == 2 * 100**3
    assert found.time_us == pytest.approx(40.0)  # the profiler's 2 µs are taken off
    assert found.bound_us == pytest.approx(20.0)
    assert found.reached_share == pytest.approx(0.5)
    assert found.gain_us == pytest.approx(20.0)
    assert found.flop_per_s == pytest.approx(50e9)
    assert found.attainable_flop_per_s == pytest.approx(100e9)


def test_memory_holds_an_addition_back_and_the_cache_that_fits_gives_the_roof() -> None:
    small = node(0, "Add", us=52.0, input_shapes="float[50000] float[50000]",
                 output_shapes="float[50000]")  # fmt: skip
    large = node(0, "Add", us=402.0, input_shapes="float[500000] float[500000]",
                 output_shapes="float[500000]")  # fmt: skip
    in_cache = only(roofline(profile(small), peaks()))
    assert (in_cache.bound, in_cache.level) == ("memory", "L2")
    assert in_cache.bound_us == pytest.approx(3 * 200_000 / 100e9 * 1e6)
    outside = only(roofline(profile(large), peaks()))
    assert (outside.bound, outside.level) == ("memory", "memory")
    assert outside.bound_us == pytest.approx(3 * 2_000_000 / 10e9 * 1e6)


def test_weights_come_from_memory_when_all_of_them_together_fit_in_no_cache() -> None:
    one = node(0, us=50.0, input_shapes="float[1,300]", output_shapes="float[1,300]")
    alone = only(roofline(profile(one), peaks()))
    assert alone.weight_bytes == 300 * 300 * 4
    assert alone.level == "L2"
    many = [msgspec.structs.replace(one, order=i) for i in range(4)]
    for found in roofline(profile(*many), peaks()).nodes:
        assert (found.bound, found.level) == ("memory", "memory")
        # 360 kB of weights from memory, and two rows of 1.2 kB from the cache.
        assert found.bound_us == pytest.approx(360_000 / 10e9 * 1e6 + 2_400 / 100e9 * 1e6)


def test_a_node_about_as_short_as_an_empty_one_is_held_back_by_being_a_node() -> None:
    # 240 kB from the cache are 2.4 µs, more than the 1 µs of a node.
    near = node(0, "Add", us=NEAR_DISPATCH * 3.0, input_shapes="float[20000] float[20000]",
                output_shapes="float[20000]")  # fmt: skip
    found = only(roofline(profile(near), peaks()))
    assert (found.bound, found.bound_us) == ("dispatch", pytest.approx(2.4))
    longer = msgspec.structs.replace(near, p50_us=NEAR_DISPATCH * 3.0 + 1)
    assert only(roofline(profile(longer), peaks())).bound == "memory"


def test_a_node_with_nothing_to_do_is_held_back_by_being_a_node_however_long_it_takes() -> None:
    idle = node(0, "Add", us=100.0, input_shapes="float[1] float[1]", output_shapes="float[1]")
    found = only(roofline(profile(idle), peaks()))
    assert (found.bound, found.bound_us) == ("dispatch", 1.0)


def test_int8_is_set_against_its_own_roof() -> None:
    shapes = {"input_shapes": "uint8[100,100] int8[100,100]", "output_shapes": "int32[100,100]"}
    found = only(roofline(profile(node(0, "MatMulInteger", us=22.0, **shapes)), peaks()))
    assert (found.kind, found.bound) == ("int8", "compute")
    assert found.bound_us == pytest.approx(2 * 100**3 / 400e9 * 1e6)


def test_numbers_of_a_type_without_a_roof_are_not_classified() -> None:
    shapes = {"input_shapes": "float16[100,100]", "output_shapes": "float16[100,100]"}
    found = only(roofline(profile(node(0, us=50.0, **shapes)), peaks()))
    assert (found.bound, found.gain_us) == ("unknown", 0.0)
    assert found.flops == 2 * 100**3
    assert "roof" in found.why


def test_calls_of_one_run_add_up() -> None:
    looped = node(0, us=84.0, calls=20, total_us=840, self_us=840)
    found = only(roofline(profile(looped), peaks()))
    assert (found.calls_per_run, found.flops) == (2.0, 2 * 2 * 100**3)
    assert (found.time_us, found.bound_us) == (pytest.approx(80.0), pytest.approx(40.0))


def test_launch_times_are_not_classified() -> None:
    launched = node(0, us=500.0, provider=CUDA)
    report = roofline(profile(launched, async_providers=(CUDA,)), peaks())
    assert (only(report).bound, report.total_gain_us) == ("launch", 0.0)
    assert only(report).flop_per_s is None
    assert charts.drawn(report) == []
    assert [row.share for row in report.bounds] == [None]
    assert any("launch" in text for text in report.caveats)


def test_a_device_is_not_set_against_the_processors_roofs() -> None:
    on_device = node(0, us=500.0, provider=CUDA, device_p50_us=80.0)
    found = only(roofline(profile(on_device, async_providers=(CUDA,)), peaks()))
    # The profiler runs on the host: nothing is taken off from device time.
    assert (found.bound, found.gain_us, found.time_us) == ("unknown", 0.0, pytest.approx(80.0))


@pytest.mark.parametrize("provider", ["", "?", "OpenVINOExecutionProvider"])
def test_what_may_run_elsewhere_is_not_set_against_the_processors_roofs(provider: str) -> None:
    found = only(roofline(profile(node(0, us=42.0, provider=provider)), peaks()))
    assert (found.bound, found.gain_us) == ("unknown", 0.0)
    assert "providers that" in found.why


def test_a_holder_counts_only_the_time_outside_its_body() -> None:
    holder = node(0, "If", us=500.0, self_us=300, self_p50_us=30.0)
    report = roofline(profile(holder), peaks())
    found = only(report)
    assert (found.bound, found.time_us, found.gain_us) == ("unknown", pytest.approx(28.0), 0.0)
    assert report.uncounted_count == 1


# ---- laws


SHAPES = st.sampled_from([
    ("MatMul", "float[8,64] float[64,64]", "float[8,64]"),
    ("Conv", "float[1,8,32,32] float[16,8,3,3]", "float[1,16,30,30]"),
    ("Add", "float[4000] float[4000]", "float[4000]"),
    ("Transpose", "float[300,700]", "float[700,300]"),
    ("Reshape", "float[6] int64[2]", "float[2,3]"),
    ("Somebodys", "float[6]", "float[6]"),
    ("MatMul", "float16[8,64]", "float16[8,64]"),
    ("If", "bool[]", "float[3]"),
    ("Gelu", "what is this", "float[9]"),
])  # fmt: skip
NODES = st.lists(
    st.tuples(SHAPES, st.floats(0, 1e6), st.sampled_from([CPU, CUDA, ""])), max_size=12
)


@given(NODES, st.booleans())
def test_gains_are_within_the_time_and_everything_adds_up(
    rows: list[tuple[tuple[str, str, str], float, str]], foreign: bool
) -> None:
    nodes = [
        node(i, op, us=us, provider=provider, input_shapes=inputs, output_shapes=outputs)
        for i, ((op, inputs, outputs), us, provider) in enumerate(rows)
    ]
    report = roofline(profile(*nodes, async_providers=(CUDA,)), peaks(), foreign=foreign)
    assert len(report.nodes) == len(nodes)
    for found in report.nodes:
        assert 0.0 <= found.gain_us <= found.time_us
        assert found.time_us <= nodes[found.order].p50_us
        if found.bound in ("unknown", "launch"):
            assert (found.gain_us, bool(found.why)) == (0.0, True)
        else:
            assert found.bound_us is not None
            assert found.bound_us >= peaks().dispatch_us
    times = [found.time_us for found in report.nodes]
    assert times == sorted(times, reverse=True)
    assert report.run_us == pytest.approx(sum(times))
    assert report.total_gain_us == pytest.approx(sum(found.gain_us for found in report.nodes))
    assert sum(row.node_count for row in report.bounds) == len(nodes)
    assert sum(row.time_us for row in report.bounds) == pytest.approx(report.run_us)
    gains = [row.gain_us for row in report.worth]
    assert gains == sorted(gains, reverse=True)
    together = [row.gain_us for row in report.alike]
    assert together == sorted(together, reverse=True)
    assert sum(together) <= report.total_gain_us * (1 + 1e-9)
    assert sum(gains) <= sum(together) * (1 + 1e-9)
    assert report.uncounted_count == sum(found.flops is None for found in report.nodes)
    assert any("may come from another" in text for text in report.caveats) == foreign


@given(st.floats(0.1, 10))
def test_a_higher_roof_never_lowers_a_gain(factor: float) -> None:
    rows = [node(0, us=200.0), node(1, "Add", us=50.0)]
    lower = roofline(profile(*rows), peaks())
    raised = tuple(
        msgspec.structs.replace(roof, flop_per_s=roof.flop_per_s * max(factor, 1.0))
        for roof in peaks().compute
    )
    higher = roofline(profile(*rows), peaks(compute=raised))
    assert higher.total_gain_us >= lower.total_gain_us - 1e-9


def test_the_correction_never_takes_more_than_a_node_took() -> None:
    found = only(roofline(profile(node(0, us=1.0)), peaks()))
    assert found.time_us == 1.0


def test_the_part_of_the_profiler_that_the_twin_proves_is_taken_off_where_it_is_more() -> None:
    proven = Correction(basis="measured", per_event_us=6.0, low_us=6.0, high_us=6.0, inside_us=5.0)
    report = roofline(profile(node(0, us=42.0), correction=proven), peaks())
    assert only(report).time_us == pytest.approx(37.0)
    assert any("without it proves" in text for text in report.caveats)


# ---- what is told


def test_roofs_of_a_busy_machine_are_told() -> None:
    rows = profile(node(0, us=42.0))
    assert not any("busy" in text for text in roofline(rows, peaks()).caveats)
    noisy = ComputeRoof(kind="fp32", flop_per_s=1e11, spread_share=0.9, side=512)
    assert any("busy" in text for text in roofline(rows, peaks(compute=(noisy,))).caveats)


def test_the_sentence_has_the_share_reached_and_the_gain_of_the_run() -> None:
    report = roofline(profile(node(0, us=42.0)), peaks())
    (worth,) = report.worth
    assert worth.sentence == (
        "MatMul n0 reaches 50.0\u2009% of the fp32 roof; at the roof the run would be "
        "20.0\u2009µs (50.0\u2009% of the node time) shorter."
    )


def test_layers_that_repeat_are_one_sentence() -> None:
    rows = [node(i, us=42.0) for i in range(3)]
    rows += [node(3, us=50.0, input_shapes="float[50,200]", output_shapes="float[50,200]")]
    report = roofline(profile(*rows), peaks())
    assert len(report.worth) == 4
    first, second = report.alike
    assert (first.node_count, second.node_count) == (3, 1)
    assert first.gain_us == pytest.approx(3 * report.worth[0].gain_us)
    assert first.sentence.startswith("MatMul n0 and 2 alike reach 50.0")


def test_nodes_that_are_not_counted_are_told_with_their_part_of_the_time() -> None:
    rows = [node(0, us=42.0), node(1, "Somebodys", us=122.0)]
    report = roofline(profile(*rows), peaks(), threads=2)
    told = [text for text in report.caveats if "not counted" in text]
    assert told == [
        f"1 node, 75.0\u2009% of the time, is not counted: {node_work.UNKNOWN_OPERATOR}."
    ]


def test_other_threads_than_the_roofs_have_are_told() -> None:
    rows = profile(node(0, us=42.0))
    assert any("does not tell" in text for text in roofline(rows, peaks()).caveats)
    assert any("recorded with 8" in t for t in roofline(rows, peaks(), threads=8).caveats)
    assert not any("thread" in t for t in roofline(rows, peaks(), threads=2).caveats)


def test_better_than_the_roof_is_shown_and_explained_and_gains_nothing() -> None:
    report = roofline(profile(node(0, us=12.0)), peaks())
    assert only(report).reached_share == pytest.approx(2.0)
    assert report.total_gain_us == 0.0
    assert any("better than its roof" in text for text in report.caveats)


def test_a_profile_without_nodes_has_an_empty_report() -> None:
    report = roofline(profile(), peaks())
    assert (report.nodes, report.worth, report.run_us) == ((), (), 0.0)


def test_a_real_recorded_trace_is_counted_whole() -> None:
    found = trace_text.profile(trace_text.recorded("cpu_mlp_24runs"), steady=True)
    report = roofline(found, peaks())
    products = [n for n in report.nodes if n.op_type in ("MatMul", "FusedMatMul", "Gemm")]
    assert products
    assert all(n.flops for n in products)
    assert report.uncounted_count == 0


def test_every_roof_is_named_with_its_figure() -> None:
    told = roofs.facts(peaks())
    assert told["Arithmetic, fp32"].startswith("100\u2009GFLOP/s")
    assert told["Arithmetic, fp16"] == "none: No kernel here."
    assert told["L2 of 1.00\u2009MiB"].startswith("100\u2009GB/s")
    assert told["Memory"].startswith("10.0\u2009GB/s")


# ---- the figure


def drawn(*nodes: NodeRow, selected: int | None = None) -> dict[str, list[object]]:
    """Marks of the figure: name of the trace → what each mark stands for."""
    figure = charts.roofline(roofline(profile(*nodes), peaks()), selected=selected)
    return {trace.name or "ring": list(trace.customdata or ()) for trace in figure.data
            if "markers" in trace.mode}  # fmt: skip


def test_every_bound_has_a_colour_and_a_symbol_of_its_own() -> None:
    known = ("compute", "memory", "dispatch")
    assert len({charts.COLORS[bound] for bound in known}) == 3
    assert len(set(charts.SYMBOLS.values())) == len(charts.SYMBOLS)


def test_marks_stand_for_nodes_and_the_selected_one_is_ringed() -> None:
    rows = [node(0, us=42.0), node(1, "Add", us=100.0), node(2, "Transpose", us=100.0)]
    assert drawn(*rows) == {"compute-bound": [0], "memory-bound": [1]}
    assert drawn(*rows, selected=1) == {"compute-bound": [0], "memory-bound": [1], "ring": []}
    assert "ring" not in drawn(*rows, selected=2)


def test_no_more_marks_than_the_limit_are_drawn_and_those_are_the_costliest() -> None:
    rows = [node(i, us=42.0 + i) for i in range(charts.LIMIT + 20)]
    report = roofline(profile(*rows), peaks())
    shown = charts.drawn(report)
    assert len(shown) == charts.LIMIT
    assert {n.order for n in shown} == set(range(20, charts.LIMIT + 20))
    assert {n.order for n in charts.drawn(report, selected=0)} == {0, *range(20, charts.LIMIT + 20)}


def test_the_roofs_are_drawn_as_high_as_they_are() -> None:
    figure = charts.roofline(roofline(profile(node(0, us=42.0)), peaks()))
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    tops = [max(trace.y) for trace in lines]
    assert tops.count(pytest.approx(100.0)) == 3  # one flat, two slopes that end there
    slopes = {round(y / x) for trace in lines[1:] for x, y in zip(trace.x, trace.y, strict=True)}
    assert slopes == {100, 10}


def test_nothing_countable_gives_a_titled_empty_figure() -> None:
    figure = charts.roofline(roofline(profile(node(0, "Somebodys", us=9.0)), peaks()))
    assert figure.layout.title.text == "Roofline"
    assert not figure.data
