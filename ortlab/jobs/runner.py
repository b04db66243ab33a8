"""The runner: one process per home that measures what is queued, and ends when idle.

    python -m ortlab.jobs.runner --home FOLDER

It is guarded by a file lock and outlives whoever started it.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

from ortlab import settings as settings_module
from ortlab.jobs import local
from ortlab.jobs.queue import Queue
from ortlab.settings import Settings
from ortlab.store.database import as_store_errors
from ortlab.store.home import Store

log = logging.getLogger(__name__)

LOG_NAME = "runner.log"
LOG_LIMIT_BYTES = 5 << 20
POLL_S = 0.25
# A runner that has not tried for its lock by then has failed; its log says why.
START_PATIENCE_S = 10.0


def start_if_free(settings: Settings) -> bool:
    """Whether a new runner was started; False when one is there already.

    Call it after the study is queued. A runner that is about to end looks at the queue
    once more after it gave its lock back, so a study queued before this call that met a
    held lock is seen by the holder.
    """
    if _is_starting(settings):
        return False
    with as_store_errors(settings.home):
        if not _is_free(runner_lock(settings)):
            return False
        _start(settings)
    return True


def runner_lock(settings: Settings) -> FileLock:
    """The lock that a runner holds as long as it lives; the kernel frees it at a kill."""
    return FileLock(settings.home / "runner.lock", is_singleton=False)


def measuring_lock(settings: Settings) -> FileLock:
    """The lock of whoever measures right now: a runner its study, or the machine's roofs."""
    return FileLock(settings.home / "measuring.lock", is_singleton=False)


def serve(settings: Settings, *, run: local.Run | None = None) -> None:
    """Measure until nothing was queued for `runner_idle_s`; at once when another runner serves."""
    store = Store(settings)
    queue = Queue(store.database, lease_s=settings.lease_s)
    lock = runner_lock(settings)
    while True:
        try:
            with lock.acquire(timeout=0):
                _starting_mark(settings).unlink(missing_ok=True)
                _serve_alone(store, queue, run)
        except Timeout:
            _starting_mark(settings).unlink(missing_ok=True)
            return
        # Somebody may have queued a study after the last look, and met a held lock.
        if not queue.waiting():
            return


def _serve_alone(store: Store, queue: Queue, run: local.Run | None) -> None:
    for study_id in queue.recover(alone=True):
        log.warning("study %s: its runner had died", study_id)
    store.sweep()
    last_work_s = time.monotonic()
    while time.monotonic() - last_work_s < store.settings.runner_idle_s:
        if not queue.waiting():
            time.sleep(POLL_S)
            continue
        with measuring_lock(store.settings):
            claimed = queue.claim()
            if claimed is not None:
                log.info("study %s: started", claimed)
                local.run_study(store, queue, claimed, run=run)
                log.info("study %s: ended", claimed)
        last_work_s = time.monotonic()


def _starting_mark(settings: Settings) -> Path:
    """A file that is there from the start of a runner until it has tried for its lock."""
    return settings.home / "runner.starting"


def _is_starting(settings: Settings) -> bool:
    """Whether somebody started a runner just now. Without this every poll would start one."""
    try:
        age_s = time.time() - _starting_mark(settings).stat().st_mtime
    except FileNotFoundError:
        return False
    return 0 <= age_s < START_PATIENCE_S


def _is_free(lock: FileLock) -> bool:
    try:
        with lock.acquire(timeout=0):
            return True
    except Timeout:
        return False


def _start(settings: Settings) -> None:
    """Start a runner that belongs to nobody: a new session, no terminal, its own log."""
    logs = settings.home / "logs"
    logs.mkdir(exist_ok=True)
    _starting_mark(settings).touch()
    path = logs / LOG_NAME
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".old.log"))
    package_root = str(Path(__file__).resolve().parents[2])
    search = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    with path.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ortlab.jobs.runner", "--home", str(settings.home)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=settings.home,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(search)},
            start_new_session=True,
        )
    # Whoever lives longer than the runner must collect it, or it stays as a zombie.
    threading.Thread(target=process.wait, name="runner", daemon=True).start()


def main() -> None:
    """Serve one home."""
    parser = argparse.ArgumentParser(prog="python -m ortlab.jobs.runner", description=__doc__)
    parser.add_argument("--home", required=True, help="ortlab's folder")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    log.info("runner %d started", os.getpid())
    serve(settings_module.load(options.home))
    log.info("runner %d ended: nothing to do", os.getpid())


if __name__ == "__main__":
    main()
