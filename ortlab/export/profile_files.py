"""A profile as files for other programs: which there are, how they are named and written."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ortlab.catalog.exports import format_of
from ortlab.domain.trace import Profile
from ortlab.export import chrome, model_explorer, spans, speedscope, tables
from ortlab.export.folder import writing


def write(
    kind: str, profile: Profile, events: Path, *, out: Path, run: int | str | None = None
) -> list[Path]:
    """The files written: `out`, or several in the folder `out` or beside it.

    Args:
        kind: the id of one of `ortlab.catalog.exports.FORMATS`.
        profile: what to write.
        events: the stored events of the same trace.
        out: a file; of CSV and Model Explorer a folder, or the first file of several. A name
            that ends in `.gz` is packed.
        run: number of the run that single events are shown of, `all`, or None for a steady
            one of middling length.

    Raises:
        RequestError: there is no such format or run, or `out` cannot be written.
        StoreError: the disk is full.
    """
    chosen = format_of(kind)
    if chosen.of_runs:
        pieces = _of_runs(kind, profile, events, run)
        with writing(out.parent), _opened(out) as file:
            for piece in pieces:
                file.write(piece)
        return [out]
    written: list[Path] = []
    for name, content in _of_profile(kind, profile).items():
        path = _beside(out, name, first=not written, suffix=chosen.suffix)
        with writing(path.parent), _opened(path) as file:
            file.write(content)
        written.append(path)
    return written


def as_one_file(
    kind: str, profile: Profile, events: Path, *, run: int | str | None = None
) -> bytes:
    """What `write` would write, for a browser: a packed trace, or a zip where there are several."""
    if format_of(kind).of_runs:
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as file:
            for piece in _of_runs(kind, profile, events, run):
                file.write(piece)
        return packed.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _of_profile(kind, profile).items():
            archive.writestr(name + format_of(kind).suffix, content)
    return packed.getvalue()


def _of_runs(kind: str, profile: Profile, events: Path, run: int | str | None) -> Iterator[bytes]:
    # Cut before anything is written, so that a wrong run leaves no file behind.
    cut = spans.cut(profile, events, run=run)
    if kind == "chrome":
        return chrome.blocks(cut, source=profile.source)
    return iter([speedscope.document(cut, profile)])


def _of_profile(kind: str, profile: Profile) -> dict[str, bytes]:
    return tables.files(profile) if kind == "csv" else model_explorer.files(profile)


def _beside(out: Path, name: str, *, first: bool, suffix: str) -> Path:
    if out.suffix.lower() != suffix:
        return out / f"{name}{suffix}"
    return out if first else out.with_name(f"{out.stem}.{name}{suffix}")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        if path.suffix.lower() != ".gz":
            yield file
            return
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
            yield cast(BinaryIO, packed)
