"""Uploaded files: from the server's memory to disk at once, and then forgotten there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamlit.runtime.scriptrunner import get_script_run_ctx

from ortlab.ui.door import lab

_COPY_BYTES = 1 << 20


@contextmanager
def on_disk(files: list[Any]) -> Iterator[dict[str, Path]]:
    """Dropped files as paths, each taken out of the server's memory once it is written."""
    with tempfile.TemporaryDirectory(prefix="upload-", dir=folder()) as private:
        paths = {}
        for number, file in enumerate(files):
            # The number keeps apart what was dropped twice; the given name is never a path.
            target = Path(private) / str(number) / (Path(file.name).name or "file")
            target.parent.mkdir()
            with target.open("wb") as out:
                shutil.copyfileobj(file, out, _COPY_BYTES)
            _forget(file)
            paths[Path(file.name).name] = target
        yield paths


def folder() -> Path:
    """Where uploads wait, inside the laboratory's home."""
    made = Path(lab().settings.home) / "uploads"
    made.mkdir(parents=True, exist_ok=True)
    return made


def _forget(file: Any) -> None:
    """Streamlit keeps uploads for the whole session; 20 of 50 MB would be a gigabyte."""
    context = get_script_run_ctx()
    drop = getattr(context.uploaded_file_mgr, "remove_file", None) if context else None
    if drop is not None:
        drop(session_id=context.session_id, file_id=file.file_id)
    file.close()
