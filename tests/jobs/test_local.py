"""What a running study keeps, and when."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from ortlab.domain.study import Progress, StudySpec
from ortlab.errors import StoreError
from ortlab.jobs.local import StoreSink
from ortlab.store.home import Store
from tests import records


@pytest.fixture
def hasty(store: Store) -> Store:
    """A store that does not wait long for other writers."""
    return Store(store.settings.model_copy(update={"busy_timeout_s": 0.1}))


def p50s(store: Store, study_id: str) -> list[float]:
    return [row.latency.p50_us for row in store.studies.get(study_id).configurations]


def test_a_first_row_is_kept_at_once_and_refined_later(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    sink = StoreSink(store, study_id)
    for p50_us in (900.0, 950.0):
        sink.row(records.row(spec.configurations[0], p50_us=p50_us))
    assert p50s(store, study_id) == [900.0]
    sink.flush()
    assert p50s(store, study_id) == [950.0]


def test_a_row_that_fails_after_all_is_kept_at_once(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    sink = StoreSink(store, study_id)
    for p50_us in (900.0, None):
        sink.row(records.row(spec.configurations[0], p50_us=p50_us))
    (row,) = store.studies.get(study_id).configurations
    assert row.error is not None


def test_a_store_locked_for_a_while_costs_no_row(hasty: Store, spec: StudySpec) -> None:
    study_id = hasty.studies.add(spec)
    sink = StoreSink(hasty, study_id)
    with closing(sqlite3.connect(hasty.settings.database_path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        sink.progress(Progress(study_id=study_id, status="running", phase="measuring"))
        sink.row(records.row(spec.configurations[0], p50_us=900.0))
        with pytest.raises(StoreError):
            sink.flush()
    sink.flush()
    assert p50s(hasty, study_id) == [900.0]
