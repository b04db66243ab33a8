"""The roofs of this machine, measured once for each ONNX Runtime and number of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from filelock import Timeout

from ortlab.domain.machine import Machine
from ortlab.domain.roofline import Peaks
from ortlab.errors import MeasurementError, RequestError
from ortlab.jobs import runner
from ortlab.jobs.environment import machine_report
from ortlab.measure import peaks as measuring
from ortlab.store.database import as_store_errors
from ortlab.store.home import Store

# More threads than any machine has are a typing error.
MAX_THREADS = 1024


def known(store: Store, *, threads: int | None = None) -> Peaks | None:
    """The kept roofs for so many threads of the default runtime; None when not measured yet."""
    _, key, _ = _key(store, threads)
    found = store.reports.find(key)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=Peaks)
    except msgspec.MsgspecError:
        # Written by another version of ortlab: measured anew.
        return None


def peaks(
    store: Store,
    *,
    threads: int | None = None,
    refresh: bool = False,
    on_progress: measuring.Progress | None = None,
    cancel: threading.Event | None = None,
) -> Peaks:
    """The roofs for so many threads, kept or measured now.

    Args:
        store: where they are kept.
        threads: of one operator; None or 0 for as many as ONNX Runtime takes by itself.
        refresh: measure even when they are known.
        on_progress: told the part that is done, and what is measured now.
        cancel: ends the measurement when it is set.

    Raises:
        MeasurementError: a study is being measured, and both would spoil each other.
    """
    found = None if refresh else known(store, threads=threads)
    if found is not None:
        return found
    machine, key, count = _key(store, threads)
    with _alone(store), store.folder("peaks") as folder:
        measured = measuring.peaks(
            folder, machine_id=machine.id, threads=count, on_progress=on_progress, cancel=cancel
        )
    store.reports.save(key, msgspec.json.encode(measured).decode())
    return measured


def _key(store: Store, threads: int | None) -> tuple[Machine, str, int]:
    """The machine, under which key its roofs are kept, and the number of threads meant."""
    if threads is not None and not 0 <= threads <= MAX_THREADS:
        raise RequestError(
            f"There are no roofs for {threads} threads.", hint=f"Give 1 to {MAX_THREADS}."
        )
    report = machine_report(store)
    count = threads or measuring.default_threads(report.machine.cpu)
    version = report.runtimes[0].onnxruntime_version if report.runtimes else "none"
    return report.machine, f"peaks:{report.machine.id}:{version}:{count}", count


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """One measurement at a time: a study that is queued meanwhile waits for the end of this one.

    Raises:
        MeasurementError: something is being measured now.
    """
    lock = runner.measuring_lock(store.settings)
    with as_store_errors(store.home):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise _busy() from None
    try:
        yield
    finally:
        lock.release()


def _busy() -> MeasurementError:
    return MeasurementError(
        "Something is being measured now; the machine's roofs measured beside it would spoil both.",
        hint="Wait until it has ended, or cancel the running study.",
        kind="busy",
    )
