"""Studies go in row by row and come out as they were; nothing finished is ever lost."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ortlab.domain.study import Failure, Progress, StudySpec
from ortlab.errors import RequestError
from ortlab.settings import Settings
from ortlab.store.home import Store
from tests import records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Settings(home=tmp_path))


def spec(*levels: str, **fields) -> StudySpec:
    configurations = tuple(records.configuration(level=level) for level in levels or ("all",))
    return StudySpec(
        **{"model_id": "m1", "model_name": "tiny", "configurations": configurations} | fields
    )


def finished(store: Store, study_id: str, *rows, **fields):
    study = records.study(*rows, spec=store.studies.spec(study_id), **fields)
    store.studies.finish(msgspec.structs.replace(study, id=study_id))


def test_a_new_study_is_queued_with_its_question(store: Store) -> None:
    asked = spec("disabled", "all", seed=7)
    study = store.studies.get(store.studies.add(asked))
    assert (study.status, study.spec, study.configurations) == ("queued", asked, ())


def test_an_id_that_names_nothing_is_refused_with_a_hint(store: Store) -> None:
    with pytest.raises(RequestError, match="no study 'nothere'") as refused:
        store.studies.get("nothere")
    assert refused.value.hint


def test_ids_are_short_and_differ() -> None:
    from ortlab.store.studies import new_id

    ids = {new_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(8 <= len(i) <= 10 and i.isalnum() for i in ids)


def test_a_row_is_there_before_the_study_ends(store: Store) -> None:
    study_id = store.studies.add(spec())
    row = records.row(records.configuration())
    store.studies.save_rows(study_id, [row])
    assert store.studies.get(study_id).configurations == (row,)


def test_the_same_configuration_again_replaces_its_row(store: Store) -> None:
    study_id = store.studies.add(spec())
    for p50_us in (900.0, 1000.0):
        store.studies.save_rows(study_id, [records.row(records.configuration(), p50_us=p50_us)])
    (row,) = store.studies.get(study_id).configurations
    assert row.latency.p50_us == 1000.0


def test_rows_stand_in_the_order_of_the_question(store: Store) -> None:
    asked = spec("disabled", "basic", "all")
    study_id = store.studies.add(asked)
    for configuration in reversed(asked.configurations):
        store.studies.save_rows(study_id, [records.row(configuration)])
    ids = [row.id for row in store.studies.get(study_id).configurations]
    assert ids == [c.id for c in asked.configurations]


def test_a_finished_study_comes_back_as_it_was(store: Store) -> None:
    study_id = store.studies.add(spec(title="My title"))
    row = records.row(records.configuration())
    finished(store, study_id, row, samples_artifact="a" * 64)
    study = store.studies.get(study_id)
    assert (study.status, study.title, study.best) == ("done", "My title", row.id)
    assert (study.configurations, study.aa, study.rounds) == ((row,), records.study().aa, 12)


def test_a_failed_study_keeps_its_finished_rows(store: Store) -> None:
    study_id = store.studies.add(spec())
    row = records.row(records.configuration())
    store.studies.save_rows(study_id, [row])
    store.studies.fail(study_id, Failure(kind="disk_full", message="The disk is full."))
    study = store.studies.get(study_id)
    assert (study.status, study.error.kind, study.configurations) == ("failed", "disk_full", (row,))


def test_progress_of_a_queued_study_says_how_many_stand_before_it(store: Store) -> None:
    ids = [store.studies.add(spec()) for _ in range(3)]
    assert [store.studies.progress(i).queue_position for i in ids] == [0, 1, 2]


def test_progress_comes_back_with_the_status_of_the_row(store: Store) -> None:
    study_id = store.studies.add(spec())
    written = Progress(study_id=study_id, status="running", phase="measuring", done_share=0.5)
    store.studies.save_progress(written)
    finished(store, study_id, records.row(records.configuration()))
    found = store.studies.progress(study_id)
    assert (found.status, found.done_share, found.phase) == ("done", 1.0, "measuring")


def test_history_is_newest_first_and_tells_the_winner(store: Store) -> None:
    first, second = (store.studies.add(spec()) for _ in range(2))
    finished(store, first, records.row(records.configuration(), p50_us=123.0))
    listed = store.studies.history()
    assert [s.id for s in listed] == [second, first]
    assert listed[1].best_p50_us == 123.0


@pytest.mark.parametrize("text", ["RESNET", "50 %", "my first"])
def test_history_finds_text_literally_and_in_any_case(store: Store, text: str) -> None:
    wanted = store.studies.add(spec(title="My first ResNet at 50 % load"))
    store.studies.add(spec(title="another at 500 load"))
    assert [s.id for s in store.studies.history(text=text)] == [wanted]


def test_history_of_one_model_leaves_others_out(store: Store) -> None:
    wanted = store.studies.add(spec(model_id="m2"))
    store.studies.add(spec())
    assert [s.id for s in store.studies.history(model_id="m2")] == [wanted]


def test_a_renamed_study_keeps_its_new_title(store: Store) -> None:
    study_id = store.studies.add(spec())
    finished(store, study_id, records.row(records.configuration()))
    store.studies.rename(study_id, "Better")
    assert store.studies.get(study_id).title == "Better"
    assert store.studies.history()[0].title == "Better"


def test_deleting_a_study_removes_the_artifacts_only_it_needed(
    store: Store, tmp_path: Path
) -> None:
    digests = [_artifact(store, tmp_path, name) for name in ("own", "common")]
    ids = [store.studies.add(spec()) for _ in range(2)]
    rows = [
        records.row(records.configuration(), trace_artifact=digests[0],
                    optimized_artifact=digests[1]),
        records.row(records.configuration(), trace_artifact=digests[1]),
    ]  # fmt: skip
    for study_id, row in zip(ids, rows, strict=True):
        store.studies.save_rows(study_id, [row])
    store.delete_study(ids[0])
    assert list(store.artifacts.digests()) == [digests[1]]
    assert store.studies.get(ids[1]).configurations == (rows[1],)


def test_a_running_study_is_not_deleted(store: Store) -> None:
    from ortlab.jobs.queue import Queue

    study_id = store.studies.add(spec())
    Queue(store.database, lease_s=30).claim()
    with pytest.raises(RequestError, match="being measured"):
        store.delete_study(study_id)


def test_studies_that_tried_a_finding_are_found_by_their_model(store: Store) -> None:
    study_id = store.studies.add(spec())
    trial = store.studies.add(spec(tried_finding="too-many-threads"))
    store.studies.add(spec(model_id="m2", tried_finding="too-many-threads"))
    assert [s.id for s in store.studies.trials_of(store.studies.get(study_id))] == [trial]


def _artifact(store: Store, folder: Path, content: str) -> str:
    (folder / "new").write_text(content)
    return store.artifacts.put(folder / "new")
