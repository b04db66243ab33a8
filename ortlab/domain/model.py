"""What inspecting a model tells, without reading its weights."""

from __future__ import annotations

from msgspec import Struct

Dim = int | str | None
"""A fixed size, a symbolic name, or None for an anonymous dimension."""


class TensorInfo(Struct, frozen=True):
    """One model input or output.

    `dtype` is numpy's name (`float32`, `int64`, `bool`) or ONNX's where numpy has none
    (`bfloat16`, `string`, `float8e4m3fn`). `shape` is None when the rank is unknown;
    `()` is a scalar. `kind` is tensor, sequence, optional or map.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None
    kind: str = "tensor"
    optional: bool = False


class ExternalData(Struct, frozen=True):
    """One file of weights beside the model; `bytes` is None when the file is missing."""

    location: str
    bytes: int | None


class Problem(Struct, frozen=True):
    """Something that stops or spoils a run; `fix` names the `ortlab fix` repair, if any.

    `severity` is `error` (the installed ONNX Runtime will refuse it) or `ask`
    (a decision is needed first, as for an undecided dimension); `warning` stops nothing here,
    but other tools may stumble over it.
    """

    code: str
    message: str
    hint: str | None = None
    fix: str | None = None
    severity: str = "error"


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What the model card shows; counts never include weights that were not read."""

    id: str
    name: str
    file_bytes: int
    external_data: tuple[ExternalData, ...] = ()
    ir_version: int
    opsets: dict[str, int]
    producer: str = ""
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    op_counts: dict[str, int] = {}
    """By operator name, nested graphs and local functions included."""
    op_domains: dict[str, int] = {}
    """The same nodes by domain; the standard one is `ai.onnx`."""
    node_count: int = 0
    """Nodes of the main graph; `subgraph_node_count` counts those inside others."""
    subgraph_node_count: int = 0
    parameter_count: int = 0
    parameter_bytes: int = 0
    flops: int | None = None
    bytes_moved: int | None = None
    symbolic_dims: tuple[str, ...] = ()
    """Every open dimension of the inputs; one without a name of its own (None or `?` in the
    shape) is called `<input>.<axis>`. Expressions such as `past + 1` follow from their parts."""
    problems: tuple[Problem, ...] = ()
    dim_hints: dict[str, int] = {}
    """A sensible value for each symbolic dimension, by name."""

    @property
    def total_bytes(self) -> int:
        """The graph file and every external data file that is there."""
        return self.file_bytes + sum(e.bytes or 0 for e in self.external_data)


class AppliedFix(Struct, frozen=True):
    """One repair that `ortlab fix` made, in words."""

    code: str
    message: str


class FixReport(Struct, frozen=True, kw_only=True):
    """What `ortlab fix` did. `outputs_equal` is None when the original cannot run here."""

    source: str
    output: str
    applied: tuple[AppliedFix, ...]
    outputs_equal: bool | None
    max_abs_error: float | None = None
    note: str = ""
    model: ModelInfo


class SampleModel(Struct, frozen=True):
    """One model that comes with ortlab."""

    name: str
    path: str
    about: str
    bytes: int
