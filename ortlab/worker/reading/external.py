"""External data as a model declares it, against the files that are really there."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from ortlab.domain.files import data_path
from ortlab.domain.model import ExternalData, Problem
from ortlab.errors import ModelError
from ortlab.worker.reading.dtypes import tensor_bytes
from ortlab.worker.reading.fingerprint import DataFile
from ortlab.worker.reading.wire import Tensor

_NAMED = 5


def data_files(model: Path, tensors: list[Tensor]) -> list[DataFile]:
    """Every file the tensors lie in, by location; one that is missing or outside has no path."""
    found: dict[str, DataFile] = {}
    for tensor in tensors:
        location = (tensor.external or {}).get("location", "")
        part = found.get(location)
        if part is None:
            part = found[location] = DataFile(location, *_measured(model, location), [])
        span = declared_span(tensor)
        if span is not None:
            part.spans.append(span)
    return [found[location] for location in sorted(found)]


def as_records(parts: list[DataFile]) -> tuple[ExternalData, ...]:
    """The files as the model card lists them."""
    return tuple(ExternalData(location=part.location, bytes=part.bytes) for part in parts)


def declared_span(tensor: Tensor) -> tuple[int, int] | None:
    """Start and end inside its file; None when the numbers are not numbers."""
    entries = tensor.external or {}
    offset, length = entries.get("offset", "0"), entries.get("length", "")
    if not offset.isascii() or not offset.isdigit() or len(offset) > 19:
        return None
    if length and (not length.isascii() or not length.isdigit() or len(length) > 19):
        return None
    size = int(length) if length else tensor_bytes(tensor.dtype, tensor.dims)
    return int(offset), int(offset) + size


def problems(model: Path, tensors: list[Tensor], parts: list[DataFile]) -> Iterator[Problem]:
    """What ONNX Runtime will refuse about the external data."""
    missing = []
    for part in parts:
        try:
            path = data_path(model, part.location)
        except ModelError as error:
            yield _outside(model, part.location, error)
            continue
        if part.bytes is not None:
            yield from _cut_off(part)
        elif _is_there(path):
            yield Problem(
                code="external-data-not-a-file",
                message=f"External data '{part.location}' is not a regular file.",
                hint="Put the data file itself beside the model.",
            )
        else:
            missing.append(part.location)
    yield from _missing(model, missing)
    yield from _wrong_sizes(tensors)


def elsewhere(model: Path, location: str) -> Path | None:
    """The regular file beside the model that has the last name of `location`.

    Flattened uploads and moved folders leave it there.
    """
    name = PureWindowsPath(PurePosixPath(location).name).name
    beside = model.parent / name
    if name in ("", ".", "..") or beside == model:
        return None
    try:
        return beside if beside.is_file() and not beside.is_symlink() else None
    except (OSError, ValueError):  # a name that no file can have
        return None


def _measured(model: Path, location: str) -> tuple[Path | None, int | None]:
    try:
        path = data_path(model, location)
        status = path.stat()
    except (ModelError, OSError, ValueError):
        return None, None
    return (path, status.st_size) if stat.S_ISREG(status.st_mode) else (None, None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _outside(model: Path, location: str, error: ModelError) -> Problem:
    beside = elsewhere(model, location)
    hint = error.hint
    if beside is not None:
        hint = f"A file '{beside.name}' lies beside the model; `ortlab fix` can refer to that one."
    return Problem(
        code="external-data-outside", message=error.message, hint=hint,
        fix="repack-external" if beside is not None else None,
    )  # fmt: skip


def _cut_off(part: DataFile) -> Iterator[Problem]:
    needed = max((end for _, end in part.spans), default=0)
    if part.bytes is not None and needed > part.bytes:
        yield Problem(
            code="external-data-cut-off",
            message=f"External data '{part.location}' has {part.bytes:,} bytes, "
            f"but the model reads up to byte {needed:,}.",
            hint="The file is cut off, or belongs to another export; copy it again.",
        )


def _missing(model: Path, locations: list[str]) -> Iterator[Problem]:
    moved = [location for location in locations if elsewhere(model, location)]
    gone = [location for location in locations if location not in moved]
    if gone:
        yield Problem(
            code="missing-external-data",
            message=f"The model keeps weights outside its file, and {_named(gone)} "
            f"{'is' if len(gone) == 1 else 'are'} missing.",
            hint="Put it into the folder of the model, or add both together (or as one .zip).",
        )
    if moved:
        yield Problem(
            code="misplaced-external-data",
            message=f"The model looks for {_named(moved)}, but a file of that name lies beside "
            "it instead.",
            hint="Move it to where the model looks, or let `ortlab fix` refer to the one there.",
            fix="repack-external",
        )


def _named(locations: list[str]) -> str:
    quoted = [f"'{location[:120]}'" for location in locations[:_NAMED]]
    more = len(locations) - len(quoted)
    return ", ".join(quoted) + (f" and {more:,} more" if more else "")


def _wrong_sizes(tensors: list[Tensor]) -> Iterator[Problem]:
    for tensor in tensors:
        span = declared_span(tensor)
        wanted = tensor_bytes(tensor.dtype, tensor.dims)
        if span is None or span[1] - span[0] != wanted:
            stated = "no readable position" if span is None else f"{span[1] - span[0]:,} bytes"
            yield Problem(
                code="external-data-size",
                message=f"The weight '{tensor.name[:120]}' is declared with {stated} of external "
                f"data where its shape needs {wanted:,}.",
                hint="The export is damaged: export the model again.",
            )
            return
