"""Saving a repaired model so that it stands on its own: one graph file, one data file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import onnx

from ortlab.domain.files import data_path
from ortlab.errors import ModelError, RequestError
from ortlab.worker.reading import external
from ortlab.worker.reading.wire import Tensor

# Weights begin at page borders, so that ONNX Runtime can map them.
_ALIGN_BYTES = 4096
_CHUNK_BYTES = 16 << 20


def data_path_of(out: Path) -> Path:
    """Where the external data of a model saved at `out` goes."""
    return out.with_name(out.name + ".data")


def save(model: onnx.ModelProto, *, source: Path, out: Path) -> None:
    """Write `out`, and beside it the weights that `source` keeps outside its file.

    Both appear whole or not at all; nothing is loaded into memory but the graph.

    Raises:
        ModelError: weights are missing, cut off, or outside the model's folder.
        RequestError: `out` cannot be written.
    """
    try:
        _save(model, source=source, out=out)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise RequestError(
            f"'{out}' cannot be written: {error.strerror or error}.",
            hint="Choose another place with -o.",
        ) from None


def _save(model: onnx.ModelProto, *, source: Path, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, partial_data = _partial(out), _partial(data_path_of(out))
    tensors = [t for t in _tensors(model) if t.data_location == onnx.TensorProto.EXTERNAL]
    try:
        if tensors:
            _write_data(tensors, source=source, target=partial_data, name=data_path_of(out).name)
        onnx.save(model, str(partial))
        if tensors:
            partial_data.replace(data_path_of(out))
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
        partial_data.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial-{os.getpid()}")


def _write_data(tensors: list[onnx.TensorProto], *, source: Path, target: Path, name: str) -> None:
    with target.open("wb") as out:
        for tensor in tensors:
            out.seek(-out.tell() % _ALIGN_BYTES, os.SEEK_CUR)
            start = out.tell()
            length = _copy_weight(tensor, source, out)
            del tensor.external_data[:]
            for key, value in (("location", name), ("offset", start), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))


def _copy_weight(tensor: onnx.TensorProto, source: Path, out: BinaryIO) -> int:
    """Bytes of the weight, copied from where the source keeps them."""
    start, end, path = _span(tensor, source)
    left = end - start
    with path.open("rb", buffering=0) as data:
        data.seek(start)
        while left:
            chunk = data.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise ModelError(
                    f"External data '{path.name}' ends {left:,} bytes before the weight "
                    f"'{tensor.name[:120]}' does.",
                    hint="The file is cut off; copy it again, then repair.",
                )
            out.write(chunk)
            left -= len(chunk)
    return end - start


def _span(tensor: onnx.TensorProto, source: Path) -> tuple[int, int, Path]:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    known = Tensor(
        name=tensor.name, dtype=tensor.data_type, dims=tuple(tensor.dims), external=entries
    )
    span = external.declared_span(known)
    if span is None:
        raise ModelError(
            f"The weight '{tensor.name[:120]}' has no readable position in its external data.",
            hint="The export is damaged: export the model again.",
        )
    return *span, _found(source, location)


def _found(source: Path, location: str) -> Path:
    """The data file where the model says it is, else the one of its name beside the model."""
    try:
        path = data_path(source, location)
        if path.is_file():
            return path
    except ModelError:
        if external.elsewhere(source, location) is None:
            raise
    beside = external.elsewhere(source, location)
    if beside is None:
        raise ModelError(
            f"The external data file '{location[:200]}' is missing, so the model cannot be "
            "written again.",
            hint="Put it into the folder of the model first.",
        )
    return beside


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model: weights and constants, in nested graphs and functions too."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        if attribute.HasField("g"):
            yield from _graph_tensors(attribute.g)
        for graph in attribute.graphs:
            yield from _graph_tensors(graph)
