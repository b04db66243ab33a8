"""Homes that pages are opened on: an empty one, and one that the real engine has filled."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import helper
from streamlit.testing.v1 import AppTest

from ortlab.lab import Lab
from tests import build
from tests.conftest import ROOT

HOSTILE = "![x](http://evil.example/x.png)<img src=x>$a$:red[b]"
SECONDS = 1.0


class Filled(NamedTuple):
    """One home with a study that worked, one with a failed row, and one that failed whole."""

    home: Path
    model: str
    done: str
    partly: str
    failed: str
    trace: str


def hostile_mlp() -> onnx.ModelProto:
    """A small model whose node, input and dimension names try to be markup."""
    model = build.mlp(width=64, layers=2)
    for node in model.graph.node:
        node.name = f"{HOSTILE}{node.name}"
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = HOSTILE
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = HOSTILE
    return model


def failing_model() -> onnx.ModelProto:
    """A legal model that ONNX Runtime refuses to run: it gathers beyond the end."""
    return build.model(
        [helper.make_node("Gather", ["x", "far"], ["y"], name="gather")],
        [build.tensor("x", 4)],
        [build.tensor("y", 1)],
        {"far": np.array([9], dtype=np.int64)},
    )


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A home in which real studies were measured; read only."""
    folder = tmp_path_factory.mktemp("filled")
    lab = Lab.open(folder / "home")
    for name, model in (("hostile.onnx", hostile_mlp()), ("beyond.onnx", failing_model())):
        onnx.save(model, folder / name)
    ask = {"seconds": SECONDS, "threads": [1]}
    done = lab.bench(
        folder / "hostile.onnx", levels=["all", "disabled"], profile=True, dims={HOSTILE: 2}, **ask
    )
    # No wheel for Linux, Windows or macOS desktops holds NNAPI.
    partly = lab.bench(
        folder / "hostile.onnx", providers=["cpu", "nnapi"], dims={HOSTILE: 2}, **ask
    )
    failed = lab.bench(folder / "beyond.onnx", **ask)
    trace = lab.open_trace(ROOT / "tests" / "data" / "cpu_mlp_24runs.json")
    return Filled(folder / "home", done.record.model_id, done.id, partly.id, failed.id, trace)


@pytest.fixture
def filled_home(filled: Filled, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Filled:
    """The filled home as the one that pages open."""
    monkeypatch.setenv("ORTLAB_HOME", str(filled.home))
    return filled


def page(name: str, **query: str) -> AppTest:
    """One page, run to its end; an error that a page did not expect fails the test here."""
    app = AppTest.from_file(str(ROOT / "ortlab" / "ui" / "main.py"), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    if name != "start":
        app.run()
        app.switch_page(str(ROOT / "pages" / f"{name}.py"))
        for key, value in query.items():
            app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    """Everything a page says, as one text, Markdown escapes taken out."""
    parts = [
        str(element.value)
        for kind in ("title", "subheader", "markdown", "caption", "text", "error", "warning",
                     "info", "success", "code")
        for element in getattr(app, kind)
    ]  # fmt: skip
    return "\n".join(parts).replace("\\", "").replace("\u2060", "")
