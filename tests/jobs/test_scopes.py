"""The modules of a stored model are read once and kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from ortlab.analysis.naming import modules
from ortlab.jobs import scopes
from ortlab.lab import Lab
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


def test_a_profile_is_told_by_module_though_its_names_hold_none(
    store: Store, tmp_path: Path
) -> None:
    nodes, weights, last = [], {}, "x"
    for layer in range(3):
        weights[f"w{layer}"] = np.full((64, 64), 0.01, np.float32)
        for op, inputs in (("MatMul", [last, f"w{layer}"]), ("Relu", [f"m{layer}"])):
            out = f"{op[0].lower()}{layer}"
            node = helper.make_node(op, inputs, [out], name=f"node_{op}_{layer}")
            scope = f"net.layer.{layer}"
            text = f"['', 'net', '{scope}', '{scope}.{op.lower()}', '{out}']"
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=text)
            nodes.append(node)
            last = out
    model = build.model(nodes, [build.tensor("x", 8, 64)], [build.tensor(last, 8, 64)], weights)
    onnx.save(model, tmp_path / "dynamo.onnx")
    lab = Lab.open(store.home)
    study = lab.bench(tmp_path / "dynamo.onnx", seconds=0.3, profile=True)
    record = lab.profile_of(study.id, study.record.baseline).record
    found = modules.tree(record, lab.scopes(study.record.model_id))
    assert modules.tree(record).grouped_by == "operator"
    assert ("/".join(found.stacks[0].parent), found.stacks[0].stem) == ("net", "layer")
    assert len(found.stacks[0].members) == 3
    assert found.root.total_us == sum(node.self_us for node in record.nodes)
