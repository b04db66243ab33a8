"""How a model comes in: a path, a folder, a zip, or uploaded files. A worker does the reading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from ortlab.catalog.samples import SAMPLES
from ortlab.domain.files import is_file, is_folder
from ortlab.domain.model import FixReport, ModelInfo, SampleModel
from ortlab.errors import ModelError, RequestError
from ortlab.sandbox.spawn import run_task
from ortlab.store import intake
from ortlab.store.home import Store

SUFFIXES = (".onnx", ".ort")


def inspect(store: Store, path: Path) -> ModelInfo:
    """The card of the model at `path`; nothing is kept."""
    with store.folder("inspect") as folder:
        return _inspect(store, _model_in(store, path, folder), folder)


def add(store: Store, path: Path, *, name: str | None = None) -> ModelInfo:
    """The card of a model on this machine, kept: a copy when it is small, else its path."""
    with store.folder("add") as folder:
        source = _model_in(store, path, folder)
        info = _named(_inspect(store, source, folder), name)
        small = info.total_bytes <= store.settings.keep_model_bytes
        if source.is_relative_to(folder) or (small and _has_its_data(info)):
            _keep(store, info, source, folder)
        else:
            store.models.refer(info, source.absolute())
    return info


def add_upload(store: Store, files: dict[str, Path]) -> ModelInfo:
    """The card of a model from uploaded files by name: one `.onnx` with its data, or one `.zip`."""
    _refuse_large(files, limit=store.settings.upload_limit_bytes)
    with store.folder("upload") as folder:
        names = _by_plain_name(files)
        archives = [n for n in names if n.lower().endswith(".zip")]
        if len(names) == 1 and archives:
            source = _model_in(store, names[archives[0]], folder, name=archives[0])
        else:
            source = _gathered(store, names, folder)
        info = _inspect(store, source, folder)
        _keep(store, info, source, folder)
    return info


def place(store: Store, model_id: str, folder: Path) -> Path:
    """A private copy of a stored model, below `folder`, that is still what was added.

    Raises:
        ModelError: it was too large to be kept, and its file is gone or was changed.
    """
    copy = store.models.place(model_id, folder / "model")
    source = store.models.source(model_id)
    # What lies in the store was checked against its digest on the way.
    if source is not None and _inspect(store, copy, folder).id != model_id:
        raise ModelError(
            f"'{source}' was changed since it was added; it is another model now.",
            hint="Add it again to measure it as it is.",
            kind="model_changed",
        )
    return copy


def samples() -> list[SampleModel]:
    """The sample models that are there, in the order of the catalog."""
    folder = Path(__file__).resolve().parents[2] / "sample_models"
    found = [(sample, folder / f"{sample.name}.onnx") for sample in SAMPLES]
    return [
        SampleModel(sample.name, str(path), sample.about, path.stat().st_size)
        for sample, path in found
        if path.is_file()
    ]


def fix(store: Store, path: Path, out: Path, *, only: str | None = None) -> FixReport:
    """Repair the model at `path` into `out`."""
    with store.folder("fix") as folder:
        source = _model_in(store, path, folder)
        return _fix(store, source, out.absolute(), folder, only=only)


def fix_stored(store: Store, model_id: str, *, only: str | None = None) -> ModelInfo:
    """The card of a repaired copy of a stored model, kept beside the original."""
    info = store.models.get(model_id)
    with store.folder("fix") as folder:
        # A repair may need files that lie beside the original, which a copy leaves behind.
        source = store.models.source(model_id) or store.models.place(model_id, folder / "model")
        out = folder / "fixed" / f"{source.stem}-fixed.onnx"
        out.parent.mkdir()
        report = _fix(store, source, out, folder, only=only)
        fixed = _named(report.model, f"{info.name} (repaired)")
        _keep(store, fixed, out, folder)
    return fixed


def _keep(store: Store, info: ModelInfo, source: Path, folder: Path) -> None:
    """Keep the model with the data it declares; all that lies beside it where some is astray."""
    whole = _has_its_data(info)
    copy = intake.private_copy(info, source, folder / "copy") if whole else source
    store.models.keep(info, copy)


def _has_its_data(info: ModelInfo) -> bool:
    return not any("external-data" in problem.code for problem in info.problems)


def _fix(store: Store, source: Path, out: Path, folder: Path, *, only: str | None) -> FixReport:
    request = {"path": str(source.absolute()), "out": str(out)} | ({"only": only} if only else {})
    timeout_s = store.settings.open_timeout_s
    reply = run_task("fix", request, folder=folder / "worker", timeout_s=timeout_s)
    return msgspec.convert(reply, FixReport)


def _inspect(store: Store, source: Path, folder: Path) -> ModelInfo:
    reply = run_task(
        "inspect",
        {"path": str(source.absolute())},
        folder=folder / "worker",
        timeout_s=store.settings.inspect_timeout_s,
    )
    return msgspec.convert(reply, ModelInfo)


def _model_in(store: Store, path: Path, folder: Path, *, name: str | None = None) -> Path:
    """The model file that `path` means: itself, the only one of a folder, or of an archive."""
    if is_folder(path):
        # Not what lies deeper: somebody may give the root of a disk.
        return _only_model(path, path.glob("*"), shown=str(path))
    shown = name or path.name
    if not shown.lower().endswith(".zip"):
        return path
    into = folder / "unpacked"
    settings = store.settings
    request = {
        "path": str(path.absolute()),
        "into": str(into),
        "max_total_bytes": settings.unpack_limit_bytes,
    }
    run_task("unpack", request, folder=folder / "worker", timeout_s=settings.open_timeout_s)
    return _only_model(into, into.rglob("*"), shown=shown)


def _only_model(folder: Path, files: Iterable[Path], *, shown: str) -> Path:
    found = sorted(p for p in files if p.suffix.lower() in SUFFIXES and p.is_file())
    if len(found) == 1:
        return found[0]
    names = ", ".join(p.relative_to(folder).as_posix() for p in found[:5])
    raise ModelError(
        f"'{shown}' holds {len(found)} ONNX models: {names}."
        if found
        else f"'{shown}' holds no ONNX model.",
        hint="Choose one model file." if found else "A model file ends in .onnx or .ort.",
        kind="model_missing" if not found else "model_ambiguous",
    )


def _gathered(store: Store, names: dict[str, Path], folder: Path) -> Path:
    """The uploaded model with its data files laid where the graph looks for them."""
    together = folder / "together"
    together.mkdir()
    for name, path in names.items():
        intake.copy_file(path, together / name)
    source = _only_model(together, together.glob("*"), shown=", ".join(sorted(names)))
    for data in _inspect(store, source, folder).external_data:
        target = PurePosixPath(data.location)
        # A browser gives names without folders; a graph may expect `weights/layer0.bin`.
        if data.bytes is None and len(target.parts) > 1 and _is_inside(target):
            uploaded = together / target.name
            if uploaded.is_file():
                (together / target).parent.mkdir(parents=True, exist_ok=True)
                uploaded.rename(together / target)
    return source


def _refuse_large(files: dict[str, Path], *, limit: int) -> None:
    gone = [name for name, path in files.items() if not is_file(path)]
    if gone:
        raise ModelError(f"The upload '{gone[0][:200]}' is not there.", hint="Upload it again.")
    total = sum(path.stat().st_size for path in files.values())
    if total > limit:
        raise RequestError(
            f"The upload has {total:,} bytes; the limit is {limit:,}.",
            hint="Give its path on this machine instead, or raise ORTLAB_UPLOAD_LIMIT_BYTES.",
            kind="upload_too_large",
        )


def _is_inside(location: PurePosixPath) -> bool:
    return not location.is_absolute() and ".." not in location.parts


def _by_plain_name(files: dict[str, Path]) -> dict[str, Path]:
    """The uploaded files by name without any folder.

    Raises:
        ModelError: two have one name, or a name cannot be a file's.
    """
    names: dict[str, Path] = {}
    for name, path in files.items():
        plain = _plain(name)
        if plain in names or "\0" in plain or len(plain.encode("utf-8", "replace")) > 255:
            reason = "is there twice" if plain in names else "cannot be the name of a file"
            raise ModelError(
                f"'{plain[:200]}' {reason}.", hint="Put the files into one .zip.", kind="bad_upload"
            )
        names[plain] = path
    return names


def _plain(name: str) -> str:
    """An upload's file name without any folder, whatever system it came from."""
    return name.replace("\\", "/").rpartition("/")[2].lstrip(".") or "upload"


def _named(info: ModelInfo, name: str | None) -> ModelInfo:
    return info if name is None else msgspec.structs.replace(info, name=name)
