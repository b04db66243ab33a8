"""The modules of a stored model are read once and kept."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

from ortlab.jobs import scopes
from ortlab.store.home import Store
from tests import build, records


def kept(store: Store, model_id: str) -> None:
    """Keep a model of one node whose metadata name its module."""
    node = helper.make_node("Relu", ["x"], ["y"], name="node_relu")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'a', 'a.b', 'relu']")
    model = build.model([node], [build.tensor("x", 4)], [build.tensor("y", 4)])
    with store.folder("test") as folder:
        onnx.save(model, folder / "m.onnx")
        store.models.keep(records.model(id=model_id), folder / "m.onnx")


def test_metadata_of_a_stored_model_is_read_in_a_worker_and_only_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, "m2")
    assert scopes.scopes_of(store, "m2") == {"node_relu": ("a", "b"), "y": ("a", "b")}

    def again(*_: object, **__: object) -> None:
        pytest.fail("the model was read a second time")

    monkeypatch.setattr(scopes, "run_task", again)
    scopes._cached.cache_clear()
    assert scopes.scopes_of(store, "m2")["node_relu"] == ("a", "b")


def test_a_model_that_is_not_there_tells_nothing(store: Store) -> None:
    assert scopes.scopes_of(store, "nosuchmodel") == {}
