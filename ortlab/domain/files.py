"""Where a model's external data may lie: beside it, and nowhere else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from ortlab.errors import ModelError


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
        reason = "is a link to somewhere else"
    if reason is None:
        return path
    raise ModelError(
        f"External data '{location[:200]}' {reason}, outside the folder of the model.",
        hint="ONNX Runtime refuses this. Put the data file beside the model and export again, "
        "or repack it where it is trusted.",
        kind="external_data_escapes",
    )


def _escapes(location: str) -> str | None:
    """Why the text alone leaves the folder, on any platform; None when it stays."""
    if not location.strip() or "\0" in location:
        return "is not a file name"
    windows, posix = PureWindowsPath(location), PurePosixPath(location)
    if windows.drive or windows.root or posix.is_absolute():
        return "is an absolute path"
    if ".." in windows.parts or ".." in posix.parts:
        return "goes up with '..'"
    return None


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
