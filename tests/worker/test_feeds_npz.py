"""The user's own arrays: taken when they fit, refused by name when they do not."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ortlab.errors import FeedError
from ortlab.sandbox.spawn import run_task
from ortlab.worker import feeds
from ortlab.worker.feeding import files as feed_files
from ortlab.worker.feeding import npz as npz_file
from ortlab.worker.feeding.files import Fed
from ortlab.worker.feeding.graph import Input
from ortlab.worker.feeding.making import make
from ortlab.worker.protocol import Context
from tests import build

FLOAT = TensorProto.FLOAT
tensor = build.tensor


def two_inputs(*, dtype: int = FLOAT) -> onnx.ModelProto:
    """x and y of (N, 4), added."""
    node = helper.make_node("Add", ["x", "y"], ["z"])
    ends = [tensor(n, "N", 4, dtype=dtype) for n in "xyz"]
    return build.model([node], ends[:2], ends[2:])


class _Quiet(Context):
    def phase(self, name: str) -> None:
        self.state["phase"] = name


def fed(tmp_path: Path, model: onnx.ModelProto, npz: Path, **request: Any) -> dict[str, Any]:
    """The reply for these arrays; in this process, because only checks are made here."""
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    context = _Quiet(reply_fd=-1, folder=tmp_path)
    asked = {"model": str(path), "dims": {}, "seed": 0, "npz": str(npz), **request}
    return make(asked, context, path=tmp_path / feeds.NAME)


def saved(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    return path


def ones(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


def test_arrays_that_fit_are_fed_as_they_are(tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    reply = fed(tmp_path, two_inputs(), saved(tmp_path, x=x, y=2 * x))
    assert reply["dims"] == {"N": 3}
    loaded = feeds.load(Path(reply["path"]))
    assert np.array_equal(loaded["y"], 2 * x)


def test_labels_beside_the_inputs_are_left_alone(tmp_path: Path) -> None:
    npz = saved(tmp_path, x=ones(3, 4), y=ones(3, 4), labels=ones(3))
    assert list(feeds.load(Path(fed(tmp_path, two_inputs(), npz)["path"]))) == ["x", "y"]


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": ones(3, 4), "Y": ones(3, 4)}, "holds 'Y', but the model has no input of that name"),
        ({"x": ones(3, 4)}, r"lacks the input 'y' \(float32 \['N', 4\]\)"),
        ({"x": ones(3, 4), "y": ones(3, 5)}, r"'y' needs float32 \['N', 4\].* holds \[3, 5\]"),
        ({"x": ones(3, 4), "y": ones(3, 4, 1)}, r"'y' needs float32.* holds \[3, 4, 1\]"),
        ({"x": ones(3, 4), "y": ones(2, 4)}, "'x' and 'y' disagree on the dimension 'N': 3 and 2"),
        ({"x": ones(3, 4), "y": ones(3, 4, dtype=np.float64)}, "'y' needs float32.* float64"),
        ({"x": ones(3, 4), "y": np.array([[{}] * 4])}, "'y' holds pickled Python objects"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, arrays: dict[str, Any], told: str
) -> None:
    with pytest.raises(FeedError, match=told):
        fed(tmp_path, two_inputs(), saved(tmp_path, **arrays))


def test_a_wrong_name_suggests_the_nearest(tmp_path: Path) -> None:
    model = build.model([helper.make_node("Relu", ["input_ids"], ["z"])],
                        [tensor("input_ids", 2)], [tensor("z", 2)])  # fmt: skip
    with pytest.raises(FeedError) as refused:
        fed(tmp_path, model, saved(tmp_path, inputs_ids=ones(2)))
    assert refused.value.hint == "Did you mean 'input_ids'?"


def test_a_dimension_set_otherwise_is_a_conflict(tmp_path: Path) -> None:
    npz = saved(tmp_path, x=ones(3, 4), y=ones(3, 4))
    with pytest.raises(FeedError, match="the dimension 'N' was set to 5"):
        fed(tmp_path, two_inputs(), npz, dims={"N": 5})


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(trap), "w")

    npz = saved(tmp_path, x=np.array([Trap()], dtype=object), y=ones(3, 4))
    with pytest.raises(FeedError, match="'x' holds pickled"):
        fed(tmp_path, two_inputs(), npz)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    npz = tmp_path / "own.npz"
    npz.write_bytes(content)
    with pytest.raises(FeedError, match=r"own\.npz is not an \.npz file"):
        fed(tmp_path, two_inputs(), npz)


def test_a_single_array_is_told_from_an_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", ones(3, 4))
    with pytest.raises(FeedError, match="a single array without a name"):
        fed(tmp_path, two_inputs(), tmp_path / "own.npy")


def test_every_damage_to_an_npz_is_refused_or_harmless(tmp_path: Path) -> None:
    """Each byte of the file changed in turn: never anything but a FeedError."""
    whole = saved(tmp_path, x=ones(3, 4), y=ones(3, 4)).read_bytes()
    path = tmp_path / "damaged.npz"
    inputs = [Input("x", TensorProto.FLOAT, ("N", 4)), Input("y", TensorProto.FLOAT, ("N", 4))]
    refused = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xD5]) + whole[at + 1 :])
        try:
            npz_file.read(path, inputs)
        except FeedError:
            refused += 1
    assert refused > len(whole) / 4


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"no file gone\.npz"):
        fed(tmp_path, two_inputs(), tmp_path / "gone.npz")


def test_a_small_file_that_opens_to_hundreds_of_times_its_size_is_refused_before_it_is_opened(
    tmp_path: Path,
) -> None:
    npz = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (20 << 20, 4)}
    )
    with (
        zipfile.ZipFile(npz, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.getvalue())
        for _ in range(5):
            member.write(bytes(1 << 26))
    assert npz.stat().st_size < 4 << 20
    with pytest.raises(FeedError, match="opens to 320 MiB"):
        fed(tmp_path, two_inputs(), npz)


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path: Path) -> None:
    npz = tmp_path / "own.npz"
    with zipfile.ZipFile(npz, "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 4)}
        )
    with pytest.raises(FeedError, match="'x' is cut off"):
        fed(tmp_path, two_inputs(), npz)


def test_values_the_model_refuses_end_with_the_reason_of_onnx_runtime(tmp_path: Path) -> None:
    model = build.model(
        [helper.make_node("Gather", ["table", "ids"], ["y"], name="embed")],
        [tensor("ids", "n", dtype=TensorProto.INT64)], [tensor("y", None, None)],
        {"table": ones(10, 2)},
    )  # fmt: skip
    with pytest.raises(FeedError, match=r"idx=12 must be within the inclusive range \[-10,9\]"):
        fed(tmp_path, model, saved(tmp_path, ids=np.array([12])))


def test_bfloat16_is_taken_as_float32_and_rounded_to_even(tmp_path: Path) -> None:
    model = two_inputs(dtype=TensorProto.BFLOAT16)
    # Halfway between two neighbours: 1 + 2^-8 goes down, 1 + 3 * 2^-8 goes up.
    x = np.array([[1 + 2**-8, 1 + 3 * 2**-8, -2, 0.5]], np.float32)
    fed(tmp_path, model, saved(tmp_path, x=x, y=x), try_run=False)
    with np.load(tmp_path / feeds.NAME) as arrays:
        bits = arrays["x"].astype(np.uint32) << 16
    assert bits.view(np.float32).tolist() == [[1.0, 1 + 2**-6, -2.0, 0.5]]


def test_texts_come_from_unicode_arrays(tmp_path: Path) -> None:
    model = build.model([helper.make_node("Identity", ["x"], ["y"])],
                        [tensor("x", "n", dtype=TensorProto.STRING)],
                        [tensor("y", "n", dtype=TensorProto.STRING)])  # fmt: skip
    reply = fed(tmp_path, model, saved(tmp_path, x=np.array(["über", "b"])))
    assert feeds.load(Path(reply["path"]))["x"].tolist() == ["über", "b"]


def test_an_input_named_file_survives_saving(tmp_path: Path) -> None:
    """numpy.savez has a parameter of that name."""
    path = tmp_path / feeds.NAME
    rows = {"file": Fed(ones(2), 1), "a/b:0": Fed(ones(3), 1)}
    feed_files.save(path, rows, by_value=False)
    assert {k: v.shape for k, v in feeds.load(path).items()} == {"file": (2,), "a/b:0": (3,)}


def test_sequences_none_maps_and_texts_survive_saving(tmp_path: Path) -> None:
    path = tmp_path / feeds.NAME
    texts = np.array([["a", "bcd"]], dtype=object)
    values = {"s": [ones(2), ones(3)], "o": None, "m": {1: 2.0}, "t": texts, "empty": []}
    feed_files.save(path, {k: Fed(v, 8 if k == "t" else 1) for k, v in values.items()},
                    by_value=False)  # fmt: skip
    loaded = feeds.load(path)
    assert [a.shape for a in loaded["s"]] == [(2,), (3,)]
    assert (loaded["o"], loaded["m"], loaded["empty"]) == (None, {1: 2.0}, [])
    assert loaded["t"].tolist() == texts.tolist()


def test_loading_feeds_needs_neither_onnx_nor_msgspec() -> None:
    """Feeds are loaded under foreign Pythons, which have only numpy and onnxruntime."""
    code = "import sys, ortlab.worker.feeds, ortlab.worker.outputs; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"onnx", "msgspec", "onnxruntime"} & set(run.stdout.split())


def test_the_evaluation_data_of_the_samples_is_fed_in_a_worker(
    tmp_path: Path, samples_folder: Path
) -> None:
    request = {"model": str(samples_folder / "digits_cnn.onnx"), "dims": {}, "seed": 0,
               "npz": str(samples_folder / "digits_eval.npz")}  # fmt: skip
    reply = run_task("feeds", request, folder=tmp_path, timeout_s=120)
    assert reply["dims"]["batch"] == reply["inputs"][0]["shape"][0] > 100
