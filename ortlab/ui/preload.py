"""Imports that pages need, made while the browser still loads its own part."""

from __future__ import annotations

import threading

_STARTED = threading.Event()


def start() -> None:
    """Begin once per process, in the background."""
    if not _STARTED.is_set():
        _STARTED.set()
        threading.Thread(target=_load, daemon=True, name="preload").start()


def _load() -> None:
    """In the order in which a first visitor needs them."""
    from ortlab.errors import OrtlabError
    from ortlab.ui import door

    try:
        door.lab().history(limit=1)
    except OrtlabError:
        # The page that needs it tells the person; here it would be told to nobody.
        return
    import pandas  # noqa: F401
    import plotly.graph_objects  # noqa: F401
    import pyarrow.parquet  # noqa: F401
