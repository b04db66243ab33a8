"""Names and metadata tell modules; the tree of modules holds every microsecond exactly once."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ortlab.analysis.naming import module_blocks, modules
from ortlab.analysis.naming.module_names import MAX_DEPTH, leaf, module_path, scopes_path, spellings
from ortlab.analysis.profiles import parts
from ortlab.domain.trace import NodeRow, OperatorRow, Profile
from tests import trace_text
from tests.conftest import ROOT

RECORDED = sorted(
    path
    for folder in (trace_text.DATA, ROOT / "sample_models" / "traces")
    for path in folder.glob("*.json")
    if not path.stem.endswith(".placement")
)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def node(name: str, self_us: int = 10, *, op: str = "MatMul", **fields: object) -> NodeRow:
    """A node row with the least that it needs."""
    told = {"provider": CPU, "calls": 1, "total_us": self_us, "p50_us": float(self_us)} | fields
    return NodeRow(name=name, op_type=op, self_us=self_us, **told)  # type: ignore[arg-type]


def profile(*nodes: NodeRow, **fields: object) -> Profile:
    """A profile of these nodes, numbered as they come."""
    numbered = tuple(modified(n, order=i) for i, n in enumerate(nodes))
    return Profile(source="test", nodes=numbered, **fields)  # type: ignore[arg-type]


def modified(row: NodeRow, **fields: object) -> NodeRow:
    """The row with other fields."""
    return NodeRow(**({f: getattr(row, f) for f in row.__struct_fields__} | fields))


def encoder(layers: int = 3) -> Profile:
    """Layers with an attention that costs twice its output, and a head."""
    rows = []
    for i in range(layers):
        at = f"/encoder/layer.{i}"
        rows += [node(f"{at}/attention/self/MatMul", 20), node(f"{at}/output/dense/MatMul", 10)]
    return profile(*rows, node("/head/Gemm", 5, op="Gemm"))


@pytest.mark.parametrize(
    ("name", "path", "last"),
    [
        ("/encoder/layer.0/attention/self/MatMul", "encoder/layer.0/attention/self", "MatMul"),
        ("/7/body/body.0/body.0.0/Conv", "7/body/0/0", "Conv"),
        ("model/block1/conv/Conv2D", "model/block1/conv", "Conv2D"),
        ("StatefulPartitionedCall/model/block1/conv/Conv2D__45", "model/block1/conv", "Conv2D__45"),
        ("/a/b/MatMul/MatMulAddFusion", "a/b", "MatMul"),
        ("/a/self/MatMul/MatMulScaleFusion/", "a/self", "MatMul"),
        ("/4/body/body.2/Relu_output_0_nchwc", "4/body/2", "Relu_output_0_nchwc"),
        ("/4/Add_output_0_DequantizeLinear", "4", "Add_output_0_DequantizeLinear"),
        ("/1/Conv_token_5", "1", "Conv_token_5"),
        ("/1/Conv_quant", "1", "Conv_quant"),
        ("fused /stem/Conv", "stem", "Conv"),
        ("InsertedPrecisionFreeCast_/encoder/l.0/MatMul", "encoder/l.0", "MatMul"),
        ("ConvBnFusion_W_b2/c1_w_DequantizeLinear", "b2", "c1_w_DequantizeLinear"),
        ("encoder.layer.3.dense.weight_DequantizeLinear", "encoder/layer.3/dense",
         "weight_DequantizeLinear"),
        ("_inlfunc_MyMLP_token_0_f_mm1", "MyMLP_token_0", "f_mm1"),
        ("node_MatMul_12", "", "node_MatMul_12"),
        ("val_3", "", "val_3"),
        ("Gelu_12", "", "Gelu_12"),
        ("BiasGelu_token_4", "", "BiasGelu_token_4"),
        ("onnx::Conv_101_DequantizeLinear", "", "onnx::Conv_101_DequantizeLinear"),
        ("OpenVINOExecutionProvider_OpenVINOExecutionProvider_502_0_0", "",
         "OpenVINOExecutionProvider_OpenVINOExecutionProvider_502_0_0"),
        ("/Softmax", "", "Softmax"),
        ("", "", ""),
        ("///", "", "///"),
        ("/ /", "", "/ /"),
    ],
)  # fmt: skip
def test_a_name_tells_the_modules_around_its_node(name: str, path: str, last: str) -> None:
    assert "/".join(module_path(name)) == path
    assert leaf(name) == last


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("['', 'model', 'model.h.3', 'model.h.3.mlp', 'view_43']", "model/h.3/mlp"),
        ("['', 'network', 'network.0', 'linear']", "network/0"),
        ("['', 'layers.0']", "layers.0"),
        ("['', 'view']", ""),
        (": a.Only/model: b.GPT2/model.lm_head: torch.nn.Linear/linear: aten.linear.default",
         "model/lm_head"),
        ("[", ""),
        ("[1, ['x']]", ""),
        ("['a', 'b'" * 5000, ""),
    ],
)  # fmt: skip
def test_metadata_tells_the_path_without_repeating_what_is_nested(text: str, path: str) -> None:
    assert "/".join(scopes_path(text)) == path


def test_metadata_goes_before_the_name() -> None:
    assert module_path("/a/b/MatMul", "['', 'x', 'x.y', 'linear']") == ("x", "y")
    assert module_path("/a/b/MatMul", "['', 'linear']") == ("a", "b")


@settings(deadline=None)
@given(st.text(max_size=200), st.none() | st.text(max_size=200))
def test_any_name_gives_a_path_that_a_link_can_hold(name: str, metadata: str | None) -> None:
    path = module_path(name, metadata)
    assert len(path) <= MAX_DEPTH
    assert all(part and "/" not in part for part in path)
    assert tuple("/".join(path).split("/")) == (path or ("",))
    assert next(spellings(name)) == name


def test_a_name_with_a_million_slashes_is_soon_read() -> None:
    assert len(module_path("/a" * 1_000_000)) <= MAX_DEPTH
    assert len(module_path("Fusion" * 200_000)) == 0


names = st.sampled_from(
    ["/a/MatMul", "/a/b/Add", "/a/b/c/Mul", "/d.0/x/Relu", "/d.1/x/Relu", "/e", "Gelu_1", "",
     "BiasGelu_token_2", "f/g/Conv2D", "val_1", "_inlfunc_F_token_0_n", "_inlfunc_F_n"]
)  # fmt: skip
rows = st.lists(
    st.tuples(names, st.integers(0, 10**6), st.sampled_from(["", "/a/MatMul", "/d.0/x/Relu", "?"])),
    max_size=40,
)


@settings(deadline=None)
@given(rows)
def test_the_self_time_of_all_nodes_is_that_of_the_tree_and_of_every_level_of_it(
    given_rows: list[tuple[str, int, str]],
) -> None:
    shown = profile(*(node(name, us, scope=scope) for name, us, scope in given_rows))
    found = modules.tree(shown)
    assert found.root.total_us == sum(n.self_us for n in shown.nodes)
    assert sorted(modules.members(found.root)) == [n.order for n in shown.nodes]

    def holds(module: modules.Module) -> None:
        assert module.total_us == module.self_us + sum(m.total_us for m in module.children)
        assert module.node_count == len(list(modules.members(module)))
        for inner in module.children:
            assert inner.path[:-1] == module.path
            holds(inner)

    holds(found.root)


@settings(deadline=None)
@given(rows, st.integers(1, 30))
def test_blocks_below_a_block_are_together_as_wide_and_never_more_than_asked_for(
    given_rows: list[tuple[str, int, str]], limit: int
) -> None:
    shown = profile(*(node(name, us, scope=scope) for name, us, scope in given_rows))
    found = modules.tree(shown)
    blocks = module_blocks.blocks(found, shown, found.root, limit=limit)
    assert len(blocks) <= limit
    for upper in (b for b in blocks if b.kind == "module"):
        below = [b for b in blocks[1:] if lies_in(b) == upper.path]
        if below:
            assert sum(b.width_us for b in below) == upper.width_us
            assert below[0].start_us == upper.start_us
        for left, right in pairwise(below):
            assert left.start_us + left.width_us == right.start_us


def lies_in(block: module_blocks.Block) -> tuple[str, ...]:
    """The module that a block lies in."""
    return block.path[:-1] if block.kind == "module" else block.path


@pytest.mark.parametrize("name", RECORDED, ids=lambda path: path.stem)
def test_recorded_time_is_the_same_by_event_operator_provider_node_and_module(name: Path) -> None:
    shown = trace_text.profile(name.read_bytes())
    found = modules.tree(shown)
    by_node = sum(n.self_us for n in shown.nodes)
    assert found.root.total_us == by_node == sum(o.self_us for o in shown.operators)
    assert by_node == sum(p.self_us for p in shown.providers)
    assert by_node == sum(s.self_us for s in shown.shapes)
    # Each node lies in one module, and the modules a node lies in hold its time.
    for order, path in found.path_of.items():
        module = modules.find(found, path)
        assert module is not None
        assert order in module.nodes


def test_layers_that_are_built_alike_are_one_stack_and_the_answer_names_the_costliest_part() -> (
    None
):
    found = modules.tree(encoder(12))
    stack = found.stacks[0]
    assert ("/".join(stack.parent), stack.stem, len(stack.members)) == ("encoder", "layer", 12)
    assert stack.share == pytest.approx(12 * 30 / (12 * 30 + 5))
    answer = modules.headline(found)
    assert answer is not None
    assert answer.stack == stack
    assert answer.module.path[:1] + answer.module.path[2:] == ("encoder", "attention")


def test_numbered_modules_that_differ_are_no_stack() -> None:
    shown = profile(
        node("/0/conv/Conv", op="Conv"), node("/0/norm/Bn", op="BatchNormalization"),
        node("/1/Flatten", op="Flatten"), node("/2/lstm/LSTM", op="LSTM"),
    )  # fmt: skip
    assert modules.tree(shown).stacks == ()


def test_a_fused_node_without_a_path_lies_where_its_neighbours_lie_both() -> None:
    shown = profile(
        node("/e/layer.0/in/MatMul"), node("BiasGelu_token_4"), node("/e/layer.0/out/MatMul"),
        node("ReorderOutput"), node("/e/layer.1/in/MatMul"),
    )  # fmt: skip
    found = modules.tree(shown)
    assert found.path_of[1] == ("e", "layer.0")
    assert found.path_of[3] == ("e",)
    assert found.placed_by_order == (1, 3)


def test_a_node_named_at_the_root_stays_there() -> None:
    found = modules.tree(profile(node("/e/a/MatMul"), node("/Softmax"), node("/e/a/Add")))
    assert found.path_of[1] == ()
    assert found.placed_by_order == ()


def test_bodies_lie_inside_the_node_that_runs_them() -> None:
    loop = node("/dec/Loop", 5, op="Loop")
    branch = node("/dec/If", 3, op="If", scope="/dec/Loop")
    inner = node("/dec/step/MatMul", 7, scope="/dec/Loop//dec/If")
    found = modules.tree(profile(loop, branch, inner, node("/x/Add", 1)))
    assert found.path_of[2] == ("dec", "Loop", "If", "step")
    around = modules.find(found, ("dec", "Loop"))
    assert around is not None
    assert around.total_us == 15
    assert around.self_us == 5


def test_scopes_that_point_at_each_other_end() -> None:
    first = node("a", scope="b/a")
    second = node("a", scope="a")
    found = modules.tree(profile(first, second, node("/m/x")))
    assert found.root.total_us == 30


def test_names_without_modules_are_grouped_by_provider_and_operator_and_that_is_said() -> None:
    shown = profile(node("MatMul_0"), node("Relu_1", op="Relu"), node("mm", provider=CUDA))
    found = modules.tree(shown)
    assert found.grouped_by == "operator"
    assert found.path_of == {0: (CPU, "MatMul"), 1: (CPU, "Relu"), 2: (CUDA, "MatMul")}
    assert modules.headline(found) is None


def test_what_the_model_tells_goes_before_the_names_of_the_profile() -> None:
    scopes = {"node_linear": ("h.0", "mlp"), "hidden": ("h.1",), "node_add": ()}
    shown = profile(
        node("node_linear/MatMulAddFusion"), node("hidden_nchwc"), node("node_add_token_3"),
    )  # fmt: skip
    found = modules.tree(shown, scopes)
    assert found.grouped_by == "module"
    assert found.path_of == {0: ("h.0", "mlp"), 1: ("h.1",), 2: ()}


def test_the_first_call_of_a_function_is_known_by_its_second() -> None:
    shown = profile(node("_inlfunc_My_MLP_n"), node("_inlfunc_My_MLP_token_0_n"))
    assert modules.tree(shown).path_of == {0: ("My_MLP",), 1: ("My_MLP_token_0",)}


def test_device_time_is_counted_where_it_is_asked_for() -> None:
    shown = profile(node("/a/MatMul", 3, time_kind="device", device_us=50), node("/b/Add", 10))
    assert modules.tree(shown).root.total_us == 13
    counted = modules.tree(shown, device=True)
    assert [m.total_us for m in counted.root.children] == [50, 10]


def test_running_shares_add_up_in_the_order_shown() -> None:
    shuffled = [10, 30, 40, 20]
    random.Random(0).shuffle(shuffled)
    operators = tuple(operator(f"op{us}", us, us / 100) for us in shuffled)
    found = parts.by_operator(Profile(source="test", operators=operators))
    assert [p.self_us for p in found] == [40, 30, 20, 10]
    assert [p.cumulative_share for p in found] == pytest.approx([0.4, 0.7, 0.9, 1.0])


def test_a_launch_has_no_share_and_adds_nothing_to_the_running_share() -> None:
    launch = operator("Conv", 500, None, provider=CUDA, time_kind="launch")
    shown = Profile(source="test", operators=(launch, operator("Add", 10, 1.0)))
    found = parts.by_operator(shown)
    assert [(p.op_type, p.share, p.cumulative_share) for p in found] == [
        ("Conv", None, None),
        ("Add", 1.0, 1.0),
    ]
    assert found[0].doubt == "launch"
    assert not parts.claims_shares(shown)
    assert parts.not_work(shown) == (CUDA,)


def operator(op_type: str, us: int, share: float | None, **fields: object) -> OperatorRow:
    """An operator row with the least that it needs."""
    told = {"provider": CPU, "calls": 1, "total_us": us} | fields
    return OperatorRow(op_type=op_type, self_us=us, share=share, **told)  # type: ignore[arg-type]


def test_the_parts_of_a_module_hold_all_of_its_time() -> None:
    found = modules.tree(profile(*encoder().nodes, node("/encoder/Add", 7)))
    inside = modules.find(found, ("encoder",))
    assert inside is not None
    told = parts.by_module(inside, claimed=True)
    assert sum(p.self_us for p in told) == inside.total_us
    assert sum(p.share or 0 for p in told) == pytest.approx(inside.share)
    assert told[-1].name == "in the module itself"
    assert all(p.share is None for p in parts.by_module(inside, claimed=False))


def test_a_wait_counts_only_where_nothing_tells_what_was_waited_for() -> None:
    wait = node("/b/Memcpy", 900, time_kind="wait")
    launch = node("/a/MatMul", 3, time_kind="launch")
    known = node("/a/MatMul", 3, time_kind="device", device_us=50)
    assert modules.tree(profile(wait, launch), device=True).root.total_us == 903
    assert modules.tree(profile(wait, known), device=True).root.total_us == 50


def test_device_times_come_first_and_waits_for_them_last() -> None:
    rows = (
        operator("MemcpyToHost", 900, None, provider=CUDA, time_kind="wait"),
        operator("Conv", 3, 0.8, provider=CUDA, time_kind="device", device_us=800),
        operator("Shape", 200, 0.2),
    )
    shown = Profile(source="test", operators=rows)
    assert [p.op_type for p in parts.by_operator(shown)] == ["Conv", "Shape", "MemcpyToHost"]
    assert parts.claims_shares(shown)
