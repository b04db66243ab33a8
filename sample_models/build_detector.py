"""Builds `detector.onnx`: a convolutional backbone with the tail that accelerators refuse.

    python sample_models/build_detector.py          # needs onnx, numpy and onnxruntime only

The weights are random and seeded: it finds nothing real, but it finds *something* in random
images and nothing in a black one, so both branches of its `If` and a dynamic number of
detections are met.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent
SEED = 3
OPSET = 17
IR_VERSION = 8
SIZE = 128
CLASSES = 4
CELLS = SIZE // 8
# With these, noise passes the first threshold in a third to two thirds of the cells, black in none.
CLASS_BIAS = -0.3
HEAD_GAIN = 0.25
CANDIDATE_SCORE = 0.5
MAX_CANDIDATES = 100


class Graph:
    """Collects nodes and weights; every method returns the name of what it made."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        """A weight of this value."""
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def op(self, op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        """One node, named for its output."""
        self.nodes.append(
            helper.make_node(op_type, inputs, [output], name=f"/{output}/{op_type}", **attributes)
        )
        return output

    def conv(
        self, x: str, name: str, *, channels: tuple[int, int], size: int, stride: int = 1
    ) -> str:
        """A convolution with random weights that keep the variance; 1×1 ones shrink it."""
        before, after = channels
        scale = (2.0 / (before * size * size)) ** 0.5 * (HEAD_GAIN if size == 1 else 1.0)
        weight = self._random.standard_normal((after, before, size, size)) * scale
        names = [
            self.constant(f"{name}.weight", weight),
            self.constant(f"{name}.bias", np.zeros(after)),
        ]
        return self.op(
            "Conv", [x, *names], name,
            kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4,
        )  # fmt: skip

    def silu(self, x: str) -> str:
        """`x · sigmoid(x)`, as detectors have it."""
        return self.op("Mul", [x, self.op("Sigmoid", [x], f"{x}_gate")], f"{x}_silu")


def backbone(graph: Graph, image: str) -> str:
    """Features of stride 8: three strided convolutions, residual blocks after the last two."""
    x = graph.silu(graph.conv(image, "stem", channels=(3, 16), size=3, stride=2))
    for stage, (before, after) in enumerate([(16, 32), (32, 64)], start=1):
        x = graph.silu(graph.conv(x, f"down{stage}", channels=(before, after), size=3, stride=2))
        inner = graph.silu(graph.conv(x, f"block{stage}", channels=(after, after), size=3))
        x = graph.op("Add", [x, inner], f"stage{stage}")
    return x


def head(graph: Graph, features: str) -> tuple[str, str]:
    """Boxes [cells, 4] as corners in pixels, and class scores [classes, cells]."""
    raw = graph.conv(features, "box_head", channels=(64, 4), size=1)
    flat = graph.op("Reshape", [raw, graph.constant("to_boxes", [4, -1], np.int64)], "box_flat")
    offsets = graph.op("Transpose", [graph.op("Tanh", [flat], "box_tanh")], "box_rows", perm=[1, 0])
    scaled = graph.op("Mul", [offsets, graph.constant("box_reach", 8.0)], "box_scaled")
    boxes = graph.op("Add", [scaled, graph.constant("anchors", anchors())], "boxes")
    logits = graph.conv(features, "class_head", channels=(64, CLASSES), size=1)
    biased = graph.op("Add", [logits, graph.constant("class_bias", CLASS_BIAS)], "class_biased")
    graph.op("Sigmoid", [biased], "class_map")
    shape = graph.constant("to_classes", [CLASSES, -1], np.int64)
    return boxes, graph.op("Reshape", ["class_map", shape], "scores")


def anchors() -> np.ndarray:
    """One 24-pixel box around the centre of every cell: y1, x1, y2, x2."""
    centre = np.arange(CELLS) * 8.0 + 4.0
    y, x = (grid.ravel() for grid in np.meshgrid(centre, centre, indexing="ij"))
    return np.stack([y - 12, x - 12, y + 12, x + 12], axis=1)


def candidates(graph: Graph, boxes: str, scores: str) -> tuple[str, str, str]:
    """The best cells: their boxes, their class scores, their best score. NonZero, then TopK."""
    best = graph.op("ReduceMax", [scores], "best_score", axes=[0], keepdims=0)
    sure = graph.op("Greater", [best, graph.constant("candidate_score", CANDIDATE_SCORE)], "sure")
    axis = graph.constant("axis_0", [0], np.int64)
    cells = graph.op("Squeeze", [graph.op("NonZero", [sure], "cells_2d"), axis], "cells")
    kept = graph.op("Gather", [best, cells], "kept_scores", axis=0)
    most = graph.constant("max_candidates", [MAX_CANDIDATES], np.int64)
    count = graph.op("Min", [graph.op("Shape", [kept], "kept_count"), most], "candidate_count")
    graph.nodes.append(
        helper.make_node("TopK", [kept, count], ["top_scores", "top"], name="/top/TopK", axis=0)
    )
    index = graph.op("Gather", [cells, "top"], "top_cells", axis=0)
    top_boxes = graph.op("Gather", [boxes, index], "top_boxes", axis=0)
    top_classes = graph.op("Gather", [scores, index], "top_classes", axis=1)
    return top_boxes, top_classes, "top_scores"


def tail(graph: Graph) -> None:
    """NonMaxSuppression over the candidates, then an `If` that writes the detections."""
    axis = "axis_0"
    batch_boxes = graph.op("Unsqueeze", ["top_boxes", axis], "nms_boxes")
    batch_scores = graph.op("Unsqueeze", ["top_classes", axis], "nms_scores")
    limits = [
        graph.constant("nms_per_class", [20], np.int64),
        graph.constant("nms_overlap", [0.4]),
        graph.constant("nms_score", [CANDIDATE_SCORE]),
    ]
    graph.op("NonMaxSuppression", [batch_boxes, batch_scores, *limits], "selected")
    size = graph.op("Size", ["selected"], "selected_size")
    found = graph.op("Greater", [size, graph.constant("zero", 0, np.int64)], "found")
    graph.op("If", [found], "detections", then_branch=write_rows(), else_branch=write_nothing())


def write_rows() -> onnx.GraphProto:
    """Rows of y1, x1, y2, x2, score, class for what was selected."""
    graph = Graph(seed=0)
    graph.constant("one", [1], np.int64)
    graph.constant("two", [2], np.int64)
    classes = graph.op("Gather", ["selected", "one"], "class_column", axis=1)
    places = graph.op("Gather", ["selected", "two"], "place_column", axis=1)
    flat = graph.op("Reshape", [places, graph.constant("flat", [-1], np.int64)], "place")
    boxes = graph.op("Gather", ["top_boxes", flat], "row_boxes", axis=0)
    pairs = graph.op("Concat", [classes, places], "class_and_place", axis=1)
    scores = graph.op("GatherND", ["top_classes", pairs], "row_scores")
    score_column = graph.op("Unsqueeze", [scores, "one"], "score_column")
    label = graph.op("Cast", [classes], "label_column", to=TensorProto.FLOAT)
    graph.op("Concat", [boxes, score_column, label], "rows", axis=1)
    return as_graph(graph, "write_rows", [], [value("rows", ["detections", 6])])


def write_nothing() -> onnx.GraphProto:
    """No row at all."""
    graph = Graph(seed=0)
    graph.constant("nothing", np.zeros((0, 6)))
    graph.op("Identity", ["nothing"], "no_rows")
    return as_graph(graph, "write_nothing", [], [value("no_rows", ["detections", 6])])


def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    """A float tensor of this shape."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def as_graph(
    graph: Graph,
    name: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.GraphProto:
    """The collected nodes and weights as an ONNX graph."""
    return helper.make_graph(graph.nodes, name, inputs, outputs, graph.weights)


def detector() -> onnx.ModelProto:
    """The whole model: `image` in, `detections` of dynamic size and `class_map` out."""
    graph = Graph(SEED)
    candidates(graph, *head(graph, backbone(graph, "image")))
    tail(graph)
    outputs = [
        value("detections", ["detections", 6]),
        value("class_map", [1, CLASSES, CELLS, CELLS]),
    ]
    body = as_graph(graph, "detector", [value("image", [1, 3, SIZE, SIZE])], outputs)
    model = helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="ortlab-samples",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    path = FOLDER / "detector.onnx"
    onnx.save(detector(), path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
