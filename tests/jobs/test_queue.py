"""A queued study is claimed once, by one process, and never forgotten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ortlab.domain.study import Progress, StudySpec
from ortlab.errors import RequestError
from ortlab.jobs.queue import Queue
from ortlab.store.home import Store

ROOT = Path(__file__).parents[2]
CLAIM_ALL = """
import sys
from pathlib import Path
from ortlab.jobs.queue import Queue
from ortlab.store.database import Database
queue = Queue(Database(Path(sys.argv[1]), busy_timeout_s=60), lease_s=30, owner=sys.argv[2])
sys.stdin.readline()
while (claimed := queue.claim()) is not None:
    print(claimed)
"""


def queue_of(store: Store, owner: str = "elsewhere:1", *, lease_s: float = 30) -> Queue:
    return Queue(store.database, lease_s=lease_s, owner=owner)


def test_four_processes_claim_two_hundred_studies_once_each(store: Store, spec: StudySpec) -> None:
    ids = [store.studies.add(spec) for _ in range(200)]
    command = [sys.executable, "-c", CLAIM_ALL, str(store.settings.database_path)]
    claimers = [
        subprocess.Popen(
            [*command, f"host:{number}"], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]  # fmt: skip
    for process in claimers:
        process.stdin.write("go\n")
        process.stdin.flush()
    claimed = [one for process in claimers for one in process.communicate()[0].split()]
    assert sorted(claimed) == sorted(ids)


def test_the_study_that_waited_longest_is_claimed_first(store: Store, spec: StudySpec) -> None:
    ids = [store.studies.add(spec) for _ in range(3)]
    queue = queue_of(store)
    assert [queue.claim() for _ in range(4)] == [*ids, None]


def test_a_claimed_study_is_running_with_a_time(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    queue_of(store).claim()
    study = store.studies.get(study_id)
    assert study.status == "running"
    assert study.started_at is not None


def test_only_the_owner_renews_a_lease(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    owner, other = queue_of(store, "here:1"), queue_of(store, "there:2")
    owner.claim()
    assert owner.renew(study_id)
    assert not other.renew(study_id)


def test_a_waiting_study_is_cancelled_at_once(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    queue = queue_of(store)
    queue.cancel(study_id)
    assert store.studies.status(study_id) == "cancelled"
    assert queue.claim() is None


def test_a_running_study_is_asked_to_end(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    queue = queue_of(store)
    queue.claim()
    assert not queue.cancel_requested(study_id)
    queue.cancel(study_id)
    assert queue.cancel_requested(study_id)
    assert store.studies.status(study_id) == "running"


def test_cancelling_what_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(RequestError, match="no study 'nothere'"):
        queue_of(store).cancel("nothere")


def test_a_live_lease_elsewhere_is_left_alone(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    queue_of(store, "elsewhere:1").claim()
    assert queue_of(store).recover(alone=True) == []
    assert store.studies.status(study_id) == "running"


def test_a_dead_lease_is_queued_again_once_and_then_lost(store: Store, spec: StudySpec) -> None:
    study_id = store.studies.add(spec)
    queue = queue_of(store, lease_s=-1)
    told = []
    for _ in range(2):
        queue.claim()
        assert queue.recover(alone=False) == [study_id]
        study = store.studies.get(study_id)
        told.append((study.status, len(study.notices), study.error and study.error.kind))
    assert told == [("queued", 1, None), ("lost", 2, "lost")]
    assert queue.claim() is None


def test_a_cancelled_study_of_a_dead_runner_is_not_queued_again(
    store: Store, spec: StudySpec
) -> None:
    study_id = store.studies.add(spec)
    queue = queue_of(store, lease_s=-1)
    queue.claim()
    queue.cancel(study_id)
    queue.recover(alone=False)
    assert store.studies.status(study_id) == "cancelled"


def test_who_holds_the_lock_takes_over_from_a_dead_runner_of_this_machine_at_once(
    store: Store, spec: StudySpec
) -> None:
    study_id = store.studies.add(spec)
    Queue(store.database, lease_s=3600).claim()
    assert queue_of(store).recover(alone=True) == [study_id]


def test_a_study_that_begins_anew_does_not_show_how_far_the_lost_attempt_was(
    store: Store, spec: StudySpec
) -> None:
    study_id = store.studies.add(spec)
    dead = Queue(store.database, lease_s=30)
    assert dead.claim() == study_id
    store.studies.save_progress(
        Progress(study_id=study_id, status="running", phase="measuring", done_share=0.7)
    )
    queue = Queue(store.database, lease_s=30)
    assert queue.recover(alone=True) == [study_id]
    assert queue.claim() == study_id
    found = store.studies.progress(study_id)
    assert (found.status, found.phase, found.done_share) == ("running", "", 0.0)
