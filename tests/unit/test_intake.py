"""A private folder holds real copies of a model and of exactly the data it declares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ortlab.domain.model import ExternalData, ModelInfo
from ortlab.errors import ModelError
from ortlab.store import intake


def info(*locations: str) -> ModelInfo:
    data = tuple(ExternalData(location=location, bytes=4) for location in locations)
    return ModelInfo(
        id="m", name="m.onnx", file_bytes=5, external_data=data, ir_version=10, opsets={}
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model with a data file, and something secret beside them."""
    folder = tmp_path / "source"
    (folder / "data").mkdir(parents=True)
    (folder / "m.onnx").write_bytes(b"model")
    (folder / "data" / "w.bin").write_bytes(b"data")
    (folder / "secret.txt").write_bytes(b"secret")
    return folder / "m.onnx"


def test_copies_are_the_model_and_its_data_alone(source: Path, tmp_path: Path) -> None:
    copy = intake.private_copy(info("data/w.bin"), source, tmp_path / "private")
    assert copy.read_bytes() == b"model"
    files = sorted(p.relative_to(copy.parent).as_posix() for p in copy.parent.rglob("*.*"))
    assert files == ["data/w.bin", "m.onnx"]


def test_copies_share_no_inode_with_the_source(source: Path, tmp_path: Path) -> None:
    copy = intake.private_copy(info(), source, tmp_path / "private")
    assert copy.stat().st_ino != source.stat().st_ino
    assert copy.stat().st_nlink == 1
    copy.write_bytes(b"other")
    assert source.read_bytes() == b"model"


@pytest.mark.parametrize(
    "location", ["../source/secret.txt", "/etc/hostname", "C:\\w", "a/../../x"]
)
def test_data_outside_the_folder_is_refused(source: Path, tmp_path: Path, location: str) -> None:
    with pytest.raises(ModelError, match="outside the folder of the model"):
        intake.private_copy(info(location), source, tmp_path / "private")


def test_a_link_out_of_the_folder_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"data")
    (source.parent / "w").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="is a link to somewhere else"):
        intake.private_copy(info("w"), source, tmp_path / "private")


def test_model_and_data_linked_into_one_folder_become_real_files(
    source: Path, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "m.onnx").symlink_to(source)
    (links / "w").symlink_to(source.parent / "data" / "w.bin")
    copy = intake.private_copy(info("w"), links / "m.onnx", tmp_path / "private")
    assert not copy.is_symlink()
    assert (copy.parent / "w").read_bytes() == b"data"
    assert not (copy.parent / "w").is_symlink()


def test_a_linked_folder_out_of_the_folder_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w").write_bytes(b"data")
    (source.parent / "inner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="is a link to somewhere else"):
        intake.private_copy(info("inner/w"), source, tmp_path / "private")


def test_a_pipe_is_refused_without_waiting_for_it(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source.parent / "pipe")
    with pytest.raises(ModelError, match="not a regular file"):
        intake.private_copy(info("pipe"), source, tmp_path / "private")


def test_a_file_that_is_gone_is_a_sentence(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        intake.private_copy(info("gone.bin"), source, tmp_path / "private")


def test_large_files_are_copied_whole(tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 3 + b"end"
    (tmp_path / "large").write_bytes(content)
    intake.copy_file(tmp_path / "large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
