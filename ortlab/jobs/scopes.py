"""The module of each node of a stored model: from its metadata, or from its names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from ortlab.analysis.naming.module_names import Path as ModulePath
from ortlab.analysis.naming.module_names import module_path
from ortlab.errors import OrtlabError
from ortlab.sandbox.spawn import run_task
from ortlab.store.home import Store

# A change of what is kept makes the documents anew.
_KEY = "scopes/1:"


def scopes_of(store: Store, model_id: str) -> Mapping[str, ModulePath]:
    """Module path by node name and by tensor name; read off the model's file once, then kept.

    Nothing is told where the file is gone or changed: then the names in a profile must do.
    """
    try:
        return _cached(store, model_id)
    except OrtlabError:
        return {}


# A model's id is made of its content, so what its nodes are called never changes.
@lru_cache(maxsize=8)
def _cached(store: Store, model_id: str) -> Mapping[str, ModulePath]:
    document = store.reports.find(_KEY + model_id)
    if document is None:
        document = _read(store, model_id)
        store.reports.save(_KEY + model_id, document)
    return {
        name: tuple(path)
        for name, path in msgspec.json.decode(document, type=dict[str, list[str]]).items()
    }


def _read(store: Store, model_id: str) -> str:
    """The paths as JSON."""
    with store.folder("scopes") as folder:
        out = folder / "scopes.json"
        request = {"path": str(store.models.graph_file(model_id)), "out": str(out)}
        run_task("scopes", request, folder=folder / "worker",
                 timeout_s=store.settings.inspect_timeout_s)  # fmt: skip
        found = msgspec.json.decode(out.read_bytes())
    return msgspec.json.encode(paths(found)).decode()


def paths(found: dict[str, Any]) -> dict[str, ModulePath]:
    """Module path by name of node and tensor, of what a worker read.

    A name that stands for nodes of different modules tells nothing and is left out.
    """
    known: dict[str, ModulePath | None] = {}
    for name, outputs, number in found["nodes"]:
        scopes = found["scopes"][number] if number >= 0 else None
        path = module_path(name, scopes)
        # Metadata may say that a node lies in the model itself; a name without a path says nothing.
        if path or scopes or name.startswith("/"):
            for key in filter(None, (name, *outputs)):
                known[key] = path if known.get(key, path) == path else None
    return {name: path for name, path in known.items() if path is not None}
