"""The user's own arrays: an .npz checked against the model before a byte of data is read."""

from __future__ import annotations

import difflib
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ortlab.errors import FeedError
from ortlab.worker.feeding.dims import Dims
from ortlab.worker.feeding.graph import Input
from ortlab.worker.feeding.types import PACKED, STRING, bfloat16_bits, element_type, packed

# Arrays of these names are for judging the outputs, not for feeding.
IGNORED = ("label", "labels")
DEFAULT_LIMIT_BYTES = 4 << 30
# A file that opens to more than this many times its size is meant to do harm, once it is large.
_RATIO, _RATIO_FROM_BYTES = 100, 256 << 20
_HEADER_BYTES = 1 << 16
# What zipfile and NumPy raise over a damaged file, such as names that are no text.
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class _Header:
    """What one array in the file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read(
    path: Path, inputs: Sequence[Input], *, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> dict[str, Any]:
    """The user's values by input, in stored form.

    Raises:
        FeedError: not an npz, pickles, too large, or arrays that do not fit the model.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(path, archive, limit_bytes)
            headers = {_stem(m): _header(archive, m) for m in archive.infolist()}
        _check_names(path, headers, inputs)
        with np.load(path, allow_pickle=False) as arrays:
            return {fed.name: _value(fed, headers, arrays) for fed in inputs}
    except FileNotFoundError:
        raise FeedError(f"There is no file {path.name} to feed.") from None
    except _UNREADABLE as error:
        raise FeedError(
            f"{path.name} is not an .npz file: {_other_kind(path) or error}.",
            hint="Write it with numpy.savez(file, input_name=array, …).",
        ) from None


def _other_kind(path: Path) -> str | None:
    """What the file is instead, where its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"\x93NUMPY"):
        return "it is a single array without a name (.npy)"
    if head.lstrip().startswith(b"<"):
        return "it is a web page"
    return None if head else "it is empty, 0 bytes"


def dims_of(values: Mapping[str, Any], inputs: Sequence[Input], dims: Dims) -> Dims:
    """The sizes of the open dimensions that the user's arrays have.

    Raises:
        FeedError: two inputs, or an input and `--dim`, disagree on a dimension.
    """
    found: dict[str, tuple[int, str]] = {}
    for fed in inputs:
        if fed.kind != "tensor" or fed.dims is None or values[fed.name] is None:
            continue
        for axis, size in enumerate(values[fed.name].shape):
            key = dims.keys[fed.name, axis]
            if not isinstance(key, str) or (key not in dims.sizes):
                continue
            if key in dims.locked and dims.sizes[key] != size:
                raise FeedError(
                    f"Input '{fed.name}' has {size} on axis {axis}, but the dimension '{key}' "
                    f"was set to {dims.sizes[key]}.",
                    hint=f"Leave out --dim {key}, or feed an array of that size.",
                )
            other, name = found.setdefault(key, (size, fed.name))
            if other != size:
                raise FeedError(
                    f"Inputs '{name}' and '{fed.name}' disagree on the dimension '{key}': "
                    f"{other} and {size}.",
                    hint="Dimensions of one name must have one size.",
                )
    return dims.changed({key: size for key, (size, _) in found.items()})


def _stem(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _check_size(path: Path, archive: zipfile.ZipFile, limit_bytes: int) -> None:
    size = sum(m.file_size for m in archive.infolist())
    packed = max(path.stat().st_size, 1)
    if size > limit_bytes or (size > _RATIO_FROM_BYTES and size > packed * _RATIO):
        raise FeedError(
            f"{path.name} opens to {size >> 20:,} MiB from {packed:,} bytes; that is refused.",
            hint=f"At most {limit_bytes >> 20:,} MiB, and no more than {_RATIO} times the file.",
        )


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Header:
    """Shape and dtype of one array, checked against the bytes that are really there."""
    name = _stem(member)
    try:
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            reader = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = reader(stream, max_header_size=_HEADER_BYTES)
            start = stream.tell()
    except ValueError as error:
        raise FeedError(f"The array '{name}' cannot be read: {error}.") from None
    if dtype.hasobject:
        raise FeedError(
            f"The array '{name}' holds pickled Python objects, which are never opened.",
            hint="Save numbers, or texts as a unicode array: numpy.array([...], dtype=str).",
        )
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if min(shape, default=0) < 0 or count * dtype.itemsize != member.file_size - start:
        raise FeedError(f"The array '{name}' is cut off: it says {shape} of {dtype}.")
    return _Header(shape, dtype)


def _check_names(path: Path, headers: Mapping[str, _Header], inputs: Sequence[Input]) -> None:
    names = [fed.name for fed in inputs]
    held = {re.sub(r"\[\d+\]$", "", h) if h not in names else h for h in headers}
    for name in held:
        if name not in names and name not in IGNORED:
            near = difflib.get_close_matches(name, names, n=1)
            raise FeedError(
                f"{path.name} holds '{name}', but the model has no input of that name; "
                f"it has: {', '.join(names) or 'none'}.",
                hint=f"Did you mean '{near[0]}'?" if near else "Rename the array.",
            )
    for fed in inputs:
        if fed.name not in held and not fed.optional:
            raise FeedError(
                f"{path.name} lacks the input '{fed.name}' ({_wanted(fed)}).",
                hint=f"Add it: numpy.savez(file, **{{'{fed.name}': array}}).",
            )


def _wanted(fed: Input) -> str:
    kind = element_type(fed.element, name=fed.name)
    shape = (
        "any shape" if fed.dims is None else str([d if d is not None else "?" for d in fed.dims])
    )
    return f"{kind.name} {shape}"


def _value(fed: Input, headers: Mapping[str, _Header], arrays: Mapping[str, Any]) -> Any:
    if fed.kind == "sequence":
        items = [h for h in headers if re.fullmatch(re.escape(fed.name) + r"\[\d+\]", h)]
        ordered = sorted(items, key=lambda h: int(h.rsplit("[", 1)[1][:-1]))
        return [_checked(fed, name, headers[name], arrays) for name in ordered]
    if fed.kind == "map":
        raise FeedError(f"Input '{fed.name}' is a map, which an .npz cannot hold.")
    if fed.name not in headers:
        return None
    return _checked(fed, fed.name, headers[fed.name], arrays)


def _checked(fed: Input, name: str, header: _Header, arrays: Mapping[str, Any]) -> Any:
    _check_shape(fed, header)
    kind = element_type(fed.element, name=fed.name)
    found = header.dtype
    if fed.element == STRING and found.kind in "US":
        return arrays[name].astype(np.str_).astype(object)
    if fed.element == 16 and found == np.float32:
        return bfloat16_bits(arrays[name])
    if fed.element in PACKED and found.itemsize == 1 and found.kind in "Viu":
        return packed(arrays[name].view(np.int8))
    # ml_dtypes writes its types as raw bytes of the same width.
    raw = kind.by_value and found.kind in "Vu" and found.itemsize == kind.dtype.itemsize
    if raw or found.newbyteorder("=") == kind.dtype:
        array = np.ascontiguousarray(arrays[name]).reshape(header.shape)
        return array.view(kind.dtype) if raw else array.astype(kind.dtype, copy=False)
    also = " (or float32, which is rounded)" if fed.element == 16 else ""
    raise FeedError(
        f"Input '{fed.name}' needs {kind.name}{also}, but the file holds {found.name}.",
        hint=f"Convert it before saving: array.astype('{kind.name}')." if not kind.by_value
        else f"Save the bits as {kind.dtype.name}.",
    )  # fmt: skip


def _check_shape(fed: Input, header: _Header) -> None:
    if fed.dims is None:
        return
    fits = len(fed.dims) == len(header.shape) and all(
        not isinstance(want, int) or want == size
        for want, size in zip(fed.dims, header.shape, strict=False)
    )
    if not fits:
        raise FeedError(
            f"Input '{fed.name}' needs {_wanted(fed)}, but the file holds {list(header.shape)}.",
            hint="Names in the needed shape may have any size; numbers may not.",
        )
