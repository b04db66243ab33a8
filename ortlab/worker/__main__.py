"""The worker process: limits itself, then answers requests until its parent is gone."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ortlab import errors
from ortlab.worker.protocol import Context, Message, descriptor, requests

TASKS = {
    "ping": "ortlab.worker.probe:ping",
    "probe": "ortlab.worker.probe:probe",
    "try_provider": "ortlab.worker.probe:try_provider",
    "inspect": "ortlab.worker.inspect:inspect",
    "scopes": "ortlab.worker.scopes:read",
    "unpack": "ortlab.worker.archive:unpack",
    "fix": "ortlab.worker.repair:fix",
    "feeds": "ortlab.worker.feeds:make",
    "quantize_dynamic": "ortlab.worker.variants:quantize_dynamic",
    "warm_imports": "ortlab.worker.timing:warm_imports",
    "open": "ortlab.worker.timing:open_session_task",
    "reopen": "ortlab.worker.timing:reopen_session",
    "first_run": "ortlab.worker.timing:first_run",
    "warm_up": "ortlab.worker.timing:warm_up",
    "block": "ortlab.worker.timing:block",
    "memory": "ortlab.worker.timing:memory",
    "outputs": "ortlab.worker.outputs:record",
    "compare": "ortlab.worker.outputs:compare",
    "profile": "ortlab.worker.profiling:profile",
    "peaks": "ortlab.worker.peaks:peaks",
    "node_weights": "ortlab.worker.node_weights:read",
    "trace": "ortlab.worker.traces:read",
}
"""Every task by name. Each is a function of (request, context) that returns plain data."""

# Windows has no quota of its own.
_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


def main(tasks: dict[str, str]) -> None:
    """Answer requests until the parent closes the request pipe.

    Args:
        tasks: every task by name, as `module:function`.
    """
    options = json.loads(sys.argv[1])
    _tie_to_parent()
    _limit(options)
    context = Context(reply_fd=descriptor(options["reply_fd"]), folder=Path.cwd())
    for message in requests(descriptor(options["request_fd"])):
        context.write(_answer(message, context, tasks))
    # Skip interpreter shutdown: sessions of some providers crash while being torn down.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(0)


def _answer(message: Message, context: Context, tasks: dict[str, str]) -> Message:
    try:
        task = _task(tasks[message["task"]])
        return {"type": "reply", "value": task(message["request"], context)}
    except errors.OrtlabError as error:
        return {"type": "error", "error": errors.as_dict(error)}
    except Exception as error:  # the worker's edge: ORT raises many kinds, even UnicodeDecodeError
        return _classified(error)


def _task(where: str) -> Callable[[Message, Context], Any]:
    module, function = where.split(":")
    found: Callable[[Message, Context], Any] = getattr(importlib.import_module(module), function)
    return found


def _classified(error: Exception) -> Message:
    text = f"{type(error).__name__}: {error}"
    # On a full disk the log cannot take the line, and the reply must still go out.
    with contextlib.suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    outcome = "model_error"
    if isinstance(error, MemoryError) or "bad_alloc" in text or "Failed to allocate" in text:
        outcome = "out_of_memory"
    elif isinstance(error, OSError) and error.errno in _DISK_FULL:
        outcome = "disk_full"
    told = _sentence(outcome, _first_lines(text))
    return {"type": "error", "outcome": outcome, **told}


def _sentence(outcome: str, said: str) -> Message:
    """What a person is told, and the hint; what the system said comes last."""
    if outcome == "out_of_memory":
        detail = said.removeprefix("MemoryError:").strip(" .") or "an allocation failed"
        return {
            "message": f"There is not enough memory for it: {detail}.",
            "hint": "Lower the batch or other dimensions, or raise ORTLAB_MEMORY_LIMIT_BYTES.",
        }
    if outcome == "disk_full":
        return {
            "message": f"The disk is full: {said.rstrip('.')}.",
            "hint": "Free some space, or point ORTLAB_HOME at another disk.",
        }
    return {"message": said}


def _first_lines(text: str, limit: int = 600) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _tie_to_parent() -> None:
    """Die with the parent. Linux: the kernel kills on hang-up of stdin, whatever holds the GIL."""
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, 10, signal.SIGKILL)  # F_SETSIG, which Python does not name
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
        # The hang-up may have come before the signal was armed.
        threading.Thread(target=_check_hang_up, daemon=True).start()
        return
    threading.Thread(target=_wait_for_hang_up, daemon=True).start()


def _check_hang_up() -> None:
    import select

    poll = select.poll()
    poll.register(0, select.POLLHUP)
    if any(event & select.POLLHUP for _, event in poll.poll(0)):
        os._exit(1)


def _wait_for_hang_up() -> None:
    while os.read(0, 1):
        continue
    os._exit(1)


def _limit(options: dict[str, Any]) -> None:
    faulthandler.enable()
    # The last resort, should every other deadline fail.
    faulthandler.dump_traceback_later(options["lifetime_s"] + 30, exit=True)
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # DATA, never AS: CUDA and OpenVINO reserve terabytes of address space they do not use.
    for kind, value in ((resource.RLIMIT_DATA, options["memory_bytes"]),
                        (resource.RLIMIT_FSIZE, options["file_bytes"])):  # fmt: skip
        hard = resource.getrlimit(kind)[1]
        # Nobody but root may go above the hard limit this process was started with.
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


if __name__ == "__main__":
    main(TASKS)
