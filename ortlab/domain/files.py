"""What lies at a path, and where a model's external data may lie: beside it, nowhere else."""

from __future__ import annotations

import re
import stat
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from ortlab.errors import ModelError, RequestError

# What the file systems of today take; a longer one makes every question about it an OSError.
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 4095
_TRACE_ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_MODEL_ENDINGS = (".onnx", ".ort", ".zip")
# What a profile begins with; a model is protobuf and begins with a field number.
_JSON_START = re.compile(rb"(\xef\xbb\xbf)?\s*[\[{]")
_GZIP_START, _GZIP_WINDOW_BITS = b"\x1f\x8b", 31
# Holds a packed file's own header, with a name in it, and enough to unpack its first letters.
_HEAD_BYTES, _UNPACKED_BYTES = 4096, 64


def user_path(text: str | Path) -> Path:
    """The path that a person typed; `~` is their home.

    Raises:
        RequestError: no path can be written so, or not one that JSON and the store can hold.
    """
    shown = str(text).encode("utf-8", "replace").decode()
    if shown != str(text):
        raise RequestError(f"The path '{shown}' is not text in UTF-8.", hint="Rename the file.")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise RequestError(
            f"'{shown[:300]}' begins with '~', and there is no such home here.",
            hint="Write the path from the root.",
        ) from None


def is_file(path: Path) -> bool:
    """True for a regular file; False also for what cannot be a path, such as one too long."""
    return _has_kind(path, stat.S_IFREG)


def is_folder(path: Path) -> bool:
    """True for a folder; False also for what cannot be a path, such as one too long."""
    return _has_kind(path, stat.S_IFDIR)


def looks_like_trace(path: Path) -> bool:
    """True for what is read as a profile: named `.json` or `.json.gz`, or text that is JSON."""
    name = path.name.lower()
    return name.endswith(_TRACE_ENDINGS) or (
        not name.endswith(_MODEL_ENDINGS) and begins_as_json(path)
    )


def begins_as_json(path: Path) -> bool:
    """True for a file whose first letter opens a list or an object, packed with gzip or not."""
    if not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # Whoever reads it next says why it cannot be read.
        return False
    return _JSON_START.match(_unpacked(head)) is not None


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(_GZIP_START):
        return head
    try:
        return zlib.decompressobj(_GZIP_WINDOW_BITS).decompress(head, _UNPACKED_BYTES)
    except zlib.error:
        return b""


def _has_kind(path: Path, kind: int) -> bool:
    try:
        return stat.S_IFMT(path.stat().st_mode) == kind
    except (OSError, ValueError):
        return False


def data_path(model: Path, location: str) -> Path:
    """The file that `location`, as a model states it, means for a model at `model`.

    ONNX Runtime's own rule: relative, without `..`, and after following links still in the
    folder of the model (of the file the model links to, where it is a link itself).

    Raises:
        ModelError: the location leaves the model's folder.
    """
    reason = _escapes(location)
    path = model.parent / location if reason is None else model
    if reason is None and not _within(path, model):
        reason = "is a link to somewhere else, outside the folder of the model"
    if reason is None:
        return path
    raise ModelError(
        f"External data '{location[:200]}' {reason}.",
        hint="ONNX Runtime refuses this. Put the data file beside the model and export again, "
        "or repack it where it is trusted.",
        kind="external_data_escapes",
    )


def _escapes(location: str) -> str | None:
    """Why the text alone leaves the folder, on any platform; None when it stays."""
    if not location.strip() or "\0" in location:
        return "is not a file name"
    if _is_too_long(location):
        return f"is a name of {len(location):,} letters, longer than a file's can be"
    windows, posix = PureWindowsPath(location), PurePosixPath(location)
    if windows.drive or windows.root or posix.is_absolute():
        return "is an absolute path, outside the folder of the model"
    if ".." in windows.parts or ".." in posix.parts:
        return "goes up with '..', outside the folder of the model"
    return None


def _is_too_long(location: str) -> bool:
    parts = [part.encode("utf-8", "replace") for part in location.split("/")]
    return sum(map(len, parts), len(parts)) > _MAX_PATH_BYTES or any(
        len(part) > _MAX_NAME_BYTES for part in parts
    )


def _within(path: Path, model: Path) -> bool:
    inner = path.relative_to(model.parent)
    if not any((model.parent / part).is_symlink() for part in (inner, *inner.parents[:-1])):
        return True
    try:
        real = path.resolve()
        homes = (model.parent.resolve(), model.resolve().parent)
    except (OSError, RuntimeError):  # a loop of links
        return False
    return any(real.is_relative_to(home) for home in homes)
