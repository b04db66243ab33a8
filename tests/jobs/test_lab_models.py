"""Models come in by path, folder, zip and upload; what was added can be measured later."""

from __future__ import annotations

import zipfile
from pathlib import Path

import onnx
import pytest

from ortlab.errors import ModelError, OrtlabError, RequestError
from ortlab.lab import Lab
from ortlab.store import incoming
from tests import build


@pytest.fixture
def lab(own_home: Path) -> Lab:
    return Lab.open(own_home)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mlp.onnx"
    onnx.save(build.mlp(), path)
    return path


def with_data(folder: Path, location: str = "mlp.onnx.data") -> Path:
    """A model in `folder` whose weights lie in the file `location`."""
    path = folder / "mlp.onnx"
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(
        build.mlp(), path, save_as_external_data=True, location=location, size_threshold=0
    )
    return path


def placed(lab: Lab, model_id: str, folder: Path) -> list[str]:
    """Names of the files that a worker would get, relative to the folder of the model."""
    model = incoming.place(lab.store, model_id, folder)
    onnx.load(model)
    files = (p for p in model.parent.rglob("*") if p.is_file())
    return sorted(p.relative_to(model.parent).as_posix() for p in files)


def test_inspecting_keeps_nothing(lab: Lab, file: Path) -> None:
    assert lab.inspect(file).node_count == 5
    assert lab.models() == []
    assert list((lab.home / "tmp").iterdir()) == []


def test_an_added_model_survives_its_file(lab: Lab, file: Path, tmp_path: Path) -> None:
    info = lab.add_model(file, name="My net")
    file.unlink()
    assert lab.model(info.id) == info == lab.models()[0]
    assert info.name == "My net"
    assert placed(lab, info.id, tmp_path / "job") == ["mlp.onnx"]


def test_a_model_comes_with_its_external_data(lab: Lab, tmp_path: Path) -> None:
    info = lab.add_model(with_data(tmp_path))
    assert placed(lab, info.id, tmp_path / "job") == ["mlp.onnx", "mlp.onnx.data"]


def test_a_folder_with_one_model_means_that_model(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    path = with_data(tmp_path / "export")
    assert lab.add_model(path.parent).id == lab.inspect(path).id


def test_a_folder_with_two_models_is_refused_by_name(lab: Lab, file: Path) -> None:
    onnx.save(build.mlp(seed=1), file.with_name("other.onnx"))
    with pytest.raises(ModelError, match=r"mlp\.onnx, other\.onnx") as refused:
        lab.add_model(file.parent)
    assert refused.value.kind == "model_ambiguous"


def test_a_zip_holds_a_model_with_its_data(lab: Lab, tmp_path: Path) -> None:
    path = with_data(tmp_path)
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for name in (path, path.with_name("mlp.onnx.data")):
            written.write(name, f"inside/{name.name}")
    info = lab.add_model(archive)
    assert info.id == lab.inspect(path).id
    assert placed(lab, info.id, tmp_path / "job") == ["mlp.onnx", "mlp.onnx.data"]


def test_an_upload_is_laid_out_as_the_graph_expects(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    path = with_data(tmp_path / "export", "weights/all.bin")
    info = lab.add_upload({"mlp.onnx": path, "all.bin": path.parent / "weights" / "all.bin"})
    assert placed(lab, info.id, tmp_path / "job") == ["mlp.onnx", "weights/all.bin"]


@pytest.mark.parametrize("name", ["../../mlp.onnx", "C:\\models\\mlp.onnx", "/etc/mlp.onnx"])
def test_the_name_of_an_upload_is_never_a_path(lab: Lab, file: Path, name: str) -> None:
    assert lab.add_upload({name: file}).id == lab.inspect(file).id
    assert sorted(p.name for p in lab.home.parent.iterdir()) == ["mlp.onnx", lab.home.name]


@pytest.mark.parametrize(
    "names", [("a/mlp.onnx", "b/mlp.onnx"), ("m" * 300 + ".onnx",), ("mlp.onnx", "w\0.bin")]
)
def test_an_upload_whose_names_no_folder_can_hold_is_refused(
    lab: Lab, file: Path, names: tuple[str, ...]
) -> None:
    with pytest.raises(ModelError, match=r"there twice|cannot be the name of a file"):
        lab.add_upload(dict.fromkeys(names, file))
    assert lab.models() == []


def test_an_upload_that_is_gone_is_refused(lab: Lab, file: Path) -> None:
    with pytest.raises(ModelError, match="is not there"):
        lab.add_upload({"mlp.onnx": file.with_name("gone.onnx")})


@pytest.mark.parametrize("path", ["m" * 5000, "~nobody-of-that-name/m.onnx", "\udcff.onnx", "a\0b"])
def test_a_path_that_cannot_be_one_is_refused_in_a_sentence(lab: Lab, path: str) -> None:
    for ask in (lab.add_model, lab.inspect, lab.open_trace):
        with pytest.raises(OrtlabError) as refused:
            ask(path)
        assert refused.value.exit_code in (2, 3, 5)
        assert len(refused.value.message) < 500


@pytest.mark.parametrize(
    ("variable", "name", "branch"),
    [("UPLOAD", "mlp.onnx", RequestError), ("UNPACK", "model.zip", ModelError)],
)
def test_what_is_over_a_limit_is_refused(
    lab: Lab, file: Path, monkeypatch: pytest.MonkeyPatch,
    variable: str, name: str, branch: type[OrtlabError],
) -> None:  # fmt: skip
    with zipfile.ZipFile(file.with_name("model.zip"), "w") as written:
        written.write(file, file.name)
    monkeypatch.setenv(f"ORTLAB_{variable}_LIMIT_BYTES", "1000")
    with pytest.raises(branch):
        Lab.open(lab.home).add_upload({name: file.with_name(name)})
    assert lab.models() == []


def test_an_upload_without_its_data_is_kept_and_says_what_is_missing(
    lab: Lab, tmp_path: Path
) -> None:
    info = lab.add_upload({"mlp.onnx": with_data(tmp_path)})
    assert [p.code for p in info.problems if p.severity == "error"] == ["missing-external-data"]
    assert lab.model(info.id) == info


def test_a_large_model_stays_where_it_is(
    lab: Lab, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORTLAB_KEEP_MODEL_BYTES", "10")
    lab = Lab.open(lab.home)
    info = lab.add_model(file)
    assert lab.store.models.source(info.id) == file
    assert list(lab.store.artifacts.digests()) == []
    assert placed(lab, info.id, tmp_path / "job") == ["mlp.onnx"]


@pytest.mark.parametrize(
    ("change", "kind"), [("change", "model_changed"), ("remove", "model_missing")]
)
def test_a_large_model_that_is_no_longer_the_same_is_refused(
    lab: Lab, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, kind: str
) -> None:
    monkeypatch.setenv("ORTLAB_KEEP_MODEL_BYTES", "10")
    lab = Lab.open(lab.home)
    info = lab.add_model(file)
    if change == "change":
        onnx.save(build.mlp(seed=1), file)
    else:
        file.unlink()
    with pytest.raises(ModelError) as refused:
        incoming.place(lab.store, info.id, tmp_path / "job")
    assert refused.value.kind == kind


@pytest.mark.parametrize("content", [b"", b"<html><body>404</body></html>", b"\x08\x0a\xff\xff"])
def test_a_file_that_is_no_model_is_refused_and_nothing_kept(
    lab: Lab, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as refused:
        lab.add_model(path)
    assert refused.value.exit_code == 3
    assert lab.models() == []
    assert list(lab.store.artifacts.digests()) == []


def test_a_path_that_is_not_there_is_told_with_the_path(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(OrtlabError, match=r"nothere\.onnx") as refused:
        lab.add_model(tmp_path / "nothere.onnx")
    assert refused.value.exit_code in (2, 3)


def test_a_stored_model_is_repaired_beside_the_original(lab: Lab, tmp_path: Path) -> None:
    model = build.mlp()
    model.ir_version = 14
    onnx.save(model, tmp_path / "new.onnx")
    info = lab.add_model(tmp_path / "new.onnx")
    assert any(p.fix == "lower-ir" for p in info.problems)
    fixed = lab.fix_stored(info.id)
    assert not [p for p in fixed.problems if p.severity == "error"]
    assert {m.id for m in lab.models()} == {info.id, fixed.id}
    assert "repaired" in fixed.name


def test_an_id_that_names_no_model_is_refused(lab: Lab) -> None:
    with pytest.raises(RequestError, match="no model 'nothere'"):
        lab.model("nothere")


def test_samples_are_there_and_measured_first_comes_first(lab: Lab) -> None:
    samples = lab.samples()
    assert samples[0].name == "digits_cnn"
    assert all(Path(s.path).stat().st_size == s.bytes and s.about for s in samples)
