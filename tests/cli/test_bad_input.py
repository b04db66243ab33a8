"""Bad input over the command line: the right exit code, one sentence, never a traceback."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests import build

if TYPE_CHECKING:
    from tests.cli.conftest import Command, Done


def refused(done: Done, *, code: int, words: str) -> None:
    """The command ended with this code and a sentence that holds these words."""
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert len(done.sentence.strip().splitlines()) == 1, done.err
    assert words.lower() in done.err.lower(), done.err


# Files that are not models


def html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\n"
                    f"oid sha256:{'0' * 64}\nsize 12345\n")  # fmt: skip


def cut_off(path: Path) -> None:
    whole = build.mlp().SerializeToString()
    path.write_bytes(whole[: len(whole) // 2])


NOT_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "HTML": (html, "HTML"),
    "LFS pointer": (lfs_pointer, "LFS"),
    "cut off": (cut_off, "cut"),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 40), "not a readable ONNX model"),
}


@pytest.mark.parametrize("name", NOT_MODELS)
@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_a_file_that_is_no_model_is_exit_3(
    ortlab: Command, tmp_path: Path, name: str, command: str
):
    make, words = NOT_MODELS[name]
    make(tmp_path / "model.onnx")
    refused(ortlab(command, tmp_path / "model.onnx"), code=3, words=words)


def test_a_model_that_is_not_there_is_exit_3(ortlab: Command, tmp_path: Path):
    refused(ortlab("bench", tmp_path / "nowhere.onnx"), code=3, words="nowhere.onnx")


NO_PATHS = {
    "too long": ("m" * 5000, 3),
    "of a stranger": ("~nobody-of-that-name/m.onnx", 2),
    "not text": (os.fsdecode(b"\xff.onnx"), 2),
}


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
@pytest.mark.parametrize("name", NO_PATHS)
@pytest.mark.parametrize("command", ["inspect", "bench"])
def test_what_cannot_be_a_path_is_a_sentence(ortlab: Command, name: str, command: str):
    path, code = NO_PATHS[name]
    done = ortlab(command, path, "--json")
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert done.document["error"]["message"]


@pytest.mark.parametrize("output", ["o" * 300, "file/out.onnx"])
def test_a_repair_that_cannot_be_written_there_is_exit_2(
    ortlab: Command, tmp_path: Path, output: str
):
    (tmp_path / "file").write_text("not a folder")
    model = saved(build.mlp(), tmp_path)
    refused(ortlab("fix", model, "-o", tmp_path / output), code=2, words="cannot be written")


# Models this ONNX Runtime refuses


def ir_99() -> onnx.ModelProto:
    model = build.mlp()
    model.ir_version = 99
    return model


def opset_999() -> onnx.ModelProto:
    model = build.mlp()
    model.opset_import[0].version = 999
    return model


def unknown_domain() -> onnx.ModelProto:
    nodes = [helper.make_node("Frob", ["x"], ["y"], name="frob", domain="com.example")]
    model = build.model(nodes, [build.tensor("x", 4)], [build.tensor("y", 4)])
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def cycle() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["y"], name="third"),
    ]
    return build.model(nodes, [build.tensor("x", 4)], [build.tensor("y", 4)])


def duplicate_names() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Relu", ["x"], ["t"], name="same"),
        helper.make_node("Relu", ["x"], ["t"], name="other"),
        helper.make_node("Relu", ["t"], ["y"], name="last"),
    ]
    return build.model(nodes, [build.tensor("x", 4)], [build.tensor("y", 4)])


def with_external_data(location: str) -> onnx.ModelProto:
    """An Add whose constant lies in another file."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    weight.external_data.add(key="length", value="16")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], name="add")]
    model = build.model(nodes, [build.tensor("x", 4)], [build.tensor("y", 4)])
    model.graph.initializer.append(weight)
    return model


UNUSABLE: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "IR 99": (ir_99, "99"),
    "opset 999": (opset_999, "999"),
    "unknown domain": (unknown_domain, "com.example"),
    "cycle": (cycle, "cycle"),
    "duplicate names": (duplicate_names, "'t'"),
    "missing external data": (lambda: with_external_data("gone.bin"), "gone.bin"),
    "external data above": (lambda: with_external_data("../secret.bin"), "secret.bin"),
    "external data absolute": (lambda: with_external_data("/etc/hostname"), "/etc/hostname"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_model_this_runtime_cannot_use_is_exit_3(ortlab: Command, tmp_path: Path, name: str):
    make, words = UNUSABLE[name]
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 16)
    path = tmp_path / "inner" / "model.onnx"
    path.write_bytes(make().SerializeToString())
    refused(ortlab("bench", path, "--dim", "N=1", "-n", "3"), code=3, words=words)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_external_data_behind_a_link_out_of_the_folder_is_exit_3(ortlab: Command, tmp_path: Path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 16)
    (tmp_path / "inner" / "w.bin").symlink_to(tmp_path / "secret.bin")
    path = tmp_path / "inner" / "model.onnx"
    path.write_bytes(with_external_data("w.bin").SerializeToString())
    refused(ortlab("bench", path, "-n", "3"), code=3, words="w.bin")


def test_inspect_lists_problems_with_both_sides_instead_of_failing(ortlab: Command, tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(ir_99().SerializeToString())
    problems = ortlab("inspect", tmp_path / "model.onnx", "--json").document["model"]["problems"]
    too_new = next(p for p in problems if p["code"] == "ir-too-new")
    assert "99" in too_new["message"]
    assert "ONNX Runtime" in too_new["message"]


# Models that run badly


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def no_inputs() -> onnx.ModelProto:
    value = onnx.numpy_helper.from_array(np.ones(4, np.float32), "v")
    nodes = [
        helper.make_node("Constant", [], ["c"], name="constant", value=value),
        helper.make_node("Relu", ["c"], ["y"], name="relu"),
    ]
    return build.model(nodes, [], [build.tensor("y", 4)])


def test_a_model_without_inputs_is_measured(ortlab: Command, tmp_path: Path):
    done = ortlab("bench", saved(no_inputs(), tmp_path), "-n", "5", "--json")
    assert done.code == 0, done.err
    assert done.document["configurations"][0]["latency"] is not None


def test_a_model_that_gives_nan_is_measured_and_doubted(ortlab: Command, tmp_path: Path):
    done = ortlab("bench", saved(build.not_a_number(), tmp_path), "-n", "5", "--json")
    assert done.code == 0, done.err
    assert "not-finite" in {finding["diagnosis"] for finding in done.document["findings"]}


def test_a_model_that_never_ends_is_stopped_and_is_exit_4(fresh_ortlab: Command, tmp_path: Path):
    done = fresh_ortlab("bench", saved(build.endless(), tmp_path), "-n", "5", "--json",
                        run_timeout_s=3, open_timeout_s=20)  # fmt: skip
    assert done.code == 4, done.err
    row = done.document["configurations"][0]
    assert row["error"]["kind"] == "timeout"
    assert row["latency"] is None


def test_a_model_that_wants_64_gib_is_stopped_and_is_exit_4(ortlab: Command, tmp_path: Path):
    # 130,000 squared float32 values are 63 GiB.
    done = ortlab("bench", saved(build.heavy(), tmp_path), "--dim", "N=130000", "-n", "3", "--json")
    assert done.code == 4, done.err
    assert done.document["configurations"][0]["error"]["kind"] == "out_of_memory"


def test_a_dimension_that_fails_leaves_the_history_as_it_was(ortlab: Command, tmp_path: Path):
    before = len(ortlab("history", "--json").document["studies"])
    refused(ortlab("bench", saved(build.mlp(), tmp_path), "--dim", "M=2"), code=2, words="M")
    assert len(ortlab("history", "--json").document["studies"]) == before


def test_a_repair_never_replaces_what_is_not_a_file(ortlab: Command, tmp_path: Path):
    model = saved(build.mlp(), tmp_path)
    refused(ortlab("fix", model, "-o", tmp_path), code=2, words="not a file")
    assert tmp_path.is_dir()


# Inputs


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


BAD_INPUTS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "wrong name": ({"z": np.ones((1, 64), np.float32)}, "z"),
    "wrong shape": ({"x": np.ones((1, 63), np.float32)}, "63"),
    "wrong dtype": ({"x": np.ones((1, 64), np.int64)}, "int64"),
    "pickles": ({"x": np.array([{"a": 1}], dtype=object)}, "pickle"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_inputs_that_do_not_fit_are_exit_2(ortlab: Command, tmp_path: Path, name: str):
    arrays, words = BAD_INPUTS[name]
    model = saved(build.mlp(), tmp_path)
    path = npz(tmp_path / "inputs.npz", **arrays)
    done = ortlab("bench", model, "--input", path, "-n", "3", "--json")
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert words in done.err


def test_inputs_that_are_not_there_are_exit_2(ortlab: Command, tmp_path: Path):
    model = saved(build.mlp(), tmp_path)
    refused(ortlab("bench", model, "--input", tmp_path / "no.npz"), code=2, words="no.npz")


# Traces

BAD_TRACES: dict[str, tuple[str, str]] = {
    "empty": ("", "empty"),
    "not a list": ('{"hello": "world"}', "trace"),
    "not from ORT": ('[{"name": "x", "ph": "X", "cat": "gc", "ts": 1, "dur": 2}]', "ONNX Runtime"),
    "not JSON": ("hello there", "trace"),
}


@pytest.mark.parametrize("name", BAD_TRACES)
def test_a_trace_that_cannot_be_used_is_exit_5(ortlab: Command, tmp_path: Path, name: str):
    text, words = BAD_TRACES[name]
    (tmp_path / "trace.json").write_text(text)
    refused(ortlab("profile", tmp_path / "trace.json"), code=5, words=words)


def test_a_trace_that_is_not_there_is_exit_5(ortlab: Command, tmp_path: Path):
    refused(ortlab("profile", tmp_path / "gone.json"), code=5, words="gone.json")


def test_a_half_written_trace_is_read_as_far_as_it_goes(ortlab: Command, samples_folder: Path):
    whole = (samples_folder / "traces" / "digits_cnn_cpu.json").read_text()
    done = ortlab("profile", samples_folder / "traces" / "digits_cnn_cut_off.json", "--json")
    assert done.code == 0, done.err
    assert 0 < done.document["node_event_count"] < whole.count("_kernel_time")
    assert done.document["trust"]["grade"] > "A"


# Archives


def test_a_zip_that_unpacks_into_the_parent_folder_is_exit_3(ortlab: Command, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("../model.onnx", build.mlp().SerializeToString())
    refused(ortlab("inspect", tmp_path / "model.zip"), code=3, words="../model.onnx")
    assert not (tmp_path.parent / "model.onnx").exists()


def test_a_zip_that_would_fill_the_disk_is_exit_3(ortlab: Command, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.onnx", b"\0" * (300 << 20))
    refused(ortlab("inspect", tmp_path / "model.zip"), code=3, words="bytes")


# The store


def test_a_home_that_cannot_be_written_is_exit_6(ortlab: Command, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    done = ortlab("history", home=tmp_path / "file" / "home")
    refused(done, code=6, words="file")


def test_a_store_of_a_newer_ortlab_is_exit_6(fresh_ortlab: Command):
    import sqlite3

    assert fresh_ortlab("history").code == 0
    database = sqlite3.connect(fresh_ortlab.home / "ortlab.sqlite")
    database.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    database.commit()
    database.close()
    refused(fresh_ortlab("history"), code=6, words="newer")


def test_a_locked_store_is_exit_6(fresh_ortlab: Command):
    import sqlite3

    assert fresh_ortlab("history").code == 0
    holder = sqlite3.connect(fresh_ortlab.home / "ortlab.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    listed = fresh_ortlab("history", "--json", busy_timeout_s=0.5)
    holder.execute("ROLLBACK")
    holder.close()
    assert listed.code == 6
    assert json.loads(listed.out)["error"]["kind"]
    assert fresh_ortlab("history").code == 0
