"""Two profiles against each other: who is whose counterpart, what adds up, what may be said."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.comparing.compare import compare
from ortlab.analysis.comparing.compare_blocks import MAX_BLOCKS, blocks
from ortlab.analysis.comparing.compare_verdicts import Spread, floor_share, judge, spread
from ortlab.domain.compare import Difference, Origin
from ortlab.domain.trace import NodeRow, Profile, Trust
from tests.compared import CUDA, PROFILES, RUNS, node, profile


def matches(found: Difference) -> dict[str, tuple[str, str]]:
    """Name in `base` → name in `other`, and what the pair was found by."""
    return {n.name: (n.other_name, n.match) for n in found.nodes}


# Who is whose counterpart


def test_a_node_is_found_by_its_name_wherever_it_is_executed() -> None:
    found = compare(profile(node("a"), node("b")), profile(node("b"), node("a")))
    assert matches(found) == {"a": ("a", "name"), "b": ("b", "name")}
    assert not found.added
    assert not found.removed


def test_equal_names_of_different_operators_stay_apart() -> None:
    both = [node("same", "MatMul", scope="if"), node("same", "Add", scope="if")]
    found = compare(profile(*both), profile(*reversed(both)))
    assert {(n.op_type, n.other_op_type) for n in found.nodes} == {
        ("MatMul", "MatMul"), ("Add", "Add"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("base", "other"),
    [
        (node("/stem/Conv", "Conv"), node("/stem/Conv_token_46", "QLinearConv")),
        (node("/pool/MaxPool", "MaxPool"), node("/pool/MaxPool_token_59", "NhwcMaxPool")),
        (node("/fc/Gemm", "Gemm"), node("/fc/Gemm", "QGemm")),
        (node("/conv1/Conv", "Conv"), node("/conv1/Conv_output_0_nchwc", "Conv")),
        (node("/q/MatMul", "MatMul"), node("/q/MatMul/MatMulAddFusion", "Gemm")),
        (node("/b/MatMul", "MatMul"), node("/b/MatMul_quant", "MatMulIntegerToFloat")),
        (node("fused /stem/Conv", "FusedConv"), node("/stem/Conv", "Conv")),
    ],
    ids=lambda row: row.name,
)
def test_what_onnx_runtime_adds_to_a_name_does_not_hide_it(base: NodeRow, other: NodeRow) -> None:
    other = NodeRow(**{
        **{f: getattr(other, f) for f in other.__struct_fields__}, "output_shapes": "uint8[7,7]"
    })  # fmt: skip
    found = compare(profile(base), profile(other))
    assert matches(found) == {base.name: (other.name, "canonical name")}


def test_compiled_parts_are_matched_by_provider_and_number_not_by_their_hash() -> None:
    def parts(model_hash: str) -> list[NodeRow]:
        ep = "OpenVINOExecutionProvider"
        return [
            node(f"{ep}_{ep}_{model_hash}_{k}_{k}", f"{ep}_{model_hash}_{k}", provider=ep)
            for k in range(2)
        ]

    found = compare(profile(*parts("5028285756492839058")), profile(*parts("11998340783093340097")))
    assert [(n.name[-3:], n.other_name[-3:]) for n in sorted(found.nodes, key=lambda n: n.order)] \
        == [("0_0", "0_0"), ("1_1", "1_1")]  # fmt: skip


def test_a_surplus_node_shifts_nobody() -> None:
    chain = [node(f"left_{i}", "Conv", 100 + i) for i in range(6)]
    others = [node(f"right_{i}", "Conv", 100 + i) for i in range(6)]
    surplus = node("surplus", "Conv", output_shapes="float[3,3]")
    found = compare(profile(*chain), profile(*others[:2], surplus, *others[2:]))
    expected = {f"left_{i}": (f"right_{i}", "op and shapes") for i in range(6)}
    assert matches(found) == expected
    assert [n.name for n in found.added] == ["surplus"]


def test_a_fused_node_is_the_counterpart_of_its_work_not_of_its_name() -> None:
    """ONNX Runtime calls a Conv with a Relu in it after what the Relu wrote."""
    found = compare(
        profile(node("/1/Conv", "Conv", 90.0), node("/2/Relu", "Relu", 4.0)),
        profile(node("/2/Relu_output_0_nchwc", "Conv", 60.0)),
    )
    assert matches(found) == {"/1/Conv": ("/2/Relu_output_0_nchwc", "op and shapes")}
    assert [n.name for n in found.removed] == ["/2/Relu"]
    assert [(g.kind, g.removed) for g in found.groups] == [("folded", ("/2/Relu",))]
    assert (found.groups[0].base_us, found.groups[0].other_us) == (94.0, 60.0)


def test_nodes_of_other_shapes_are_no_pair() -> None:
    found = compare(
        profile(node("a", output_shapes="float[2,3]")),
        profile(node("b", output_shapes="float[9,9]")),
    )
    assert not found.nodes


def test_a_layout_change_permutes_sizes_and_hides_nothing() -> None:
    found = compare(
        profile(node("a", "Conv", output_shapes="float[1,64,56,56]")),
        profile(node("b", "NhwcConv", output_shapes="uint8[1,56,56,64]")),
    )
    assert matches(found) == {"a": ("b", "op and shapes")}


def test_without_shapes_operator_and_order_are_told_as_the_reason() -> None:
    bare = {"input_shapes": "", "output_shapes": ""}
    found = compare(profile(node("a", **bare)), profile(node("b", **bare)))
    assert matches(found) == {"a": ("b", "op and order")}


def test_an_index_is_no_name_in_another_graph() -> None:
    """Unnamed nodes are called by their index, which a node before them moves on."""
    ops = ["Conv", "Relu"] * 5
    base = [node(f"{op}_{i}", op, 10 + i, node_index=i) for i, op in enumerate(ops)]
    moved = [node(f"{op}_{i + 2}", op, 10 + i, node_index=i + 2) for i, op in enumerate(ops)]
    head = [node("x_0", "Cast", node_index=0), node("x_1", "Cast", node_index=1)]
    found = compare(profile(*base), profile(*head, *moved))
    assert {n.order: n.other_order for n in found.nodes} == {i: i + 2 for i in range(10)}
    assert {n.match for n in found.nodes} == {"op and shapes"}


def test_an_index_is_a_name_where_all_of_them_agree() -> None:
    nodes = [node(f"Conv_{i}", "Conv", node_index=i) for i in range(6)]
    found = compare(profile(*nodes), profile(*nodes[:2], *nodes[3:]))
    assert {n.match for n in found.nodes} == {"name"}
    assert [n.name for n in found.removed] == ["Conv_2"]


def test_a_node_inside_a_loop_is_no_node_outside_of_it() -> None:
    found = compare(profile(node("x_7", scope="loop")), profile(node("y_9")))
    assert not found.nodes


# What adds up


@settings(max_examples=120, deadline=None)
@given(base=PROFILES, other=PROFILES)
def test_every_node_is_told_once_and_differences_add_up(base: Profile, other: Profile) -> None:
    found = compare(base, other)
    in_base = [n.order for n in found.nodes] + [n.order for n in found.removed]
    in_other = [n.other_order for n in found.nodes] + [n.order for n in found.added]
    assert sorted(in_base) == list(range(len(base.nodes)))
    assert sorted(in_other) == list(range(len(other.nodes)))
    change = sum(n.delta_us for n in found.nodes)
    change += sum(n.us for n in found.added) - sum(n.us for n in found.removed)
    assert close(found.base.node_us + change, found.other.node_us, found)
    for rows in (found.operators, found.providers, found.modules):
        assert close(sum(r.base_us for r in rows), found.base.node_us, found)
        assert close(sum(r.other_us for r in rows), found.other.node_us, found)
        assert close(sum(r.delta_us for r in rows), change, found)


@settings(max_examples=60, deadline=None)
@given(base=PROFILES, other=PROFILES)
def test_blocks_lie_in_the_block_above_and_are_few(base: Profile, other: Profile) -> None:
    drawn = blocks(compare(base, other))
    assert len(drawn) <= MAX_BLOCKS
    for block in drawn[1:]:
        above = [
            b for b in drawn
            if b.depth == block.depth - 1 and b.start_us <= block.start_us * (1 + 1e-9) + 1e-9
            and block.start_us + block.width_us <= (b.start_us + b.width_us) * (1 + 1e-9) + 1e-9
        ]  # fmt: skip
        assert above, block


def close(one: float, other: float, found: Difference) -> bool:
    """Equal but for the last bits of a sum of floating-point numbers."""
    scale = found.base.node_us + found.other.node_us
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9 * scale)


@settings(max_examples=60, deadline=None)
@given(one=PROFILES)
def test_a_profile_does_not_differ_from_itself(one: Profile) -> None:
    found = compare(one, one)
    assert not found.added
    assert not found.removed
    assert {n.verdict for n in found.nodes} <= {"same", "cannot tell"}
    assert found.run.verdict in ("same", "cannot tell")


def test_one_disturbed_run_moves_no_sum() -> None:
    calm = node("a", us=100.0)
    disturbed = node("a", us=100.0, total_us=100 * RUNS + 50_000, self_us=100 * RUNS + 50_000)
    found = compare(profile(calm), profile(disturbed))
    assert found.nodes[0].delta_us == 0.0


def test_a_node_that_runs_may_skip_counts_in_part() -> None:
    found = compare(profile(node("a", us=100.0)), profile(node("a", us=100.0, runs=RUNS // 2)))
    assert found.nodes[0].delta_us == pytest.approx(-50.0)


# What may be said


def spread_of(p50_us: float, *, half: float = 0.02, runs: int = 50) -> Spread:
    return Spread(p50_us, (p50_us * (1 - half), p50_us * (1 + half)), runs)


@pytest.mark.parametrize(
    ("base", "other", "verdict"),
    [
        (spread_of(1000), spread_of(500), "faster"),
        (spread_of(500), spread_of(1000), "slower"),
        (spread_of(1000), spread_of(1005, half=0.01), "same"),
        (spread_of(1000), spread_of(1060), "cannot tell"),
        (spread_of(1000, half=0.4), spread_of(800, half=0.4), "cannot tell"),
        (spread_of(3), spread_of(2), "cannot tell"),
        (Spread(1000), Spread(100), "cannot tell"),
        (Spread(0.0), spread_of(100), "cannot tell"),
        (spread_of(1e-320), spread_of(1e9), "cannot tell"),
    ],
)
def test_a_verdict_needs_an_interval_beyond_the_floor(
    base: Spread, other: Spread, verdict: str
) -> None:
    assert judge(base, other, floor=0.1).verdict == verdict


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_from_the_other_side_the_ratio_turns_over(
    one: float, two: float, half_one: float, half_two: float
) -> None:
    first, second = spread_of(one, half=half_one), spread_of(two, half=half_two)
    there, back = judge(first, second, floor=0.1), judge(second, first, floor=0.1)
    assert there.ci95 is not None
    assert back.ci95 is not None
    assert there.ci95[0] <= (there.ratio or 0) * (1 + 1e-9)
    assert (there.ratio or 0) <= there.ci95[1] * (1 + 1e-9)
    assert there.ci95[0] == pytest.approx(1 / back.ci95[1])
    turned = {"faster": "slower", "slower": "faster"}
    assert back.verdict == turned.get(there.verdict, there.verdict)


@pytest.mark.parametrize(("runs", "verdict"), [(3, "cannot tell"), (4, "faster")])
def test_few_runs_are_judged_by_whether_they_overlap(runs: int, verdict: str) -> None:
    """Of three and three, one order in ten keeps them apart by chance."""
    base = Spread(200, None, runs, 190, 210)
    other = Spread(100, None, runs, 90, 110)
    assert judge(base, other, floor=0.05).verdict == verdict


def test_what_all_nodes_share_may_be_the_machine() -> None:
    base = profile(*(node(f"n{i}", us=100 + i) for i in range(8)))
    slower = [node(f"n{i}", us=(100 + i) * 1.2) for i in range(7)] + [node("n7", us=214.0)]
    found = compare(base, profile(*slower))
    assert found.shift is not None
    assert found.shift.ratio == pytest.approx(1 / 1.2)
    verdicts = {n.name: n.verdict for n in found.nodes}
    assert verdicts.pop("n7") == "slower"
    assert set(verdicts.values()) == {"cannot tell"}
    assert "common_shift" in {c.code for c in found.caveats}


def test_a_shift_that_no_machine_makes_is_a_difference() -> None:
    base = profile(*(node(f"n{i}", us=200 + i) for i in range(8)))
    found = compare(base, profile(*(node(f"n{i}", us=(200 + i) / 2) for i in range(8))))
    assert {n.verdict for n in found.nodes} == {"faster"}


def test_restless_recordings_raise_the_floor() -> None:
    calm, restless = [1000] * 20, [800, 1300] * 10
    drifting = [1000] * 10 + [1400] * 10
    assert floor_share(calm, calm) == 0.05
    assert floor_share(calm, restless) > 0.4
    assert floor_share(calm, drifting) == pytest.approx(0.4)


def test_restless_nodes_raise_the_floor_of_nodes() -> None:
    calm = [node(f"n{i}", us=100.0) for i in range(5)]
    restless = [node(f"n{i}", us=100.0, p25_us=80.0, p75_us=130.0) for i in range(5)]
    assert compare(profile(*calm), profile(*calm)).floor_share == 0.05
    assert compare(profile(*calm), profile(*restless)).floor_share == pytest.approx(0.52)
    # One restless node among many calm ones of the same length is its own affair.
    assert compare(profile(*calm), profile(*calm[1:], restless[0])).floor_share == 0.05


def test_the_median_of_runs_has_the_interval_of_order_statistics() -> None:
    found = spread(list(range(1, 101)))
    assert found.p50_us == 50
    assert found.ci95_us is not None
    # Binomial(100, 1/2): the 40th and the 61st of 100 enclose the median with 95 %.
    assert found.ci95_us[0] == pytest.approx(40, abs=1)
    assert found.ci95_us[1] == pytest.approx(61, abs=1)


def test_launch_times_are_shown_and_never_ranked() -> None:
    base = profile(node("a", provider=CUDA, us=10.0), async_providers=(CUDA,))
    found = compare(base, profile(node("a", us=5000.0)))
    (pair,) = found.nodes
    assert (pair.time_kind, pair.ratio, pair.verdict) == ("launch", None, "cannot tell")
    assert "launch_times" in {c.code for c in found.caveats}


def test_a_loop_around_launches_waits_for_them() -> None:
    nodes = [node("loop", "Loop", 900.0), node("x", provider=CUDA, scope="loop")]
    found = compare(profile(*nodes, async_providers=(CUDA,)), profile(*nodes))
    assert {n.name: n.time_kind for n in found.nodes} == {"loop": "wait", "x": "launch"}


def test_device_times_are_compared_where_both_have_them() -> None:
    def side(us: int) -> Profile:
        row = node("a", provider=CUDA, device_us=us * RUNS, device_p50_us=float(us))
        return profile(row, async_providers=(CUDA,))

    (pair,) = compare(side(400), side(200)).nodes
    assert (pair.time_kind, pair.ratio) == ("device", 2.0)
    assert (pair.base_device_us, pair.other_device_us) == (400.0, 200.0)
    assert pair.delta_us == -200.0


def test_doubts_name_what_is_not_the_same() -> None:
    origins = (
        Origin(kind="study", id="s1", machine_id="m1", onnxruntime_version="1.27.0", model_id="x"),
        Origin(kind="study", id="s2", machine_id="m2", onnxruntime_version="1.31.1", model_id="y"),
    )
    short = profile(node("a", runs=2), durations=(1000, 1000), trust=Trust("D"))
    found = compare(profile(node("a")), short, origins=origins)
    assert {c.code for c in found.caveats} >= {
        "different_machine", "different_ort", "different_model", "few_runs", "weak_trust",
        "not_interleaved",
    }  # fmt: skip


def test_a_format_that_fits_a_version_is_no_other_version() -> None:
    study = Origin(kind="study", id="s1", onnxruntime_version="1.31.1")
    row = profile(node("a"), ort_version="1.28 or newer")
    found = compare(row, row, origins=(study, Origin(id="t")))
    assert "different_ort" not in {c.code for c in found.caveats}
    older = profile(node("a"), ort_version="1.14 to 1.20")
    found = compare(row, older, origins=(study, Origin(id="t")))
    assert "different_ort" in {c.code for c in found.caveats}


def test_a_trace_without_runs_is_compared_and_told() -> None:
    bare = profile(node("a"), durations=())
    found = compare(bare, profile(node("a")))
    assert found.run.ratio is None
    assert found.base.run_p50_us is None
    assert "no_runs" in {c.code for c in found.caveats}
