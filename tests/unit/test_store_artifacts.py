"""What is put into the store comes out the same, or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ortlab.errors import StoreError
from ortlab.store.artifacts import Artifacts
from ortlab.store.folders import private_folder, remove_leftovers


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"weights" * 1000)
    return path


def test_an_artifact_reads_back_as_it_was_put(artifacts: Artifacts, source: Path) -> None:
    digest = artifacts.put(source)
    assert artifacts.path(digest).read_bytes() == artifacts.read(digest) == source.read_bytes()


def test_equal_content_is_kept_once(artifacts: Artifacts, source: Path) -> None:
    assert artifacts.put(source) == artifacts.put(source)
    assert len(list(artifacts.digests())) == 1


def test_taking_a_file_removes_it_from_where_it_was(artifacts: Artifacts, source: Path) -> None:
    content = source.read_bytes()
    digest = artifacts.take(source)
    assert not source.exists()
    assert artifacts.read(digest) == content


def test_an_artifact_is_never_a_link_to_its_source(artifacts: Artifacts, source: Path) -> None:
    digest = artifacts.put(source)
    source.write_bytes(b"changed")
    assert artifacts.path(digest).read_bytes() != b"changed"


def test_a_copy_is_never_a_link_to_the_artifact(
    artifacts: Artifacts, source: Path, tmp_path: Path
) -> None:
    digest = artifacts.put(source)
    artifacts.copy_to(digest, tmp_path / "copy")
    (tmp_path / "copy").write_bytes(b"changed")
    assert artifacts.read(digest) == source.read_bytes()


@pytest.mark.parametrize("how", ["path", "read", "copy_to"])
def test_an_artifact_changed_on_disk_is_detected(
    artifacts: Artifacts, source: Path, tmp_path: Path, how: str
) -> None:
    digest = artifacts.put(source)
    with artifacts.path(digest).open("r+b") as stream:
        stream.write(b"W")
    arguments = (digest, tmp_path / "copy") if how == "copy_to" else (digest,)
    with pytest.raises(StoreError) as refused:
        getattr(artifacts, how)(*arguments)
    assert refused.value.kind == "artifact_damaged"
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", ""])
def test_a_name_that_was_never_given_is_missing(artifacts: Artifacts, digest: str) -> None:
    with pytest.raises(StoreError) as refused:
        artifacts.path(digest)
    assert refused.value.kind == "artifact_missing"


def test_putting_a_damaged_artifact_again_repairs_it(artifacts: Artifacts, source: Path) -> None:
    digest = artifacts.put(source)
    artifacts.path(digest).write_bytes(b"damage")
    assert artifacts.put(source) == digest
    assert artifacts.read(digest) == source.read_bytes()


def test_a_half_written_file_is_swept_when_old(artifacts: Artifacts, source: Path) -> None:
    artifacts.put(source)
    part = artifacts.folder / ".dead.part"
    part.write_bytes(b"half")
    artifacts.remove_parts()
    assert part.exists()
    os.utime(part, times=(0, time.time() - 7200))
    artifacts.remove_parts()
    assert not part.exists()


def test_a_private_folder_is_for_this_user_only_and_gone_afterwards(tmp_path: Path) -> None:
    with private_folder(tmp_path, purpose="test") as folder:
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_only_folders_of_dead_processes_are_leftovers(tmp_path: Path) -> None:
    # No Linux hands out a process id this large.
    dead = tmp_path / "tmp" / "99999999-study-abc"
    dead.mkdir(parents=True)
    with private_folder(tmp_path, purpose="alive") as alive:
        assert remove_leftovers(tmp_path) == [dead.name]
        assert alive.exists()
