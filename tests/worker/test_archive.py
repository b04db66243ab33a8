"""A zip is unpacked as it says, or refused with a sentence; nothing lands outside the folder."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from ortlab.errors import ModelError
from ortlab.sandbox.spawn import run_task
from ortlab.worker.archive import unpack
from ortlab.worker.protocol import Context
from tests import build


def unpacked(archive: Path, into: Path, **request: int) -> list[str]:
    """The names a real worker wrote."""
    answer = run_task(
        "unpack",
        {"path": str(archive), "into": str(into), **request},
        folder=into.parent / "worker",
        timeout_s=60,
    )
    return list(answer["files"])


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return entry


def test_model_and_data_come_out_as_they_went_in(tmp_path: Path) -> None:
    model = build.mlp().SerializeToString()
    archive = zipped(tmp_path / "m.zip", ("net/m.onnx", model), ("net/w.data", b"weights"))
    assert unpacked(archive, tmp_path / "into") == ["net/m.onnx", "net/w.data"]
    assert (tmp_path / "into/net/m.onnx").read_bytes() == model
    assert (tmp_path / "into/net/w.data").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil.onnx", "goes up"),
        ("a/../../evil.onnx", "goes up"),
        ("..\\evil.onnx", "goes up"),
        ("/etc/evil", "absolute"),
        ("C:/evil.onnx", "absolute"),
        ("\\\\host\\share\\evil", "absolute"),
        ("m.onnx:stream", "means something else"),
    ],
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str, words: str) -> None:
    archive = zipped(tmp_path / "m.zip", ("fine.onnx", b"x"), (name, b"x"))
    with pytest.raises(ModelError, match=words) as info:
        unpacked(archive, tmp_path / "a" / "into")
    assert info.value.exit_code == 3
    assert not [f for f in tmp_path.rglob("*") if "evil" in f.name or f.name == "fine.onnx"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [(stat.S_IFLNK, "is a link"), (stat.S_IFCHR, "device"), (stat.S_IFIFO, "device or pipe")],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: int, words: str) -> None:
    archive = zipped(tmp_path / "m.zip", (special("weights.data", kind), b"/etc/passwd"))
    with pytest.raises(ModelError, match=words):
        unpacked(archive, tmp_path / "into")


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", ("m.onnx", b"x"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(ModelError, match="encrypted"):
        unpacked(archive, tmp_path / "into")


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(tmp_path / "m.zip", ("m.onnx", b"x"), ("m.onnx", b"y"))
    with pytest.raises(ModelError, match="is in it twice"):
        unpacked(archive, tmp_path / "into")


def test_a_file_where_a_folder_is_needed_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", ("m", b"x"), ("m/m.onnx", b"y"))
    with pytest.raises(ModelError, match="two entries of one name"):
        unpacked(archive, tmp_path / "into")


def test_what_admits_to_be_100_gb_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", *[(f"{i}.data", bytes(1 << 20)) for i in range(50)])
    data = bytearray(archive.read_bytes())
    place = -1
    while (place := data.find(b"PK\x01\x02", place + 1)) >= 0:
        struct.pack_into("<I", data, place + 24, 2_000_000_000)
    archive.write_bytes(data)
    with pytest.raises(ModelError, match="unpacks to 100,000,000,000 bytes"):
        unpacked(archive, tmp_path / "into")
    assert not list(tmp_path.glob("into/*"))


def test_sizes_are_counted_not_believed(tmp_path: Path) -> None:
    """An entry that says one byte and holds 400 MB is stopped, whatever its header says."""
    archive = zipped(tmp_path / "m.zip", ("bomb.data", bytes(400 << 20)))
    data = bytearray(archive.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 1)
    archive.write_bytes(data)
    with pytest.raises(ModelError):
        unpacked(archive, tmp_path / "into")
    written = sum(f.stat().st_size for f in tmp_path.glob("into/*"))
    assert written < 300 << 20


def test_more_bytes_than_the_caller_allows_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", ("m.onnx", os.urandom(5000)))
    with pytest.raises(ModelError, match="at most 4,000 bytes"):
        unpacked(archive, tmp_path / "into", max_total_bytes=4000)


def test_a_small_model_may_pack_better_than_ten_to_one(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", ("zeros.onnx", bytes(50 << 20)))
    assert unpacked(archive, tmp_path / "into") == ["zeros.onnx"]


def test_a_large_file_may_not(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", ("zeros.onnx", bytes(300 << 20)))
    with pytest.raises(ModelError, match="unpacks to 314,572,800 bytes"):
        unpacked(archive, tmp_path / "into")


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", *[(f"f{i}", b"") for i in range(10_001)])
    with pytest.raises(ModelError, match="10,001 entries"):
        unpacked(archive, tmp_path / "into")


def test_a_zip_in_a_zip_stays_one(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("m.onnx", b"x")
    outer = zipped(tmp_path / "m.zip", ("inner.zip", inner.getvalue()))
    assert unpacked(outer, tmp_path / "into") == ["inner.zip"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no zip at all"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.zip").write_bytes(content)
    with pytest.raises(ModelError, match="not a readable zip"):
        unpacked(tmp_path / "m.zip", tmp_path / "into")


def test_a_damaged_entry_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "m.zip", ("m.onnx", os.urandom(10_000)))
    data = bytearray(archive.read_bytes())
    data[5000] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(ModelError, match="not a readable zip"):
        unpacked(archive, tmp_path / "into")


def test_every_damage_to_a_zip_is_refused_or_harmless(tmp_path: Path) -> None:
    """Each byte of the zip changed in turn: never anything but a ModelError."""
    whole = zipped(tmp_path / "m.zip", ("net/m.onnx", b"model" * 20), ("w", b"")).read_bytes()
    path, into = tmp_path / "damaged.zip", tmp_path / "into"
    context = Context(reply_fd=os.open(os.devnull, os.O_WRONLY), folder=tmp_path)
    refused = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xD5]) + whole[at + 1 :])
        request = {"path": str(path), "into": str(into / str(at))}
        try:
            unpack(request, context)
        except ModelError:
            refused += 1
    assert refused > len(whole) / 4
