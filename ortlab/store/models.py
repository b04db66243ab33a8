"""Models that were added: copied into the store when small enough, else remembered by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.dialects.sqlite import insert

from ortlab.domain.model import ModelInfo
from ortlab.errors import ModelError, RequestError
from ortlab.store import intake, references, schema
from ortlab.store.artifacts import Artifacts
from ortlab.store.database import Database, now

table = schema.model


class Models:
    """What was added, by model id."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self._database = database
        self._artifacts = artifacts

    def keep(self, info: ModelInfo, copy: Path) -> None:
        """Move a private copy into the store: every file of its folder, by relative name.

        Links are left out: what they point to is not part of the model.
        """
        folder = copy.parent
        others = sorted(p for p in folder.rglob("*") if _is_plain(p) and p != copy)
        files = [
            (path.relative_to(folder).as_posix(), self._artifacts.take(path))
            for path in (copy, *others)
        ]
        self._save(info, files=files, path=None)

    def refer(self, info: ModelInfo, path: Path) -> None:
        """Remember where a model too large to copy is."""
        self._save(info, files=[], path=path)

    def get(self, model_id: str) -> ModelInfo:
        """The card of one model.

        Raises:
            RequestError: no model with this id was added.
        """
        return msgspec.json.decode(self._row(model_id).info, type=ModelInfo)

    def all(self) -> list[ModelInfo]:
        """Every card, the one added last first."""
        query = select(table.c.info).order_by(table.c.added_at.desc())
        with self._database.reading() as connection:
            texts = list(connection.execute(query).scalars())
        return [msgspec.json.decode(text, type=ModelInfo) for text in texts]

    def place(self, model_id: str, folder: Path) -> Path:
        """The model's file inside the private `folder`: real copies, content checked.

        Raises:
            ModelError: the file it refers to is gone or was changed.
        """
        found = self._row(model_id)
        if found.reference is not None:
            return self._place_reference(found, folder)
        files: list[tuple[str, str]] = msgspec.json.decode(found.files, type=list[tuple[str, str]])
        for name, digest in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._artifacts.copy_to(digest, target)
        return folder / files[0][0]

    def graph_file(self, model_id: str) -> Path:
        """The model's own file, to be read only; its data files need not lie beside it."""
        found = self._row(model_id)
        if found.reference is not None:
            return Path(found.reference)
        files: list[tuple[str, str]] = msgspec.json.decode(found.files, type=list[tuple[str, str]])
        return self._artifacts.path(files[0][1])

    def source(self, model_id: str) -> Path | None:
        """Where the original is, for a model that was too large to copy."""
        found = self._row(model_id).reference
        return None if found is None else Path(found)

    def _place_reference(self, found: Row[Any], folder: Path) -> Path:
        source = Path(found.reference)
        info = msgspec.json.decode(found.info, type=ModelInfo)
        if not source.is_file():
            raise ModelError(
                f"'{source}' is gone; it was too large to be copied into the store.",
                hint="Put it back, or add the model again from where it is now.",
                kind="model_missing",
            )
        return intake.private_copy(info, source, folder)

    def _save(self, info: ModelInfo, *, files: list[tuple[str, str]], path: Path | None) -> None:
        values = {
            "name": info.name,
            "info": msgspec.json.encode(info).decode(),
            "files": msgspec.json.encode(files).decode(),
            "reference": str(path) if path else None,
            "added_at": now(),
        }
        with self._database.writing() as connection:
            statement = insert(table).values(id=info.id, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
            references.add(connection, f"model:{info.id}", [digest for _, digest in files])

    def _row(self, model_id: str) -> Row[Any]:
        with self._database.reading() as connection:
            found = connection.execute(select(table).where(table.c.id == model_id)).first()
        if found is None:
            raise RequestError(
                f"There is no model '{model_id}' in the store.", hint="Add its file first."
            )
        return found


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
