"""Imports that pages need, made while the browser still loads its own part."""

from __future__ import annotations

import importlib
import threading

# What a first answer, figure and table wait for longest, in this order.
_SLOW = ("ortlab.store.home", "ortlab.charts.theme", "pyarrow.parquet", "pandas",
         "ortlab.ui.profile_views", "ortlab.charts.operators")  # fmt: skip
_STARTED = threading.Event()


def start() -> None:
    """Begin once per process, in the background."""
    if not _STARTED.is_set():
        _STARTED.set()
        threading.Thread(target=_load, daemon=True, name="preload").start()


def _load() -> None:
    for name in _SLOW:
        importlib.import_module(name)
