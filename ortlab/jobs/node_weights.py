"""The weights of the nodes that one row of a study ran, from its optimized graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from ortlab.analysis.rooflines.node_work import Tensor, tensors
from ortlab.errors import OrtlabError
from ortlab.jobs.explain import row_of
from ortlab.sandbox.spawn import run_task
from ortlab.store.home import Store

# A change of what is kept makes the documents anew.
_KEY = "node-weights/1:"

Weights = Mapping[str, Sequence[Tensor | None]]


def weights_of(store: Store, study_id: str, configuration_id: str) -> Weights:
    """By node name its weights by the place of their input; read once, then kept.

    Nothing is told where no optimized graph was kept: compiling providers write none.
    """
    digest = row_of(store.studies.get(study_id), configuration_id).optimized_artifact
    if digest is None:
        return {}
    try:
        return _cached(store, digest)
    except OrtlabError:
        # Without it some nodes are not counted, and the report says which.
        return {}


@lru_cache(maxsize=8)
def _cached(store: Store, digest: str) -> Weights:
    document = store.reports.find(_KEY + digest)
    if document is None:
        document = _read(store, digest)
        store.reports.save(_KEY + digest, document)
    found = msgspec.json.decode(document, type=dict[str, list[str]])
    return {name: [_weight(text) for text in texts] for name, texts in found.items()}


def _weight(text: str) -> Tensor | None:
    found = tensors(text)
    return found[0] if found else None


def _read(store: Store, digest: str) -> str:
    with store.folder("weights") as folder:
        graph, out = folder / "optimized.onnx", folder / "weights.json"
        store.artifacts.copy_to(digest, graph)
        request = {"path": str(graph), "out": str(out)}
        run_task("node_weights", request, folder=folder / "worker",
                 timeout_s=store.settings.inspect_timeout_s)  # fmt: skip
        return out.read_text(encoding="utf-8")
