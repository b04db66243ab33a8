"""FLOPs and bytes of one call, counted by hand here and from a trace's shapes there."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortlab.analysis.rooflines import node_work
from ortlab.analysis.rooflines.node_work import Tensor, Work
from ortlab.catalog import flops, operators
from ortlab.domain.trace import NodeRow

CPU = "CPUExecutionProvider"
SIZE = st.integers(1, 40)


def shown(*tensors: tuple[str, tuple[int, ...]]) -> str:
    return " ".join(f"{dtype}[{','.join(map(str, dims))}]" for dtype, dims in tensors)


def floats(*shapes: tuple[int, ...], dtype: str = "float") -> str:
    return shown(*((dtype, dims) for dims in shapes))


def row(op_type: str, inputs: str, outputs: str, **fields: int | None) -> NodeRow:
    return NodeRow(
        name="n", op_type=op_type, provider=CPU, calls=1, total_us=1, self_us=1, p50_us=1.0,
        input_shapes=inputs, output_shapes=outputs, **fields,
    )  # fmt: skip


def work(op_type: str, inputs: str, outputs: str, **fields: int | None) -> Work:
    return node_work.work(row(op_type, inputs, outputs, **fields))


# ---- products


def test_a_product_counts_two_for_each_multiply_add() -> None:
    # By hand: every element of the output is a sum of three products.
    steps = sum(2 for _ in range(2) for _ in range(5) for _ in range(3))
    assert work("MatMul", floats((2, 3), (3, 5)), floats((2, 5))).flops == steps


@given(rows=SIZE, inner=SIZE, columns=SIZE, batch=st.lists(SIZE, max_size=2), flip=st.booleans())
def test_a_product_is_counted_with_and_without_its_weight_and_however_it_is_turned(
    rows: int, inner: int, columns: int, batch: list[int], flip: bool
) -> None:
    left = (*batch, inner, rows) if flip else (*batch, rows, inner)
    output = floats((*batch, rows, columns))
    wanted = 2 * prod(batch) * rows * columns * inner
    for right in ((inner, columns), (columns, inner)):
        assert work("FusedMatMul", floats(left, right), output).flops == wanted
    assert work("MatMul", floats(left), output).flops == wanted


def test_a_weight_that_the_trace_leaves_out_is_still_read() -> None:
    found = work("MatMul", floats((1, 128, 768)), floats((1, 128, 3072)))
    assert found.weight_bytes == 768 * 3072 * 4
    assert found.data_bytes == 4 * (128 * 768 + 128 * 3072)


def test_a_weight_that_the_trace_shows_is_not_read_twice() -> None:
    inputs = floats((4, 8), (8, 16))
    found = work("MatMul", inputs, floats((4, 16)), parameter_bytes=8 * 16 * 4)
    assert found.bytes == 4 * (4 * 8 + 8 * 16 + 4 * 16)
    assert found.weight_bytes == 8 * 16 * 4


@pytest.mark.parametrize("bias", [(7,), (1, 7), (3, 7), ()])
def test_the_bias_of_a_gemm_is_not_taken_for_its_weight(bias: tuple[int, ...]) -> None:
    found = work("Gemm", floats((3, 11), bias), floats((3, 7)))
    assert found.flops == 2 * 3 * 7 * 11
    assert found.weight_bytes == 11 * 7 * 4


def test_a_vector_on_either_side_of_a_product_is_counted() -> None:
    assert work("MatMul", floats((6,), (6, 4)), floats((4,))).flops == 2 * 6 * 4
    assert work("MatMul", floats((2, 5, 6), (6,)), floats((2, 5))).flops == 2 * 2 * 5 * 6


def test_shapes_that_do_not_fit_together_are_not_counted() -> None:
    found = work("MatMul", floats((3, 5), (4, 7)), floats((3, 7)))
    assert found.flops is None
    assert found.why == node_work.UNFIT


@pytest.mark.parametrize(
    ("op_type", "inputs", "kind", "weight_bytes"),
    [
        ("MatMulInteger", [("uint8", (2, 8)), ("int8", (8, 4))], "int8", 0),
        ("MatMulInteger", [("uint8", (2, 8)), ("uint8", ())], "int8", 32),
        ("DynamicQuantizeMatMul", [("float", (2, 8)), ("float", (1,))], "int8", 32),
        ("QGemm", [("uint8", (2, 8)), ("float", ()), ("uint8", ()), ("float", ())], "int8", 32),
        ("MatMulNBits", [("float", (2, 8)), ("float", (4, 1))], "fp32", 16),
        ("MatMul", [("float16", (2, 8))], "fp16", 64),
        ("MatMul", [("double", (2, 8))], None, 256),
    ],
)
def test_the_number_type_decides_the_roof_and_the_size_of_the_weight(
    op_type: str, inputs: list[tuple[str, tuple[int, ...]]], kind: str | None, weight_bytes: int
) -> None:
    found = work(op_type, shown(*inputs), shown((inputs[0][0], (2, 4))))
    assert (found.flops, found.kind, found.weight_bytes) == (2 * 2 * 4 * 8, kind, weight_bytes)


# ---- convolutions, cells, attention


@given(group=st.integers(1, 4), inside=st.integers(1, 4), outside=st.integers(1, 4))
def test_a_grouped_convolution_sums_over_the_channels_of_its_group(
    group: int, inside: int, outside: int
) -> None:
    weight = (group * outside, inside, 3, 3)
    shapes = floats((1, group * inside, 9, 9), weight, (group * outside,))
    output = (1, group * outside, 7, 7)
    wanted = 2 * prod(output) * inside * 9
    assert work("Conv", shapes, floats(output)).flops == wanted


def test_a_convolution_without_its_weight_is_not_counted_and_says_why() -> None:
    quantized = shown(("uint8", (1, 8, 8, 3)), ("float", ()), ("uint8", ()), ("float", ()),
                      ("int8", ()), ("float", ()), ("uint8", ()), ("int32", (16,)))  # fmt: skip
    output = shown(("uint8", (1, 6, 6, 16)))
    found = work("QLinearConv", quantized, output)
    assert (found.flops, found.why) == (None, node_work.HIDDEN_WEIGHT)
    assert found.data_bytes is not None


def test_the_graph_tells_a_weight_that_the_trace_leaves_out() -> None:
    scale, zero = Tensor("float", ()), Tensor("uint8", ())
    weight, bias = Tensor("int8", (16, 3, 3, 3)), Tensor("int32", (16,))
    node = row(
        "QLinearConv",
        shown(("uint8", (1, 8, 8, 3)), scale, zero, scale, ("int8", ()), scale, zero, bias),
        shown(("uint8", (1, 6, 6, 16))),
        parameter_bytes=4 + 1 + 4 + 1 + 4 + 1 + 64,
    )
    weights = (None, scale, zero, weight, scale, Tensor("int8", ()), scale, zero, bias)
    found = node_work.work(node, weights=weights)
    assert found.flops == 2 * (6 * 6 * 16) * (3 * 3 * 3)
    assert found.weight_bytes == 16 * 27 + 79
    assert found.data_bytes == 8 * 8 * 3 + 6 * 6 * 16


def test_a_transposed_convolution_spreads_every_input_element() -> None:
    found = work("ConvTranspose", floats((1, 4, 5, 5), (4, 2, 3, 3)), floats((1, 2, 11, 11)))
    assert found.flops == 2 * (4 * 5 * 5) * (2 * 3 * 3)


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_recurrent_cell_multiplies_both_matrices_at_every_step(
    op_type: str, gates: int, directions: int
) -> None:
    steps, batch, width, hidden = 6, 3, 5, 7
    wanted = 0
    for _ in range(steps * batch * directions):
        wanted += 2 * gates * hidden * width + 2 * gates * hidden * hidden
    whole = floats((steps, directions, batch, hidden))
    last = floats((directions, batch, hidden))
    assert work(op_type, floats((steps, batch, width)), whole).flops == wanted
    assert work(op_type, floats((steps, batch, width)), last).flops == wanted


def test_an_attention_that_projects_is_three_products_then_scores_then_values() -> None:
    batch, length, hidden, heads = 2, 6, 8, 4
    each = hidden // heads
    projection = 3 * (2 * batch * length * hidden * hidden)
    scores = batch * heads * (2 * length * length * each)
    values = batch * heads * (2 * length * length * each)
    inputs = floats((batch, length, hidden), (hidden, 3 * hidden), (3 * hidden,))
    output = floats((batch, length, hidden))
    for given_inputs in (inputs, floats((batch, length, hidden), (3 * hidden,))):
        found = work("Attention", given_inputs, output)
        assert found.flops == projection + scores + values


def test_an_attention_over_kept_keys_counts_all_of_them() -> None:
    query, keys = (1, 4, 1, 16), (1, 4, 10, 16)
    inputs = floats(query, (1, 4, 1, 16), (1, 4, 1, 16))
    assert work("Attention", inputs, floats(query)).flops == 2 * 2 * 64
    assert work("Attention", inputs, floats(query, keys, keys)).flops == 2 * 2 * 64 * 10


def test_a_multi_head_attention_never_projects() -> None:
    packed = floats((1, 6, 4, 3, 8))
    assert work("MultiHeadAttention", packed, floats((1, 6, 32))).flops is None
    shape = (1, 6, 32)
    found = work("MultiHeadAttention", floats(shape, shape, shape), floats(shape))
    assert found.flops == 2 * (2 * 6 * 6 * 32)


# ---- everything else


def test_an_unknown_operator_is_unknown_and_never_free() -> None:
    found = work("SomebodysOwn", floats((4,)), floats((4,)))
    assert (found.flops, found.why) == (None, node_work.UNKNOWN_OPERATOR)


@pytest.mark.parametrize("op_type", ["If", "Loop", "Scan"])
def test_a_holder_of_a_subgraph_does_no_arithmetic_of_its_own(op_type: str) -> None:
    assert work(op_type, floats((4,)), floats((4,))).why == node_work.HOLDER


def test_a_table_that_rows_are_taken_from_is_not_read_whole() -> None:
    table, taken = (30_000, 64), (1, 5, 64)
    inputs = shown(("float", table), ("int64", (1, 5)))
    found = work("Gather", inputs, floats(taken), parameter_bytes=30_000 * 64 * 4)
    assert found.bytes == 2 * (5 * 64 * 4) + 5 * 8
    assert found.flops == 0


def test_another_view_of_the_same_bytes_moves_nothing() -> None:
    found = work("Reshape", shown(("float", (2, 3)), ("int64", (1,))), floats((6,)))
    assert (found.flops, found.bytes) == (0, 0)


def test_a_transpose_moves_everything_and_computes_nothing() -> None:
    found = work("Transpose", floats((2, 3)), floats((3, 2)))
    assert (found.flops, found.bytes) == (0, 48)


def test_an_activation_costs_more_than_an_addition() -> None:
    shape = floats((1000,))
    costs = [work(op, shape, shape).flops or 0 for op in ("Add", "Tanh", "Gelu")]
    assert all(a < b for a, b in pairwise(costs))
    assert work("Sum", floats((9,), (9,), (9,)), floats((9,))).flops == 18


def test_a_node_whose_shapes_vary_is_not_counted() -> None:
    found = work("MatMul", "float[2,3] and 4 other shapes", floats((2, 5)))
    assert (found.flops, found.bytes, found.why) == (None, None, node_work.VARYING)


def test_sizes_without_shapes_still_tell_the_bytes() -> None:
    found = work("Conv", "", "", parameter_bytes=10, activation_bytes=20, output_bytes=30)
    assert (found.flops, found.bytes, found.why) == (None, 60, node_work.NO_SHAPES)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_shape_text_raises_or_invents_work(inputs: str, outputs: str) -> None:
    found = work("MatMul", inputs, outputs)
    assert found.flops is None or found.flops >= 0


@given(
    st.sampled_from(sorted(flops.COSTS)),
    st.lists(st.lists(st.integers(0, 2**40), max_size=6).map(tuple), max_size=5),
    st.lists(st.lists(st.integers(0, 2**40), max_size=6).map(tuple), min_size=1, max_size=3),
)
def test_no_operator_with_any_shapes_raises_or_counts_below_nothing(
    op_type: str, inputs: list[tuple[int, ...]], outputs: list[tuple[int, ...]]
) -> None:
    found = work(op_type, floats(*inputs), floats(*outputs))
    assert found.flops is None or 0 <= found.flops <= 1 << 63
    assert found.bytes is None or found.bytes >= 0
    assert (found.flops is None) == bool(found.why)


def test_every_operator_of_the_table_is_one_that_exists() -> None:
    known = {name for domain in operators.DOMAINS for name in operators.operators(domain)}
    added_by_the_runtime = {"GemmFastGelu", "BeamSearch", "Optional"}
    assert set(flops.COSTS) - known - added_by_the_runtime == set()
