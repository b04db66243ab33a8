"""A real worker that makes feeds, and the smallest models that show what it makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import helper

from ortlab.sandbox.spawn import Child
from ortlab.worker import feeds
from tests import build

TIMEOUT_S = 120


def assumed(sizes: dict[str, int]) -> dict[str, Any]:
    """The part of a request that gives sizes which nobody fixed."""
    return {"dims": sizes, "assumed": list(sizes)}


class Worker:
    """A real worker that makes feeds, and this process's ONNX Runtime that takes them."""

    def __init__(self, child: Child, folder: Path) -> None:
        self.child = child
        self.folder = folder

    def make(self, model: onnx.ModelProto, **request: Any) -> dict[str, Any]:
        """The worker's reply for this model."""
        self.path = self.folder / "model.onnx"
        onnx.save(model, self.path)
        asked = {"model": str(self.path), "dims": {}, "seed": 0, **request}
        return self.child.ask("feeds", asked, timeout_s=TIMEOUT_S)

    def feeds(self, model: onnx.ModelProto, **request: Any) -> dict[str, Any]:
        """What a session takes for this model."""
        self.reply = self.make(model, **request)
        return feeds.load(Path(self.reply["path"]))

    def outputs(self, model: onnx.ModelProto, **request: Any) -> list[Any]:
        """What the model returns for the feeds that were made for it."""
        made = self.feeds(model, **request)
        session = onnxruntime.InferenceSession(str(self.path), providers=["CPUExecutionProvider"])
        if feeds.needs_ort_values(made):
            return session.run_with_ort_values([o.name for o in session.get_outputs()], made)
        return session.run(None, made)


def single(op: str, inputs: list[onnx.ValueInfoProto], weights: dict[str, Any] | None = None,
           **attributes: Any) -> onnx.ModelProto:  # fmt: skip
    """One node over the inputs, then the weights, in order."""
    names = [i.name for i in inputs] + list(weights or {})
    made = helper.make_node(op, names, ["y"], name="only", **attributes)
    return build.model([made], inputs, [onnx.ValueInfoProto(name="y")], weights)
