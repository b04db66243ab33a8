"""Questions and answers, kept row by row as they come."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Row, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from ortlab.domain.study import (
    ConfigurationResult,
    Failure,
    Notice,
    Progress,
    Status,
    Study,
    StudySpec,
    StudySummary,
)
from ortlab.errors import RequestError
from ortlab.store import references, schema
from ortlab.store.database import Database, now

T = TypeVar("T")
table = schema.study
rows = schema.configuration
ACTIVE = ("queued", "running")


class Studies:
    """Every study there is. Nothing here measures; nothing here forgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, spec: StudySpec) -> str:
        """The id of a new study, queued."""
        study_id = new_id()
        values = {
            "id": study_id,
            "model_id": spec.model_id,
            "model_name": spec.model_name,
            "title": spec.title or spec.model_name,
            "status": "queued",
            "spec": encoded(spec),
            "created_at": now(),
            "configuration_count": len(spec.configurations),
        }
        with self._database.writing() as connection:
            connection.execute(table.insert().values(values))
            references.add(connection, f"study:{study_id}", [spec.input_npz])
        return study_id

    def get(self, study_id: str) -> Study:
        """The study, as far as it has come.

        Raises:
            RequestError: there is none with this id.
        """
        with self._database.reading() as connection:
            found = _row(connection, study_id)
            results = connection.execute(
                select(rows.c.record).where(rows.c.study_id == study_id).order_by(rows.c.position)
            )
            configurations = tuple(decoded(r.record, ConfigurationResult) for r in results)
        return _study(found, configurations)

    def spec(self, study_id: str) -> StudySpec:
        """The question alone."""
        with self._database.reading() as connection:
            return decoded(_row(connection, study_id).spec, StudySpec)

    def status(self, study_id: str) -> Status:
        """One word on where it stands."""
        with self._database.reading() as connection:
            found: Status = _row(connection, study_id).status
        return found

    def history(
        self, *, text: str | None = None, model_id: str | None = None, limit: int = 200
    ) -> list[StudySummary]:
        """Newest first. `text` is looked for in titles, models, ids and winners."""
        query = select(table).order_by(table.c.number.desc()).limit(limit)
        if text:
            columns = (table.c.title, table.c.model_name, table.c.id, table.c.best_label)
            query = query.where(or_(*(c.icontains(text, autoescape=True) for c in columns)))
        if model_id:
            query = query.where(table.c.model_id == model_id)
        with self._database.reading() as connection:
            return [_summary(found) for found in connection.execute(query)]

    def trials_of(self, study: Study) -> list[Study]:
        """Studies that tried a finding of the same model, oldest first."""
        query = (
            select(table.c.id)
            .where(table.c.model_id == study.model_id, table.c.id != study.id)
            .where(table.c.spec.contains('"tried_finding":"'))
            .order_by(table.c.number)
        )
        with self._database.reading() as connection:
            ids = list(connection.execute(query).scalars())
        return [self.get(study_id) for study_id in ids]

    def progress(self, study_id: str) -> Progress:
        """Where it stands, from what the runner wrote last."""
        with self._database.reading() as connection:
            found = _row(connection, study_id)
            ahead = None
            if found.status == "queued":
                ahead = connection.execute(
                    select(func.count())
                    .select_from(table)
                    .where(table.c.status.in_(ACTIVE), table.c.number < found.number)
                ).scalar_one()
        written = decoded(found.progress, Progress) if found.progress else Progress(
            study_id=study_id, status=found.status
        )  # fmt: skip
        return _progress(found, written, ahead)

    def save_progress(self, progress: Progress) -> None:
        """Keep what pages poll."""
        self._update(progress.study_id, progress=encoded(progress), phase=progress.phase)

    def save_rows(self, study_id: str, results: Iterable[ConfigurationResult]) -> None:
        """Keep configurations' answers; the same configuration again replaces its older one."""
        with self._database.writing() as connection:
            positions = _positions(connection, study_id)
            for result in results:
                _save_row(connection, study_id, result, positions)

    def finish(self, study: Study) -> None:
        """Keep the whole answer and give the lease back."""
        best = next((c for c in study.configurations if c.id == study.best), None)
        values = {
            "status": study.status,
            "result": encoded(msgspec.structs.replace(study, configurations=())),
            "error": encoded(study.error) if study.error else None,
            "finished_at": study.finished_at or now(),
            "machine_id": study.machine_id,
            "best_label": best.label if best else None,
            "best_p50_us": best.latency.p50_us if best and best.latency else None,
            "lease_owner": None,
            "lease_until": None,
        }
        with self._database.writing() as connection:
            positions = _positions(connection, study.id)
            for result in study.configurations:
                _save_row(connection, study.id, result, positions)
            connection.execute(table.update().where(table.c.id == study.id).values(values))
            references.add(connection, f"study:{study.id}", [study.samples_artifact])

    def fail(self, study_id: str, error: Failure, *, status: Status = "failed") -> None:
        """End a study that has no answer as a whole; its finished rows stay."""
        self._update(
            study_id,
            status=status,
            error=encoded(error),
            finished_at=now(),
            lease_owner=None,
            lease_until=None,
        )

    def rename(self, study_id: str, title: str) -> None:
        """Give it another title."""
        self._update(study_id, title=title)

    def delete(self, study_id: str) -> list[str]:
        """The artifacts that nobody needs any more, once the study is gone.

        Raises:
            RequestError: it is being measured.
        """
        with self._database.writing() as connection:
            if _row(connection, study_id).status == "running":
                raise RequestError(
                    f"Study '{study_id}' is being measured.", hint="Cancel it first."
                )
            connection.execute(table.delete().where(table.c.id == study_id))
            return references.drop(connection, f"study:{study_id}")

    def _update(self, study_id: str, **values: Any) -> None:
        with self._database.writing() as connection:
            changed = connection.execute(
                table.update().where(table.c.id == study_id).values(values)
            )
            if changed.rowcount == 0:
                raise unknown(study_id)


def new_id() -> str:
    """Eight letters and digits, easy to read aloud."""
    return base64.b32encode(secrets.token_bytes(5)).decode().lower()


def unknown(study_id: str) -> RequestError:
    """The error for an id that names no study."""
    return RequestError(
        f"There is no study '{study_id}'.", hint="`ortlab history` lists all of them."
    )


def encoded(value: Any) -> str:
    """A record as JSON text."""
    return msgspec.json.encode(value).decode()


def decoded(text: str, kind: type[T]) -> T:
    """The record that `encoded` wrote."""
    return msgspec.json.decode(text, type=kind)


def _row(connection: Connection, study_id: str) -> Row[Any]:
    found = connection.execute(select(table).where(table.c.id == study_id)).first()
    if found is None:
        raise unknown(study_id)
    return found


def _study(found: Row[Any], configurations: tuple[ConfigurationResult, ...]) -> Study:
    spec = decoded(found.spec, StudySpec)
    base = decoded(found.result, Study) if found.result else Study(
        id=found.id, model_id=found.model_id, model_name=found.model_name, title=found.title,
        status=found.status, started_at=found.started_at, finished_at=found.finished_at,
        machine_id=found.machine_id, spec=spec, configurations=(),
        baseline=spec.configurations[spec.baseline].id,
    )  # fmt: skip
    return msgspec.structs.replace(
        base,
        title=found.title,
        status=found.status,
        configurations=configurations,
        notices=(*msgspec.json.decode(found.notices, type=list[Notice]), *base.notices),
        error=decoded(found.error, Failure) if found.error else None,
    )


def _summary(found: Row[Any]) -> StudySummary:
    return StudySummary(
        id=found.id,
        title=found.title,
        model_id=found.model_id,
        model_name=found.model_name,
        status=found.status,
        created_at=found.created_at,
        configuration_count=found.configuration_count,
        best_label=found.best_label,
        best_p50_us=found.best_p50_us,
        machine_id=found.machine_id,
    )


def _progress(found: Row[Any], written: Progress, ahead: int | None) -> Progress:
    error = decoded(found.error, Failure) if found.error else None
    changes: dict[str, Any] = {"status": found.status, "queue_position": ahead}
    if found.status == "done":
        changes |= {"done_share": 1.0, "seconds_left": 0.0}
    elif found.status not in ACTIVE:
        changes["seconds_left"] = None
    if error is not None:
        changes["message"] = error.message
    return msgspec.structs.replace(written, **changes)


def _positions(connection: Connection, study_id: str) -> dict[str, int]:
    spec = decoded(_row(connection, study_id).spec, StudySpec)
    return {c.id: position for position, c in enumerate(spec.configurations)}


def _save_row(
    connection: Connection, study_id: str, result: ConfigurationResult, positions: dict[str, int]
) -> None:
    latency, comparison = result.latency, result.vs_baseline
    figures = {
        "position": positions.get(result.id, len(positions)),
        "label": result.label,
        "level": result.level,
        "variant": result.variant,
        "threads": result.threads,
        "p50_us": latency.p50_us if latency else None,
        "ci_low_us": latency.ci95_us[0] if latency else None,
        "ci_high_us": latency.ci95_us[1] if latency else None,
        "ratio": comparison.ratio if comparison else None,
        "verdict": comparison.verdict if comparison else None,
        "error_kind": result.error.kind if result.error else None,
        "record": encoded(result),
    }
    statement = insert(rows).values(study_id=study_id, id=result.id, **figures)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["study_id", "id"], set_=figures)
    )
    references.add(
        connection, f"study:{study_id}", [result.trace_artifact, result.optimized_artifact]
    )
