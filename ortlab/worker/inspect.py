"""Everything the model card shows, read off the file without its weights and without running it."""

from __future__ import annotations

import gc
import mmap
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ortlab.domain.model import ModelInfo, Problem, TensorInfo
from ortlab.errors import ModelError
from ortlab.worker.protocol import Context
from ortlab.worker.reading import (
    dimensions,
    dtypes,
    external,
    fingerprint,
    flops,
    preflight,
    sniff,
    structure,
    wire,
)

# A hostile file can have a fault in each of 200,000 nodes; nobody reads past the first few.
_MAX_PROBLEMS = 50
_MAX_QUESTIONS = 500
_PATH_HINT = "Check the path; a model is one .onnx file, with its data files beside it."


def inspect(request: dict[str, Any], context: Context) -> dict[str, Any]:
    """`ModelInfo` as plain data.

    Args:
        request: `path` of the .onnx file, read only; `max_ir_version` and `max_opset` of the
            installed ONNX Runtime where the caller knows them, else its version tells.
        context: of the worker.
    """
    context.phase("inspect")
    # Hundreds of thousands of small objects are made and none in a circle: looking for
    # circles takes a tenth of the time.
    gc.disable()
    try:
        info = model_info(Path(request["path"]), preflight.limits(request))
    finally:
        gc.enable()
    plain: dict[str, Any] = msgspec.to_builtins(info)
    return plain


def model_info(path: Path, limits: preflight.Limits) -> ModelInfo:
    """What the file at `path` is, with everything `limits` will refuse.

    Raises:
        ModelError: it is not an ONNX model, or cut off.
    """
    with opened(path) as buffer:
        identity = fingerprint.Fingerprint(path)
        model = wire.walk(buffer)
        if model.graph is None:
            raise _no_graph(path, model)
        return _described(path, model, model.graph, limits=limits, identity=identity)


@contextmanager
def opened(path: Path) -> Iterator[mmap.mmap]:
    """The file as a read-only memory map, once its first bytes allow that it is ONNX."""
    with _regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = _head(path, file)
        sniff.refuse_other_formats(head, name=path.name, file_bytes=size)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as found:
            yield found


def _head(path: Path, file: BinaryIO) -> bytes:
    try:
        return file.read(sniff.HEAD_BYTES)
    except OSError as error:  # a disk that fails, or what only looks like a file
        raise _unreadable(path, error) from None


def _regular_file(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "a folder" if path.is_dir() else "a device or pipe"
            raise ModelError(f"'{path}' is {what}, not a model file.", hint=_PATH_HINT)
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ModelError:
    reason = getattr(error, "strerror", None) or str(error)
    return ModelError(f"'{str(path)[:300]}' cannot be read: {reason}.", hint=_PATH_HINT)


def _no_graph(path: Path, model: wire.Model) -> ModelError:
    if model.ir_version is None and not model.opsets:
        return ModelError(
            f"'{path.name}' is not an ONNX model: it has no IR version, no opset and no graph.",
            hint="Export the model to ONNX and give the .onnx file.", kind="not_onnx",
        )  # fmt: skip
    return ModelError(
        f"'{path.name}' holds no graph, so there is nothing to run.",
        hint="The file may be cut off, or hold weights alone; export it again.", kind="not_onnx",
    )  # fmt: skip


def _described(
    path: Path,
    model: wire.Model,
    graph: wire.Graph,
    *,
    limits: preflight.Limits,
    identity: fingerprint.Fingerprint,
) -> ModelInfo:
    file_bytes = path.stat().st_size
    parts = external.data_files(path, model.externals)
    named = dimensions.names(graph)
    hints = dimensions.hints(named)
    nodes = [node for g in (graph, *model.functions) for node in structure.every_node(g)]
    weights = [tensor for g in _graphs(graph) for tensor in g.initializers]
    work = flops.work(model, graph, dimensions.sizes(named))
    return ModelInfo(
        id=identity.model_id(model.payloads, parts),
        name=path.name,
        file_bytes=file_bytes,
        external_data=external.as_records(parts),
        ir_version=model.ir_version or 0,
        opsets={domain or "ai.onnx": version for domain, version in model.opsets.items()},
        producer=model.producer,
        inputs=tuple(_tensor_info(value) for value, _ in named),
        outputs=tuple(_tensor_info(value) for value in graph.outputs),
        op_counts=_by_count(node.op_type for node in nodes),
        op_domains=_by_count(node.domain or "ai.onnx" for node in nodes),
        node_count=len(graph.nodes),
        subgraph_node_count=len(nodes) - len(graph.nodes),
        parameter_count=_bounded(sum(dtypes.element_count(t.dims) for t in weights)),
        parameter_bytes=_bounded(sum(dtypes.tensor_bytes(t.dtype, t.dims) for t in weights)),
        flops=work.flops,
        bytes_moved=work.bytes_moved,
        symbolic_dims=tuple(hints),
        dim_hints=hints,
        problems=(
            *islice(_problems(path, model, graph, limits=limits, parts=parts), _MAX_PROBLEMS),
            *islice(dimensions.problems(named), _MAX_QUESTIONS),
        ),
    )


def _problems(
    path: Path,
    model: wire.Model,
    graph: wire.Graph,
    *,
    limits: preflight.Limits,
    parts: list[fingerprint.DataFile],
) -> Iterator[Problem]:
    yield from preflight.version_problems(model, limits, file_bytes=path.stat().st_size)
    yield from external.problems(path, model.externals, parts)
    yield from structure.problems(model, graph)
    yield from preflight.operator_problems(model, limits)


def _tensor_info(value: wire.Value) -> TensorInfo:
    return TensorInfo(
        name=value.name,
        dtype=dtypes.dtype_name(value.dtype),
        shape=value.shape,
        kind="optional" if value.optional and value.kind == "tensor" else value.kind,
        optional=value.optional,
    )


def _graphs(graph: wire.Graph) -> Iterator[wire.Graph]:
    yield graph
    for node in structure.every_node(graph):
        yield from node.graphs


def _bounded(count: int) -> int:
    """The count, kept within 63 bits: hostile dimensions multiply to more than JSON takes."""
    return min(count, (1 << 63) - 1)


def _by_count(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())
