"""What a session returns, kept on disk, and how far it is from what another returned.

An outputs file is an npz of plain arrays with `outputs.json` inside; nothing is pickled. Two
files are compared block by block, so outputs larger than memory can be judged. How each figure
is made is told in docs/method.md, section "Is it still right?".
Standard library, numpy and onnxruntime only.
"""

from __future__ import annotations

import ctypes
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ortlab.errors import MeasurementError
from ortlab.worker import feeds
from ortlab.worker.feeding.types import PACKED, TYPES, as_float, unpacked
from ortlab.worker.output_errors import BLOCK_ELEMENTS, Stored, accuracy, compared
from ortlab.worker.protocol import Context, Message

Array = np.ndarray[Any, Any]
INDEX = "outputs.json"


@dataclass(frozen=True)
class Leaf:
    """One array of the outputs. `element` is ONNX's number where numpy lacks the type, else 0."""

    name: str
    value: Array | None
    element: int = 0
    note: str = ""


def record(request: Message, context: Context) -> Message:
    """Runs the open session once and keeps everything it returns.

    Request: `path` to write. Reply: `path`, `outputs` (name, dtype, shape), `nan_count`,
    `inf_count` over all float outputs.
    """
    context.phase("outputs")
    session, fed = context.state["session"], context.state["feeds"]
    names = [output.name for output in session.get_outputs()]
    by_value = feeds.needs_ort_values(fed)
    values = session.run_with_ort_values(names, fed) if by_value else session.run(None, fed)
    leaves = [leaf for n, v in zip(names, values, strict=True) for leaf in leaves_of(n, v)]
    path = Path(request["path"])
    save(path, leaves)
    counts = [_not_finite(leaf) for leaf in leaves]
    return {
        "path": str(path),
        "outputs": [_about(leaf) for leaf in leaves],
        "nan_count": sum(nan for nan, _ in counts),
        "inf_count": sum(inf for _, inf in counts),
    }


def compare(request: Message, context: Context) -> Message:
    """How far the outputs in `candidate` are from those in `baseline`.

    Reply: `ortlab.domain.accuracy.Accuracy` as plain data.

    Raises:
        MeasurementError: one of the files is not an outputs file.
    """
    context.phase("compare")
    with _opened(request["baseline"]) as ours, _opened(request["candidate"]) as theirs:
        candidate = {stored.name: stored for stored in _index(theirs)}
        rows = [compared(stored, candidate.pop(stored.name, None)) for stored in _index(ours)]
    return accuracy(rows, extra=sorted(candidate))


def leaves_of(name: str, value: Any) -> Iterator[Leaf]:
    """The arrays in one output: the items of sequences, the keys and values of maps."""
    if value is None:
        yield Leaf(name, None, note="none")
    elif hasattr(value, "data_ptr"):
        yield _of_ort_value(name, value)
    elif isinstance(value, dict):
        yield Leaf(f"{name}.keys", _plain(list(value)))
        yield Leaf(f"{name}.values", _plain(list(value.values())))
    elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        yield from _of_rows(name, value)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves_of(f"{name}[{i}]", item)
    else:
        yield Leaf(name, _plain(value))


def _of_rows(name: str, rows: list[dict[Any, Any]]) -> Iterator[Leaf]:
    """A list of maps, as ZipMap returns: one row of values each when all have the same keys."""
    keys = list(rows[0])
    if all(list(row) == keys for row in rows):
        yield Leaf(f"{name}.keys", _plain(keys))
        yield Leaf(f"{name}.values", _plain([[row[k] for k in keys] for row in rows]))
        return
    for i, row in enumerate(rows):
        yield from leaves_of(f"{name}[{i}]", row)


def _of_ort_value(name: str, value: Any) -> Leaf:
    if not value.is_tensor():
        return Leaf(name, None, note=f"a {value.data_type()}, which cannot be kept")
    element = value.element_type()
    if element not in TYPES or not TYPES[element].by_value:
        return Leaf(name, _plain(value.numpy()))
    if value.device_name() != "cpu":
        return Leaf(name, None, note=f"{TYPES[element].name} on a device, which cannot be kept")
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    if element in PACKED:
        return Leaf(name, unpacked(content, tuple(value.shape()), element))
    array = np.frombuffer(content, TYPES[element].dtype).reshape(value.shape())
    return Leaf(name, array, element)


def _plain(value: Any) -> Array:
    """An array without Python objects in it."""
    array = np.asarray(value)
    if array.dtype.hasobject:
        array = array.astype(np.str_)
    return np.ascontiguousarray(array).reshape(array.shape)


def save(path: Path, leaves: list[Leaf]) -> None:
    """Write an outputs file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(INDEX, json.dumps([_about(leaf) for leaf in leaves]))
        for i, leaf in enumerate(leaves):
            if leaf.value is not None:
                with archive.open(f"{i}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, leaf.value, allow_pickle=False)


def _about(leaf: Leaf) -> Message:
    if leaf.value is None:
        return {"name": leaf.name, "dtype": "none", "shape": None, "element": 0, "note": leaf.note}
    dtype = TYPES[leaf.element].name if leaf.element else leaf.value.dtype.name
    kind = "string" if leaf.value.dtype.kind == "U" else dtype
    shape = list(leaf.value.shape)
    return {"name": leaf.name, "dtype": kind, "shape": shape, "element": leaf.element, "note": ""}


def _not_finite(leaf: Leaf) -> tuple[int, int]:
    """How many NaN and how many infinities."""
    if leaf.value is None or not (leaf.element or leaf.value.dtype.kind == "f"):
        return 0, 0
    nan = inf = 0
    flat = leaf.value.reshape(-1)
    for at in range(0, flat.size, BLOCK_ELEMENTS):
        values = as_float(flat[at : at + BLOCK_ELEMENTS], leaf.element)
        nan += int(np.isnan(values).sum())
        inf += int(np.isinf(values).sum())
    return nan, inf


def _opened(path: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise MeasurementError(
            f"The outputs in {Path(path).name} cannot be read: {error}."
        ) from None


def _index(archive: zipfile.ZipFile) -> list[Stored]:
    rows: list[Message] = json.loads(archive.read(INDEX))
    return [
        Stored(row["name"], row["element"], row["note"], archive, f"{i}.npy")
        for i, row in enumerate(rows)
    ]
