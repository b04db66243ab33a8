"""What the tests of the worker share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest

from ortlab.domain.model import ModelInfo
from ortlab.sandbox.limits import default_limits
from ortlab.sandbox.spawn import Child
from tests.feeding import Worker


@pytest.fixture(scope="module")
def feeding_child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One real worker process for the feeds of a whole file of tests."""
    folder = tmp_path_factory.mktemp("feeds")
    with Child(folder, limits=default_limits()) as started:
        yield started


@pytest.fixture
def worker(feeding_child: Child, tmp_path: Path) -> Worker:
    """That process, with a folder of its own for this test's model."""
    return Worker(feeding_child, tmp_path)


@pytest.fixture(scope="module")
def inspect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ModelInfo]]:
    """What one real worker answers about a file, or about bytes or a model saved for it.

    Keywords become part of the request; the limits are those of ONNX Runtime 1.31.
    """
    folder = tmp_path_factory.mktemp("models")
    with Child(tmp_path_factory.mktemp("inspect"), limits=default_limits()) as child:

        def ask(content: onnx.ModelProto | bytes | Path, **request: Any) -> ModelInfo:
            path = content if isinstance(content, Path) else folder / "model.onnx"
            if isinstance(content, onnx.ModelProto):
                content = content.SerializeToString()
            if isinstance(content, bytes):
                path.write_bytes(content)
            limits = {"max_ir_version": 13, "max_opset": 26}
            answer = child.ask("inspect", {"path": str(path), **limits, **request}, timeout_s=60)
            return msgspec.convert(answer, ModelInfo)

        yield ask
