"""The user's own input arrays: dropped as a file, or named by a path on this machine."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import streamlit as st

from ortlab.ui import upload, words

_KEY = "npz-file"


def field() -> str | None:
    """Path of the .npz to feed, or None to generate inputs."""
    turn = st.session_state.setdefault("npz-turn", 0)
    dropped = st.file_uploader(
        "Own inputs (.npz)", key=f"npz-{turn}", accept_multiple_files=True,
        help="One array per model input, under the input's name. Without it, inputs are generated "
        "in range.",
    )  # fmt: skip
    if dropped:
        st.session_state[_KEY] = str(_kept(dropped[-1]))
        st.session_state["npz-turn"] = turn + 1
        st.rerun()
    kept = st.session_state.get(_KEY)
    if kept and Path(kept).is_file():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"Using {words.plain(Path(kept).name)}")
            if st.button("Remove", key="npz-remove", icon=":material/close:", type="tertiary"):
                del st.session_state[_KEY]
                st.rerun()
        return str(kept)
    text = st.text_input("or their path on this machine", key="npz-path").strip()
    return str(Path(text).expanduser()) if text else None


def _kept(file: Any) -> Path:
    """The dropped file on disk, in a folder named by its content; an old one is reused."""
    with upload.on_disk([file]) as paths:
        name, path = next(iter(paths.items()))
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()[:16]
        folder = upload.folder() / f"inputs-{digest}"
        folder.mkdir(exist_ok=True)
        return Path(shutil.move(path, folder / name))
