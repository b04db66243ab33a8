"""Feeds on disk: `feeds.npz`, and beside it `feeds.json` with what an npz cannot tell.

Plain arrays lie in the npz under their input's name. bfloat16 and float8 lie there as unsigned
integers, texts as fixed-width unicode, the items of a sequence one by one; the json says so.
Nothing is ever pickled. Standard library, numpy and onnxruntime only.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ortlab.errors import FeedError
from ortlab.worker.feeding.types import STRING, TYPES

FORMAT = "ortlab.feeds/1"


@dataclass(frozen=True)
class Fed:
    """One input's value in stored form, with its ONNX element number."""

    value: Any
    element: int


def save(path: Path, feeds: Mapping[str, Fed], *, by_value: bool) -> None:
    """Write `path` and the json beside it. `by_value`: the model needs OrtValues throughout."""
    rows = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, fed in feeds.items():
            kind = _kind(fed.value)
            rows.append({"name": name, "kind": kind, "element": fed.element} | _inline(fed.value))
            for key, array in _arrays(name, fed.value):
                with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, _writable(array), allow_pickle=False)
    sidecar = {"format": FORMAT, "by_value": by_value, "inputs": rows}
    path.with_suffix(".json").write_text(json.dumps(sidecar))


def load(path: Path) -> dict[str, Any]:
    """What `session.run` takes, or `run_with_ort_values` where `needs_ort_values` says so.

    Raises:
        FeedError: the file is not one that ortlab wrote.
    """
    try:
        sidecar = json.loads(path.with_suffix(".json").read_text())
        with np.load(path, allow_pickle=False) as arrays:
            feeds = {row["name"]: _value(row, arrays) for row in sidecar["inputs"]}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FeedError(f"The feeds in {path.name} cannot be read: {error}.") from None
    elements = {row["name"]: row["element"] for row in sidecar["inputs"]}
    return to_ort(feeds, elements, by_value=sidecar["by_value"])


def needs_ort_values(feeds: Mapping[str, Any]) -> bool:
    """Whether these feeds go to `run_with_ort_values` instead of `run`."""
    return any(hasattr(value, "data_ptr") for value in feeds.values())


def to_ort(
    feeds: Mapping[str, Any], elements: Mapping[str, int], *, by_value: bool
) -> dict[str, Any]:
    """Stored values as ONNX Runtime takes them.

    OrtValues made here keep the array that they lie on alive.

    Raises:
        FeedError: an input that needs an OrtValue is a text, a sequence or a map.
    """
    if not by_value:
        return dict(feeds)
    import onnxruntime as ort

    made: dict[str, Any] = {}
    for name, value in feeds.items():
        element = elements[name]
        if not isinstance(value, np.ndarray) or element == STRING:
            raise FeedError(
                f"Input '{name}' cannot be fed together with bfloat16 or float8 tensors.",
                hint="ONNX Runtime's Python interface takes either OrtValues or texts and "
                "sequences in one call, not both.",
            )
        if TYPES[element].by_value:
            made[name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(value, element)
        else:
            made[name] = ort.OrtValue.ortvalue_from_numpy(value, "cpu", 0)
    return made


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    return "sequence" if isinstance(value, list) else "map" if isinstance(value, dict) else "tensor"


def _inline(value: Any) -> dict[str, Any]:
    """What is written into the json itself: the pairs of a map, the length of a sequence."""
    if isinstance(value, dict):
        return {"pairs": list(value.items())}
    return {"items": len(value)} if isinstance(value, list) else {}


def _arrays(name: str, value: Any) -> list[tuple[str, np.ndarray[Any, Any]]]:
    if isinstance(value, list):
        return [(f"{name}[{i}]", item) for i, item in enumerate(value)]
    return [(name, value)] if isinstance(value, np.ndarray) else []


def _writable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(np.str_) if array.dtype == object else array


def _value(row: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    name = row["name"]
    if row["kind"] == "none":
        return None
    if row["kind"] == "map":
        return dict(row["pairs"])
    if row["kind"] == "sequence":
        return [_readable(arrays[f"{name}[{i}]"]) for i in range(row["items"])]
    return _readable(arrays[name])


def _readable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.astype(object) if array.dtype.kind == "U" else array
