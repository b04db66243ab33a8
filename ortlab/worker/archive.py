"""A zip unpacked into a private folder, however it was made.

Nothing in its directory is believed: sizes are counted while they are written, names may only
go down, and links, devices and encrypted entries are refused before anything is written.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from ortlab.errors import ModelError
from ortlab.worker.protocol import Context

MAX_ENTRIES = 10_000
MAX_RATIO = 10
# Models of zeros or repeated weights pack far better than ten to one; below this nobody minds.
RATIO_FREE_BYTES = 256 << 20
MAX_TOTAL_BYTES = 64 << 30
_CHUNK_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(request: dict[str, Any], context: Context) -> dict[str, Any]:
    """The names of the files that were written.

    Args:
        request: `path` of the zip, `into` the folder to fill, `max_total_bytes` if other than
            64 GiB.
        context: of the worker.

    Raises:
        ModelError: it is not a zip, is damaged, would leave the folder, or unpacks to too much.
    """
    context.phase("unpack")
    path, into = Path(request["path"]), Path(request["into"])
    limit = int(request.get("max_total_bytes") or MAX_TOTAL_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked(archive)
            allowed = min(limit, max(MAX_RATIO * path.stat().st_size, RATIO_FREE_BYTES))
            _refuse_declared(entries, allowed)
            return {"files": _written(archive, entries, into, allowed)}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _bad(f"'{path.name}' is not a readable zip: {error}.") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise _bad(f"'{path.name}' holds two entries of one name.") from None
    except (UnicodeError, ValueError, RuntimeError) as error:
        raise _bad(f"'{path.name}' is damaged: {error}.") from None


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in it, once every name and kind is harmless."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _bad(f"The zip holds {len(entries):,} entries; at most {MAX_ENTRIES:,} are taken.")
    files = [entry for entry in entries if not entry.filename.endswith("/")]
    seen: set[str] = set()
    for entry in entries:
        reason = _refusal(entry)
        if reason is None and entry in files and entry.filename.lower() in seen:
            reason = "is in it twice"
        if reason is not None:
            raise _bad(f"The zip's entry '{entry.filename[:200]}' {reason}.")
        seen.add(entry.filename.lower())
    return files


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    """Why this entry is refused, or None."""
    name = entry.filename
    windows = PureWindowsPath(name)
    if not name.strip("/ ") or "\0" in entry.orig_filename or len(name) > 1000:
        return "has no usable name"
    if windows.drive or windows.root or name.startswith(("/", "\\")):
        return "has an absolute path"
    if ".." in windows.parts or ".." in PurePosixPath(name).parts:
        return "goes up with '..', outside the folder"
    if ":" in name or "\\" in name:
        return "has a name that means something else on other systems"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link" if kind == stat.S_IFLNK else "is a device or pipe"
    if entry.flag_bits & 0x1:
        return "is encrypted; unpack it yourself and give the files"
    if entry.compress_type not in _METHODS:
        return "is packed by a method other than deflate"
    return None


def _refuse_declared(entries: list[zipfile.ZipInfo], allowed: int) -> None:
    """Refuse at once what admits to be too large; what lies about it is stopped on the way."""
    total = sum(entry.file_size for entry in entries)
    if total > allowed:
        raise _too_much(f"{total:,} bytes", allowed)


def _written(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], into: Path, allowed: int
) -> list[str]:
    left = allowed
    into.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        left -= _write(archive, entry, into / entry.filename, left=left, allowed=allowed)
    return [entry.filename for entry in entries]


def _write(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, *, left: int, allowed: int
) -> int:
    """Bytes written for one entry, never more than `left`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # O_EXCL: an entry can never go through something that lies there already.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    written = 0
    with _opened(archive, entry) as source, os.fdopen(os.open(target, flags, 0o600), "wb") as out:
        while chunk := source.read(_CHUNK_BYTES):
            written += len(chunk)
            if written > left:
                raise _too_much("more than it says", allowed)
            out.write(chunk)
    return written


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(entry)
    except OSError as error:  # an offset that lies before the file
        raise zipfile.BadZipFile(str(error)) from None


def _too_much(what: str, allowed: int) -> ModelError:
    return ModelError(
        f"The zip unpacks to {what}; at most {allowed:,} bytes are taken from it.",
        hint="Unpack it yourself and give the path of the model file.",
        kind="bad_archive",
    )


def _bad(message: str) -> ModelError:
    return ModelError(
        message, hint="Zip the .onnx file and its data files anew.", kind="bad_archive"
    )
