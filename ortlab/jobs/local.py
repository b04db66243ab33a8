"""One claimed study, measured on this machine from start to end."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ortlab.domain.study import ConfigurationResult, Failure, Progress, Study, StudySpec
from ortlab.errors import OrtlabError, StoreError
from ortlab.jobs import environment
from ortlab.jobs.queue import Queue
from ortlab.store import incoming
from ortlab.store.home import Store

log = logging.getLogger(__name__)

# A cancel must be felt within 3 s; asking costs about half a millisecond.
CANCEL_POLL_S = 0.2
# Pages poll once a second; writing more often only wears the disk.
PROGRESS_EVERY_S = 0.5
# Rows are refined after every round; a whole new row is kept at once.
REFINED_EVERY_S = 1.0

Run = Callable[..., Study]
"""`ortlab.measure.study.run`, or what a test puts in its place."""


class StoreSink:
    """Where a measurement puts what it finds, as it finds it."""

    def __init__(self, store: Store, study_id: str) -> None:
        self._store = store
        self._study_id = study_id
        self._written: Progress | None = None
        self._next_s = 0.0
        self._kept: set[tuple[str, bool]] = set()
        self._unkept: dict[str, ConfigurationResult] = {}
        self._next_row_s = 0.0

    def progress(self, progress: Progress) -> None:
        """Keep where it stands: every change of phase, else twice a second."""
        changed = self._written is None or progress.phase != self._written.phase
        if changed or time.monotonic() >= self._next_s:
            progress = msgspec.structs.replace(progress, study_id=self._study_id)
            with _patient(self._study_id):
                self._store.studies.save_progress(progress)
            self._written = progress
            self._next_s = time.monotonic() + PROGRESS_EVERY_S

    def row(self, result: ConfigurationResult) -> None:
        """Keep one configuration's answer: a new one or an error now, better figures soon."""
        key = (result.id, result.error is None)
        self._unkept[result.id] = result
        if key not in self._kept or result.trace_artifact or time.monotonic() >= self._next_row_s:
            with _patient(self._study_id):
                self.flush()
            self._kept.add(key)

    def flush(self) -> None:
        """Keep the rows that were only remembered so far."""
        if self._unkept:
            self._store.studies.save_rows(self._study_id, list(self._unkept.values()))
            self._unkept.clear()
        self._next_row_s = time.monotonic() + REFINED_EVERY_S

    def artifact(self, path: Path) -> str:
        """Move a file into the store; its digest."""
        return self._store.artifacts.take(path)


@contextmanager
def _patient(study_id: str) -> Iterator[None]:
    """Go on measuring while another program holds the database; what was meant comes later."""
    try:
        yield
    except StoreError as error:
        if error.kind != "locked":
            raise
        log.warning("study %s: %s", study_id, error.message)


def run_study(store: Store, queue: Queue, study_id: str, *, run: Run | None = None) -> None:
    """Measure a study this process has claimed; whatever happens ends as a row.

    Raises:
        StoreError: the outcome itself could not be written. The lease then runs out,
            and the next runner finds the study.
    """
    spec = store.studies.spec(study_id)
    with _watched(queue, study_id) as cancel:
        try:
            study = _measured(store, study_id, spec, cancel=cancel, run=run or _measure_run)
        except OrtlabError as error:
            log.warning("study %s: %s", study_id, error.message)
            _keep_failure(store, study_id, error, cancel=cancel)
            return
        except Exception:  # the runner's edge: a bug in one study must not stop the others
            log.exception("study %s: a bug in ortlab", study_id)
            _keep_bug(store, study_id)
            return
        store.studies.finish(study)
        _decode_traces(store, study)


def _measured(
    store: Store, study_id: str, spec: StudySpec, *, cancel: threading.Event, run: Run
) -> Study:
    sink = StoreSink(store, study_id)
    sink.progress(Progress(study_id=study_id, status="running", phase="copying the model"))
    machine = environment.machine_report(store)
    with store.folder(f"study-{study_id}") as folder:
        model = incoming.place(store, spec.model_id, folder)
        try:
            study = run(
                spec,
                study_id=study_id,
                model=model,
                feeds_npz=_feeds(store, spec, folder),
                folder=folder / "work",
                sink=sink,
                cancel=cancel,
                machine=machine,
            )
        finally:
            sink.flush()
    started_at = store.studies.get(study_id).started_at
    return msgspec.structs.replace(
        study, id=study_id, title=spec.title or spec.model_name, started_at=started_at
    )


def _measure_run(spec: StudySpec, **arguments: Any) -> Study:
    from ortlab.measure import study

    return study.run(spec, **arguments)


def _feeds(store: Store, spec: StudySpec, folder: Path) -> Path | None:
    if spec.input_npz is None:
        return None
    target = folder / "input.npz"
    store.artifacts.copy_to(spec.input_npz, target)
    return target


def _keep_failure(
    store: Store, study_id: str, error: OrtlabError, *, cancel: threading.Event
) -> None:
    failure = Failure(
        kind=error.kind,
        message=error.message,
        hint=error.hint,
        phase=getattr(error, "phase", None) or None,
        log=getattr(error, "log", ""),
    )
    cancelled = cancel.is_set() and error.kind == "cancelled"
    store.studies.fail(study_id, failure, status="cancelled" if cancelled else "failed")


def _keep_bug(store: Store, study_id: str) -> None:
    last = traceback.format_exc(limit=-3)
    failure = Failure(
        kind="bug",
        message="ortlab itself failed while measuring; this is a bug.",
        hint="logs/runner.log in ortlab's folder has the details; please report them.",
        log=last[-4096:],
    )
    store.studies.fail(study_id, failure)


def _decode_traces(store: Store, study: Study) -> None:
    """Read now what a page will ask for, while nothing is being measured."""
    for result in study.configurations:
        if result.trace_artifact is None:
            continue
        try:
            store.traces.files_of(result.trace_artifact, owner=f"study:{study.id}")
        except OrtlabError as error:
            # The page that asks for this profile tries again and shows the reason.
            log.warning("study %s, trace of %s: %s", study.id, result.label, error.message)


@contextmanager
def _watched(queue: Queue, study_id: str) -> Iterator[threading.Event]:
    """An event that is set when somebody cancels; the lease is renewed meanwhile."""
    cancel, done = threading.Event(), threading.Event()
    arguments = (queue, study_id, cancel, done)
    thread = threading.Thread(target=_watch, args=arguments, name="lease", daemon=True)
    thread.start()
    try:
        yield cancel
    finally:
        done.set()
        thread.join()


def _watch(queue: Queue, study_id: str, cancel: threading.Event, done: threading.Event) -> None:
    next_renewal_s = time.monotonic() + queue.renew_every_s
    while not done.wait(CANCEL_POLL_S):
        try:
            if not cancel.is_set() and queue.cancel_requested(study_id):
                cancel.set()
            if time.monotonic() >= next_renewal_s:
                queue.renew(study_id)
                next_renewal_s = time.monotonic() + queue.renew_every_s
        except StoreError as error:
            # A store that is busy now may answer a moment later; the lease has slack for it.
            log.warning("study %s: %s", study_id, error.message)
