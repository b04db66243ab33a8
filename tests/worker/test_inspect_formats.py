"""Files that are no readable model: each is named for what it is, and the worker lives."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ortlab.domain.model import ModelInfo
from ortlab.errors import ModelError
from ortlab.sandbox.spawn import run_task
from tests import build

Inspect = Callable[..., ModelInfo]


def test_refusal_reaches_a_one_shot_command_as_model_error(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(
        ModelError, match=r"'empty\.onnx' is not an ONNX model; it is empty"
    ) as info:
        run_task(
            "inspect", {"path": str(tmp_path / "empty.onnx")}, folder=tmp_path / "w", timeout_s=60
        )
    assert info.value.exit_code == 3
    assert info.value.hint


def pytorch_like_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return buffer.getvalue()


SAFETENSORS_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1]}}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty: it has 0 bytes"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"\n  <html lang='en'>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 438007537\n",
         "a Git LFS pointer: a small text that stands for the real file of 438,007,537 bytes"),
        (b'{"model": 1}', "a JSON file"),
        (b'[{"cat": "Node"}]', "a JSON file"),
        (len(SAFETENSORS_HEADER).to_bytes(8, "little") + SAFETENSORS_HEADER + b"\0" * 99,
         "a safetensors file"),
        (pickle.dumps({"weight": 1}), "a Python pickle"),
        (pytorch_like_zip(), "a zip archive"),
        (b"\x1c\0\0\0TFL3" + b"\0" * 99, "a TensorFlow Lite model"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "an HDF5 file"),
        (b"\x93NUMPY\x01\0" + b"\0" * 99, "a numpy array"),
    ],
)  # fmt: skip
def test_other_formats_are_named(inspect: Inspect, content: bytes, words: str) -> None:
    with pytest.raises(ModelError) as info:
        inspect(content)
    assert words in info.value.message
    assert info.value.hint


def test_a_git_lfs_pointer_says_how_to_get_the_file(inspect: Inspect) -> None:
    with pytest.raises(ModelError) as info:
        inspect(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")
    assert "git lfs pull" in (info.value.hint or "")


def test_a_cut_off_file_names_its_last_byte(inspect: Inspect) -> None:
    data = build.mlp().SerializeToString()[:5000]
    with pytest.raises(ModelError, match="cut off: the file ends at byte 5,000"):
        inspect(data)


def test_protobuf_that_is_no_model_is_refused(inspect: Inspect) -> None:
    with pytest.raises(ModelError, match="no IR version, no opset and no graph"):
        inspect(b"\x12\x04text")


def test_random_bytes_are_refused_at_a_byte(inspect: Inspect) -> None:
    with pytest.raises(ModelError, match=r"byte \d+|cut off"):
        inspect(bytes(range(255, 5, -1)))


def test_a_missing_file_is_a_sentence(inspect: Inspect, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        inspect(tmp_path / "gone.onnx")


def test_a_folder_is_not_a_model(inspect: Inspect, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        inspect(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(inspect: Inspect, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelError, match="device or pipe"):
        inspect(tmp_path / "pipe.onnx")


SEED = build.mlp(width=8, layers=2).SerializeToString()
NESTED = build.branch().SerializeToString()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_mutant_is_described_or_refused_and_the_worker_lives(
    inspect: Inspect, data: st.DataObject
) -> None:
    model = bytearray(data.draw(st.sampled_from([SEED, NESTED])))
    for _ in range(data.draw(st.integers(1, 6))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    refusal = None
    try:
        inspect(bytes(model))
    except ModelError as error:
        refusal = error
    assert refusal is None or refusal.hint
