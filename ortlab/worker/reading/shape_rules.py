"""What each operator does to sizes: one small function per family, and the table of them."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor, prod

from ortlab.worker.reading import dtypes
from ortlab.worker.reading.shapes import (
    Call,
    Fact,
    Rule,
    Shape,
    Undecided,
    axis_of,
    broadcast,
    tensor_fact,
)
from ortlab.worker.reading.wire import Tensor


def same(call: Call) -> list[Fact]:
    """As the first input."""
    first = call.input(0)
    values = first.values if call.node.op_type == "Identity" else None
    return [Fact(first.shape, first.dtype, values)]


def _cast(call: Call) -> list[Fact]:
    first = call.input(0)
    to = call.attribute("to", 1)
    whole = to in (dtypes.INT32, dtypes.INT64) and first.dtype in dtypes.INTEGERS
    return [Fact(first.shape, to, first.values if whole else None)]


def _random(call: Call) -> list[Fact]:
    return [Fact(call.shape(), call.attribute("dtype", 0) or call.input(0).dtype)]


def _dtype(number: int) -> Rule:
    return lambda call: [Fact(call.input(0).shape, number)]


def _quantized(call: Call) -> list[Fact]:
    return [Fact(call.shape(), call.attribute("output_dtype", 0) or call.input(2).dtype or 2)]


def _dequantized(call: Call) -> list[Fact]:
    return [Fact(call.shape(), call.input(1).dtype or 1)]


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
    # ONNX divides whole numbers towards zero.
    "Div": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "Mod": lambda a, b: a % b, "Max": max, "Min": min,
    "Equal": lambda a, b: int(a == b), "Greater": lambda a, b: int(a > b),
    "Less": lambda a, b: int(a < b),
}  # fmt: skip
_COMPARISONS = {"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor"}


def _elementwise(call: Call) -> list[Fact]:
    op_type = call.node.op_type
    shape = broadcast(*(call.shape(i) for i in range(len(call.inputs))))
    dtype = dtypes.BOOL if op_type in _COMPARISONS else call.input(0).dtype
    values = None
    if len(call.inputs) == 2 and op_type in _ARITHMETIC:
        left, right = call.input(0).values, call.input(1).values
        if left is not None and right is not None and len(shape) < 2:
            count = prod(shape)
            pairs = zip(_spread(left, count), _spread(right, count), strict=True)
            values = [_ARITHMETIC[op_type](a, b) for a, b in pairs]
    return [Fact(shape, dtype, values)]


def _spread(values: list[int], count: int) -> list[int]:
    return values * count if len(values) == 1 else values


def _where(call: Call) -> list[Fact]:
    shape = broadcast(call.shape(0), call.shape(1), call.shape(2))
    parts = [call.input(i).values for i in range(3)]
    values = None
    if len(shape) < 2 and all(part is not None for part in parts):
        columns = [_spread(part or [], prod(shape)) for part in parts]
        values = [a if c else b for c, a, b in zip(*columns, strict=True)]
    return [Fact(shape, call.input(1).dtype, values)]


def _shape(call: Call) -> list[Fact]:
    shape = call.shape()
    part = shape[call.attribute("start", 0) : call.attribute("end", len(shape))]
    return [Fact((len(part),), dtypes.INT64, list(part))]


def _size(call: Call) -> list[Fact]:
    return [Fact((), dtypes.INT64, [prod(call.shape())])]


def _constant(call: Call) -> list[Fact]:
    for name, value in call.node.attributes.items():
        if isinstance(value, Tensor):
            return [tensor_fact(value, call.buffer)]
        if name == "value_int":
            return [Fact((), dtypes.INT64, [value])]
        if name == "value_ints":
            return [Fact((len(value),), dtypes.INT64, list(value))]
        if name == "value_float":
            return [Fact((), 1)]
    raise Undecided


def _reshape(call: Call) -> list[Fact]:
    old, wanted = call.shape(), call.values(1)
    keep_zero = bool(call.attribute("allowzero", 0))
    new = [old[i] if size == 0 and not keep_zero else size for i, size in enumerate(wanted)]
    if -1 in new:
        rest = prod(size for size in new if size != -1)
        new[new.index(-1)] = prod(old) // rest if rest else 0
    return [Fact(tuple(new), call.input(0).dtype, call.input(0).values)]


def _flatten(call: Call) -> list[Fact]:
    shape = call.shape()
    axis = call.attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return [Fact((prod(shape[:axis]), prod(shape[axis:])), call.input(0).dtype)]


def _transpose(call: Call) -> list[Fact]:
    shape = call.shape()
    order = call.attribute("perm", []) or range(len(shape))[::-1]
    return [Fact(tuple(shape[i] for i in order), call.input(0).dtype)]


def _squeeze(call: Call) -> list[Fact]:
    shape, axes = call.shape(), call.axes(1)
    gone = (
        {i for i, size in enumerate(shape) if size == 1}
        if axes is None
        else {axis_of(axis, len(shape)) for axis in axes}
    )
    new = tuple(size for i, size in enumerate(shape) if i not in gone)
    return [Fact(new, call.input(0).dtype, call.input(0).values)]


def _unsqueeze(call: Call) -> list[Fact]:
    shape, axes = call.shape(), call.axes(1)
    if axes is None:
        raise Undecided
    rank = len(shape) + len(axes)
    places = {axis_of(axis, rank) for axis in axes}
    rest = iter(shape)
    new = tuple(1 if i in places else next(rest) for i in range(rank))
    return [Fact(new, call.input(0).dtype, call.input(0).values)]


def _concat(call: Call) -> list[Fact]:
    shapes = [call.shape(i) for i in range(len(call.inputs))]
    axis = axis_of(call.attribute("axis", 1), len(shapes[0]))
    new = list(shapes[0])
    new[axis] = sum(shape[axis] for shape in shapes)
    parts = [fact.values for fact in call.inputs]
    values = None
    if len(new) == 1 and all(part is not None for part in parts):
        values = [value for part in parts for value in part or []]
    return [Fact(tuple(new), call.input(0).dtype, values)]


def _split(call: Call) -> list[Fact]:
    shape = call.shape()
    axis = axis_of(call.attribute("axis", 0), len(shape))
    count = len(call.node.outputs)
    sizes = call.attribute("split", []) or (call.values(1) if call.given(1) else [])
    if not sizes:
        each = -(-shape[axis] // count)
        sizes = [min(each, shape[axis] - each * i) for i in range(count)]
    return [Fact((*shape[:axis], size, *shape[axis + 1 :]), call.input(0).dtype) for size in sizes]


def _slice(call: Call) -> list[Fact]:
    shape = call.shape()
    if call.attribute("starts", []):
        starts, ends = call.attribute("starts", []), call.attribute("ends", [])
        axes, steps = call.attribute("axes", []), []
    else:
        starts, ends = call.values(1), call.values(2)
        axes = call.values(3) if call.given(3) else []
        steps = call.values(4) if call.given(4) else []
    axes = axes or list(range(len(starts)))
    steps = steps or [1] * len(starts)
    new, values = list(shape), call.input(0).values
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis_of(axis, len(shape))
        # An end below -size means "before the first element" when stepping backwards.
        stop = None if step < 0 and end < -shape[place] else end
        new[place] = len(range(*slice(start, stop, step).indices(shape[place])))
        if values is not None:
            values = values[slice(start, stop, step)] if len(shape) == 1 else None
    return [Fact(tuple(new), call.input(0).dtype, values)]


def _gather(call: Call) -> list[Fact]:
    shape, index = call.shape(0), call.shape(1)
    axis = axis_of(call.attribute("axis", 0), len(shape))
    source, picked = call.input(0).values, call.input(1).values
    values = None
    if source is not None and picked is not None and len(shape) == 1:
        values = [source[i] for i in picked]
    return [Fact((*shape[:axis], *index, *shape[axis + 1 :]), call.input(0).dtype, values)]


def _gather_nd(call: Call) -> list[Fact]:
    shape, index = call.shape(0), call.shape(1)
    batch = call.attribute("batch_dims", 0)
    return [Fact((*index[:-1], *shape[batch + index[-1] :]), call.input(0).dtype)]


def _as_index(call: Call) -> list[Fact]:
    return [Fact(call.shape(1), call.input(0).dtype)]


def _expand(call: Call) -> list[Fact]:
    return [Fact(broadcast(call.shape(), tuple(call.values(1))), call.input(0).dtype)]


def _tile(call: Call) -> list[Fact]:
    sizes = zip(call.shape(), call.values(1), strict=True)
    return [Fact(tuple(a * b for a, b in sizes), call.input(0).dtype)]


def _pad(call: Call) -> list[Fact]:
    shape = list(call.shape())
    pads = call.attribute("pads", []) or call.values(1)
    axes = call.values(3) if call.given(3) else range(len(shape))
    half = len(pads) // 2
    for i, axis in enumerate(axes):
        shape[axis_of(axis, len(shape))] += pads[i] + pads[half + i]
    return [Fact(tuple(shape), call.input(0).dtype)]


def _constant_of_shape(call: Call) -> list[Fact]:
    value, shape = call.attribute("value"), tuple(call.values(0))
    if not isinstance(value, Tensor):
        return [Fact(shape, 1)]
    fill = tensor_fact(value, call.buffer).values
    values = fill * prod(shape) if fill and len(shape) < 2 and prod(shape) <= 64 else None
    return [Fact(shape, value.dtype, values)]


def _range(call: Call) -> list[Fact]:
    start, limit, step = (call.values(i)[0] for i in range(3))
    found = range(start, limit, step)
    values = list(found) if len(found) <= 64 else None
    return [Fact((len(found),), call.input(0).dtype, values)]


def _resize(call: Call) -> list[Fact]:
    shape = call.shape()
    axes = call.attribute("axes", []) or list(range(len(shape)))
    new = list(shape)
    if call.given(3):
        for axis, size in zip(axes, call.values(3), strict=True):
            new[axis_of(axis, len(shape))] = size
        return [Fact(tuple(new), call.input(0).dtype)]
    # Upsample and the first Resize have the scales in place of the region of interest.
    scales = call.input(2 if len(call.inputs) > 2 else 1).floats
    if scales is None:
        raise Undecided
    for axis, scale in zip(axes, scales, strict=True):
        place = axis_of(axis, len(shape))
        new[place] = floor(shape[place] * scale)
    return [Fact(tuple(new), call.input(0).dtype)]


def _reduce(call: Call) -> list[Fact]:
    shape, axes = call.shape(), call.axes(1)
    if axes is None and call.attribute("noop_with_empty_axes", 0):
        return same(call)
    gone = {axis_of(axis, len(shape)) for axis in axes} if axes else set(range(len(shape)))
    return [Fact(_without(shape, gone, call.attribute("keepdims", 1)), call.input(0).dtype)]


def _arg_reduce(call: Call) -> list[Fact]:
    shape = call.shape()
    gone = {axis_of(call.attribute("axis", 0), len(shape))}
    return [Fact(_without(shape, gone, call.attribute("keepdims", 1)), dtypes.INT64)]


def _without(shape: Shape, gone: set[int], keep: int) -> Shape:
    if keep:
        return tuple(1 if i in gone else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in gone)


def _top_k(call: Call) -> list[Fact]:
    shape = list(call.shape())
    count = call.values(1)[0] if call.given(1) else call.attribute("k", 0)
    shape[axis_of(call.attribute("axis", -1), len(shape))] = count
    return [Fact(tuple(shape), call.input(0).dtype), Fact(tuple(shape), dtypes.INT64)]


def _one_hot(call: Call) -> list[Fact]:
    shape, depth = call.shape(), call.values(1)[0]
    axis = axis_of(call.attribute("axis", -1), len(shape) + 1)
    return [Fact((*shape[:axis], depth, *shape[axis:]), call.input(2).dtype)]


def _depth_to_space(call: Call) -> list[Fact]:
    n, c, h, w = call.shape()
    size = call.attribute("blocksize", 1)
    if call.node.op_type == "SpaceToDepth":
        return [Fact((n, c * size * size, h // size, w // size), call.input(0).dtype)]
    return [Fact((n, c // (size * size), h * size, w * size), call.input(0).dtype)]


def _global_pool(call: Call) -> list[Fact]:
    shape = call.shape()
    return [Fact((*shape[:2], *(1 for _ in shape[2:])), call.input(0).dtype)]


def _pool(call: Call) -> list[Fact]:
    kernel = call.attribute("kernel_shape", [])
    found = windows(call, call.shape()[2:], kernel)
    shape = (*call.shape()[:2], *found)
    return [Fact(shape, call.input(0).dtype), Fact(shape, dtypes.INT64)]


def windows(call: Call, sizes: Shape, kernel: list[int] | Shape) -> Shape:
    """How many places a sliding window of `kernel` has in each direction."""
    rank = len(sizes)
    strides = call.attribute("strides", []) or [1] * rank
    dilations = call.attribute("dilations", []) or [1] * rank
    pads = call.attribute("pads", []) or [0] * (2 * rank)
    automatic = call.attribute("auto_pad", b"NOTSET")
    rounded = ceil if call.attribute("ceil_mode", 0) else floor
    found = []
    for i, size in enumerate(sizes):
        span = (kernel[i] - 1) * dilations[i] + 1
        if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
            found.append(-(-size // strides[i]))
            continue
        padded = size if automatic == b"VALID" else size + pads[i] + pads[rank + i]
        count = int(rounded((padded - span) / strides[i])) + 1
        # A last window that would begin in the padding behind the data is not taken.
        begins_outside = (count - 1) * strides[i] >= size + pads[i]
        found.append(count - 1 if rounded is ceil and begins_outside else count)
    return tuple(max(count, 0) for count in found)


_SAME = """
    Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization BiasGelu BiasSplitGelu
    BitwiseNot Ceil Celu Clip Cos Cosh CumSum Dropout Elu Erf Exp FastGelu Floor Gelu
    GroupNorm GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization
    LRN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization
    Mish Neg Not QuickGelu RMSNormalization Reciprocal Relu ReverseSequence RotaryEmbedding
    Round ScatterElements ScatterND Scatter Selu Shrink Sigmoid Sign
    SimplifiedLayerNormalization Sin Sinh SkipGroupNorm SkipLayerNormalization
    SkipSimplifiedLayerNormalization Softmax Softplus Softsign Sqrt Swish Tan Tanh
    TensorScatter ThresholdedRelu Trilu
""".split()  # noqa: SIM905 - read as a table
_BROADCAST = """
    Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less
    LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Xor
""".split()  # noqa: SIM905 - read as a table
_REDUCTIONS = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare
""".split()  # noqa: SIM905 - read as a table

RULES: dict[str, Rule] = {
    **dict.fromkeys(_SAME, same),
    **dict.fromkeys(_BROADCAST, _elementwise),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _global_pool),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), _pool),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _depth_to_space),
    "ArgMax": _arg_reduce, "ArgMin": _arg_reduce, "Bernoulli": _random, "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant, "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": _dequantized, "Expand": _expand, "Flatten": _flatten,
    "Gather": _gather, "GatherElements": _as_index, "GatherND": _gather_nd,
    "IsInf": _dtype(dtypes.BOOL), "IsNaN": _dtype(dtypes.BOOL), "OneHot": _one_hot, "Pad": _pad,
    "QuantizeLinear": _quantized, "Range": _range, "Reshape": _reshape, "Resize": _resize,
    "Upsample": _resize,
    "Shape": _shape, "Size": _size, "Slice": _slice, "Split": _split, "Squeeze": _squeeze,
    "Tile": _tile, "TopK": _top_k, "Transpose": _transpose, "Unsqueeze": _unsqueeze,
    "Where": _where,
}  # fmt: skip
