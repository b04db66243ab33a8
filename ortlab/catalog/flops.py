"""How much arithmetic each operator does: formulas for products, counts per element for the rest.

One rule set for two readers: `ortlab.worker.reading.flops` counts from a model's graph,
`ortlab.analysis.rooflines.node_work` from the shapes in a trace. A multiply-add counts two. Counts
per element are what the usual polynomials and formulas take, and good to a factor of two at best;
such nodes are bound by memory nearly everywhere, so that it seldom matters.
"""

from __future__ import annotations

from math import prod
from typing import Literal

from msgspec import Struct

Dims = tuple[int, ...]
Family = Literal[
    "product", "convolution", "transposed", "recurrent", "attention", "output", "input",
    "variadic", "move", "rows", "view", "holder",
]  # fmt: skip
HEAVY: tuple[Family, ...] = ("product", "convolution", "transposed", "recurrent", "attention")


class Cost(Struct, frozen=True, kw_only=True):
    """How one operator is counted.

    `output` and `input` count `per_element` for each element of the first output or input,
    `variadic` one less than there are inputs. `move` does no arithmetic but reads and writes
    everything, `rows` reads only as much as it writes, `view` touches no data. A `holder`
    runs other nodes; its own time does no work that could be counted.
    """

    family: Family
    per_element: float = 0.0
    weight_at: int = 1
    """Where the weight stands among the inputs."""
    gates: int = 1
    """Of a recurrent cell."""
    weight_bits: int | None = None
    """Of one weight, where it differs from what the first input has."""
    projects: bool = False
    """Whether an attention makes query, key and value itself."""
    kind: str | None = None
    """The number type of the arithmetic, where the first input does not tell."""


def product(output: Dims, *, inner: int) -> int:
    """FLOPs of a matrix product: every output element sums over `inner` pairs."""
    return 2 * prod(output) * inner


def convolution(output: Dims, *, weight: Dims) -> int:
    """FLOPs of a convolution: each output element sums over the kernel and its group's channels."""
    return 2 * prod(output) * prod(weight[1:])


def transposed_convolution(image: Dims, *, weight: Dims) -> int:
    """FLOPs of a ConvTranspose: each input element meets every kernel place of its group."""
    return 2 * prod(image) * prod(weight[1:])


def recurrent(*, positions: int, weights: int) -> int:
    """FLOPs of a recurrent cell: at each of steps × batch positions both weight matrices."""
    return 2 * positions * weights


def attention(*, query: int, output: int, keys: int) -> int:
    """FLOPs of scores and their use: elements of query and of output, times the keys' length."""
    return 2 * query * keys + 2 * output * keys


def projected_attention(
    *, batch: int, length: int, keys: int, hidden: int, projected: int, values: int
) -> int:
    """FLOPs of com.microsoft's Attention, which makes query, key and value of `hidden` first.

    Args:
        projected: width of query, key and value together.
        values: width of the value, which is that of the output.
    """
    queries = (projected - values) // 2
    projection = 2 * batch * length * hidden * projected
    return projection + attention(
        query=batch * length * queries, output=batch * length * values, keys=keys
    )


def cost(op_type: str) -> Cost | None:
    """How an operator is counted; None for one that is not known here."""
    return COSTS.get(op_type)


def _same(names: str, row: Cost) -> dict[str, Cost]:
    return dict.fromkeys(names.split(), row)


def _each(names: str) -> dict[str, Cost]:
    """`Name:12` counts 12 for each element of the output; without a number 1."""
    pairs = (name.partition(":") for name in names.split())
    return {n: Cost(family="output", per_element=float(c or 1)) for n, _, c in pairs}


def _each_input(names: str) -> dict[str, Cost]:
    pairs = (name.partition(":") for name in names.split())
    return {n: Cost(family="input", per_element=float(c or 1)) for n, _, c in pairs}


COSTS: dict[str, Cost] = {
    **_same("MatMul FusedMatMul TransposeMatMul Gemm FusedGemm GemmFastGelu FusedMatMulActivation",
            Cost(family="product")),
    **_same("MatMulInteger MatMulIntegerToFloat DynamicQuantizeMatMul",
            Cost(family="product", weight_bits=8, kind="int8")),
    **_same("QLinearMatMul QGemm", Cost(family="product", weight_at=3, weight_bits=8, kind="int8")),
    # Bits are an attribute, which a trace does not show; four are by far the most common.
    **_same("MatMulNBits MatMulBnb4", Cost(family="product", weight_bits=4)),
    **_same("Conv FusedConv NhwcConv NhwcFusedConv", Cost(family="convolution")),
    **_same("ConvInteger", Cost(family="convolution", weight_bits=8, kind="int8")),
    **_same("QLinearConv", Cost(family="convolution", weight_at=3, weight_bits=8, kind="int8")),
    **_same("ConvTranspose", Cost(family="transposed")),
    "LSTM": Cost(family="recurrent", gates=4),
    "GRU": Cost(family="recurrent", gates=3),
    "RNN": Cost(family="recurrent", gates=1),
    "DynamicQuantizeLSTM": Cost(family="recurrent", gates=4, weight_bits=8, kind="int8"),
    "Attention": Cost(family="attention", projects=True),
    "QAttention": Cost(family="attention", projects=True, weight_bits=8, kind="int8"),
    "MultiHeadAttention": Cost(family="attention"),
    # Polynomials of ten to thirty terms stand behind Exp, Erf, Tanh and their like.
    **_each("""
        Abs Add And BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Clip:2 Div Equal
        Floor Greater GreaterOrEqual IsInf IsNaN LeakyRelu:2 Less LessOrEqual Mod Mul Neg Not Or
        PRelu:2 Reciprocal Relu Round Shrink:3 Sign Sqrt Sub ThresholdedRelu Where Xor BiasAdd:2
        Exp:12 Log:14 Sin:15 Cos:15 Tan:20 Sinh:25 Cosh:25 Asin:20 Acos:20 Atan:20 Asinh:25
        Acosh:25 Atanh:20 Erf:25 Pow:25 Tanh:20 Sigmoid:20 HardSigmoid:4 HardSwish:5 Softsign:3
        Softplus:26 Elu:15 Selu:16 Celu:16 Mish:48 Swish:21 QuickGelu:21 Gelu:28 FastGelu:28
        BiasGelu:29 BiasSplitGelu:30 BatchNormalization:2 Affine:2 ImageScaler:2
        QuantizeLinear:3 DequantizeLinear:2 QLinearAdd:6 QLinearMul:5 QLinearSigmoid:4
        QLinearLeakyRelu:4 RotaryEmbedding:3 CumSum Dropout Resize:7 Upsample:7"""),
    **_each_input("""
        Softmax:16 LogSoftmax:17 BiasSoftmax:17 QLinearSoftmax:17 Hardmax:2
        LayerNormalization:8 SkipLayerNormalization:9 SimplifiedLayerNormalization:5
        SkipSimplifiedLayerNormalization:6 RMSNormalization:5 InstanceNormalization:8
        GroupNormalization:8 GroupNorm:8 SkipGroupNorm:9 LpNormalization:3
        MeanVarianceNormalization:6 LRN:10 DynamicQuantizeLinear:5
        ReduceL1:2 ReduceL2:2 ReduceLogSum ReduceLogSumExp:13 ReduceMax ReduceMean ReduceMin
        ReduceProd ReduceSum ReduceSumSquare:2 QLinearReduceMean:2 ArgMax ArgMin
        AveragePool MaxPool LpPool:3 NhwcMaxPool QLinearAveragePool:2 GlobalAveragePool
        GlobalMaxPool GlobalLpPool:3 QLinearGlobalAveragePool:2"""),
    **_same("Sum Max Min Mean", Cost(family="variadic")),
    **_same("""
        Cast CastLike Concat Expand Pad Split Tile Transpose DepthToSpace SpaceToDepth ReorderInput
        ReorderOutput QLinearConcat ScatterElements ScatterND Scatter Trilu NonZero Compress
        ConstantOfShape EyeLike Range OneHot ReverseSequence SequenceConstruct ConcatFromSequence
        MemcpyToHost MemcpyFromHost""", Cost(family="move")),
    **_same("Gather GatherElements GatherND Slice GatherBlockQuantized", Cost(family="rows")),
    **_same("Constant Flatten Identity Reshape Shape Size Squeeze Unsqueeze Optional "
            "OptionalGetElement OptionalHasElement SequenceAt SequenceLength",
            Cost(family="view")),
    **_same("If Loop Scan SequenceMap BeamSearch GreedySearch Sampling WhisperBeamSearch",
            Cost(family="holder")),
    # Looks rows up in three tables and normalises their sum.
    "EmbedLayerNormalization": Cost(family="rows", per_element=11),
}  # fmt: skip
"""Operators by name. What is missing is not counted, and said to be so."""
