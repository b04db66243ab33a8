"""Full disks, kills and locks: what was stored stays readable, and the reason is told."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import onnx
import pytest

from ortlab.domain.study import StudySpec
from ortlab.errors import StoreError
from ortlab.lab import Lab
from ortlab.settings import Settings
from ortlab.store.home import Store
from tests import build
from tests.jobs.conftest import ROOT

SMALL_DISK = "size=1m"
# Adds studies until the file size limit of this process is met, then tells how that was told.
FILL = """
import resource, signal, sys
import msgspec
from ortlab.domain.study import StudySpec
from ortlab.errors import StoreError
from ortlab.settings import Settings
from ortlab.store.home import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Settings(home=sys.argv[1]))
spec = msgspec.json.decode(sys.argv[2], type=StudySpec)
store.studies.history()
limit = store.settings.database_path.stat().st_size + 200_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    while True:
        print(store.studies.add(spec), flush=True)
except StoreError as error:
    print(error.kind)
"""
ADD_FOR_EVER = """
import sys
import msgspec
from ortlab.domain.study import StudySpec
from ortlab.settings import Settings
from ortlab.store.home import Store
store = Store(Settings(home=sys.argv[1]))
spec = msgspec.json.decode(sys.argv[2], type=StudySpec)
while True:
    print(store.studies.add(spec), flush=True)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", SMALL_DISK, "ortlab-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("this user may not mount a small disk; the size limit test covers the rest")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_and_older_rows_stay_readable(
    small_disk: Path, spec: StudySpec
) -> None:
    store = Store(Settings(home=small_disk / "home"))
    first = store.studies.add(spec)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while stream.write(b"x" * 4096):
            continue
    with pytest.raises(StoreError) as refused:
        _add_for_ever(store, spec)
    assert (refused.value.kind, refused.value.exit_code) == ("disk_full", 6)
    assert store.studies.get(first).spec == spec
    filler.unlink()
    assert store.studies.get(store.studies.add(spec)).status == "queued"


def test_an_artifact_that_does_not_fit_leaves_nothing_behind(
    small_disk: Path, tmp_path: Path
) -> None:
    store = Store(Settings(home=small_disk / "home"))
    (tmp_path / "large").write_bytes(b"x" * (2 << 20))
    with pytest.raises(StoreError) as refused:
        store.artifacts.put(tmp_path / "large")
    assert refused.value.kind == "disk_full"
    assert [p for p in store.artifacts.folder.rglob("*") if p.is_file()] == []


def test_a_model_that_does_not_fit_is_told_and_the_others_stay(
    small_disk: Path, tmp_path: Path
) -> None:
    lab = Lab.open(small_disk / "home")
    onnx.save(build.mlp(), tmp_path / "small.onnx")
    onnx.save(build.mlp(width=512, layers=4), tmp_path / "large.onnx")
    kept = lab.add_model(tmp_path / "small.onnx")
    with pytest.raises(StoreError) as refused:
        lab.add_model(tmp_path / "large.onnx")
    assert refused.value.kind == "disk_full"
    assert lab.models() == [kept]
    assert list((lab.home / "tmp").iterdir()) == []


def test_an_archive_that_does_not_fit_is_a_full_disk_in_a_sentence(
    small_disk: Path, tmp_path: Path
) -> None:
    lab = Lab.open(small_disk / "home")
    onnx.save(build.mlp(width=512, layers=4), tmp_path / "large.onnx")
    with zipfile.ZipFile(tmp_path / "large.zip", "w") as archive:
        archive.write(tmp_path / "large.onnx", "large.onnx")
    for name in ("large.zip", "large.onnx"):
        with pytest.raises(StoreError, match="The disk is full") as refused:
            lab.add_upload({name: tmp_path / name})
        assert (refused.value.kind, bool(refused.value.hint)) == ("disk_full", True)
    assert lab.models() == []
    assert list((lab.home / "tmp").iterdir()) == []


def _add_for_ever(store: Store, spec: StudySpec) -> None:
    while True:
        store.studies.add(spec)


def test_a_file_that_may_not_grow_is_told_as_a_full_disk(store: Store, spec: StudySpec) -> None:
    *ids, kind = _run(FILL, store, spec).communicate()[0].split()
    assert kind == "disk_full"
    assert ids
    assert {s.id for s in store.studies.history(limit=10_000)} >= set(ids)


def test_no_acknowledged_row_is_lost_when_the_writer_is_killed(
    store: Store, spec: StudySpec
) -> None:
    acknowledged: list[str] = []
    for lines in (1, 7, 20):
        writer = _run(ADD_FOR_EVER, store, spec)
        acknowledged += [writer.stdout.readline().strip() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.communicate()[0].split("\n")[:-1]
    stored = {s.id for s in store.studies.history(limit=10_000)}
    assert stored >= set(acknowledged)
    with closing(sqlite3.connect(store.settings.database_path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _run(code: str, store: Store, spec: StudySpec) -> subprocess.Popen[str]:
    arguments = [str(store.home), msgspec.json.encode(spec).decode()]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE
    )


def test_a_locked_store_is_told_by_the_lab(store: Store, spec: StudySpec) -> None:
    lab = Lab(store.settings.model_copy(update={"busy_timeout_s": 0.2}))
    with closing(sqlite3.connect(store.settings.database_path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as refused:
            lab.submit(spec)
    assert refused.value.kind == "locked"
