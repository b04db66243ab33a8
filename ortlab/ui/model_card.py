"""What a model is, and what stands in its way."""

from __future__ import annotations

import streamlit as st

from ortlab.domain import units
from ortlab.domain.model import ModelInfo, Problem, TensorInfo
from ortlab.ui import frame, table_view, words
from ortlab.ui.door import lab
from ortlab.ui.table_view import Column

_TENSORS = (
    Column("role", "Role"),
    Column("name", "Name"),
    Column("dtype", "Type"),
    Column("shape", "Shape"),
)
_OPS = (Column("op_type", "Operator"), Column("count", "Nodes", "count"))


def show(model: ModelInfo) -> None:
    """Name, one line of facts, problems with their repair, details folded."""
    st.subheader(words.safe(model.name), anchor=False)
    st.text(facts_line(model))
    for index, problem in enumerate(model.problems):
        _problem(model, problem, index)
    with st.expander("Inputs, outputs and operators", icon=":material/account_tree:"):
        left, right = st.columns([3, 2])
        with left:
            table_view.show(tensor_rows(model), _TENSORS, key="tensors", name="tensors",
                            alt="Inputs and outputs of the model")  # fmt: skip
        with right:
            ops = sorted(model.op_counts.items(), key=lambda item: -item[1])
            rows = [{"op_type": op, "count": n} for op, n in ops]
            table_view.show(rows, _OPS, key="ops", name="operators", alt="Nodes by operator")
        for file in model.external_data:
            size = units.size(file.bytes) if file.bytes is not None else "missing"
            st.text(f"External data: {file.location}, {size}")


def facts_line(model: ModelInfo) -> str:
    """`3.4 MiB · opset 17 · IR 10 · 161 nodes · x: float32[N, 3, 224, 224]`, foreign text."""
    opsets = ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in model.opsets.items())
    parts = [
        units.size(model.total_bytes),
        f"opset {opsets}",
        f"IR {model.ir_version}",
        f"{units.count(model.node_count)} nodes",
        f"{units.big_count(model.parameter_count)} parameters",
    ]
    if model.flops:
        parts.append(f"{units.big_count(model.flops)} operations per run")
    if model.producer:
        parts.append(model.producer)
    parts += [f"{t.name}: {tensor_text(t)}" for t in model.inputs[:3]]
    return "  ·  ".join(parts)


def tensor_text(tensor: TensorInfo) -> str:
    """`float32[N, 3, 224, 224]`; an unknown dimension is `?`."""
    if tensor.shape is None:
        return f"{tensor.dtype}[…]"
    dims = ", ".join("?" if d is None else str(d) for d in tensor.shape)
    text = f"{tensor.dtype}[{dims}]" if tensor.shape else f"{tensor.dtype} scalar"
    return text if tensor.kind == "tensor" else f"{tensor.kind}({text})"


def tensor_rows(model: ModelInfo) -> list[dict[str, str]]:
    """Inputs, then outputs, as table rows."""
    return [
        {"role": role, "name": t.name, "dtype": t.dtype, "shape": tensor_text(t)}
        for role, group in (("input", model.inputs), ("output", model.outputs))
        for t in group
    ]


def blocking(model: ModelInfo) -> bool:
    """Whether something stands in the way that no form field can decide."""
    return any(p.severity == "error" for p in model.problems)


def _problem(model: ModelInfo, problem: Problem, index: int) -> None:
    if problem.severity != "error":
        # The form right below asks for it by name.
        return
    text = f"**{words.safe_with_code(problem.message)}**"
    if problem.hint:
        text += f"\n\n{words.safe_with_code(problem.hint)}"
    st.warning(text, icon=":material/build:")
    code = problem.fix
    if code is not None and st.button(
        "Repair", key=f"repair-{index}", icon=":material/build:",
        help="Adds a repaired copy; the original stays as it is.",
    ):  # fmt: skip
        repaired = frame.attempt(lambda: lab().fix_stored(model.id, only=code))
        if repaired is not None:
            frame.go("start", model=repaired.id)
