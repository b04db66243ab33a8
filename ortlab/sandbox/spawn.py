"""A child process that opens what the user gave, and that can never hurt the one that started it.

Three pipes: stdin is a lifeline on which nothing is ever written (its closing kills the
child, even one that is stuck in native code), one carries requests, one replies. What the
child or ONNX Runtime prints goes to a log file; stdout is never a protocol.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ortlab import errors
from ortlab.sandbox import pipes
from ortlab.sandbox.limits import Limits, default_limits, environment
from ortlab.sandbox.outcome import ChildFailedError, Outcome, as_error, from_returncode

LOG_TAIL_BYTES = 4096
# Between SIGTERM and SIGKILL.
TERM_GRACE_S = 0.5
_POLL_S = 0.1
# The watchdog looks at the child's memory and log this often; it costs about 30 µs.
_WATCH_S = 0.25
# ONNX Runtime repeats some warnings in every run. A log longer than this starts anew.
LOG_LIMIT_BYTES = 256 << 20
# A worker that is importing when it is told to go needs no longer than this to notice.
_CLOSE_TOGETHER_S = 0.5
LOG_NAME = "worker.log"
WORKER_PROGRAM = "ortlab.worker"
READER_PROGRAM = "ortlab.reader"
# Windows has neither; there a child is ended by `TerminateProcess`, and never paused.
_SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_SIGCONT = getattr(signal, "SIGCONT", None)

Message = dict[str, Any]


class Child:
    """One worker process. Ask it, pause it, close it; every bad end is a `ChildFailedError`."""

    def __init__(
        self,
        folder: Path,
        *,
        limits: Limits,
        python: str | None = None,
        program: str = WORKER_PROGRAM,
    ) -> None:
        self.folder = folder
        self.limits = limits
        self.phase = "start"
        self._deadline = time.monotonic() + limits.lifetime_s
        self._next_watch = time.monotonic() + _WATCH_S
        self._paused = False
        self._buffer = b""
        self.log_path = folder / LOG_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._start(python or sys.executable, program)
        except OSError as error:
            raise _not_started(error) from error

    def _start(self, python: str, program: str) -> None:
        request_read, self._request = os.pipe()
        reply_read, reply_write = os.pipe()
        try:
            # -P: the private folder must not become an import path.
            self.process = self._popen([python, "-P", "-m", program], request_read, reply_write)
        except BaseException:
            os.close(self._request)
            os.close(reply_read)
            raise
        finally:
            os.close(request_read)
            os.close(reply_write)
        self._replies = pipes.replies(reply_read)

    def _popen(
        self, command: list[str], request_read: int, reply_write: int
    ) -> subprocess.Popen[bytes]:
        numbers, how = pipes.inherited(request_read, reply_write)
        arguments = json.dumps(
            {
                "request_fd": numbers[0],
                "reply_fd": numbers[1],
                "memory_bytes": self.limits.memory_bytes,
                "lifetime_s": self.limits.lifetime_s,
                "file_bytes": self.limits.file_bytes,
            }
        )
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*command, arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment(self.folder),
                **how,
            )

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self.process.pid

    def ask(
        self,
        task: str,
        request: Message | None = None,
        *,
        timeout_s: float,
        cancel: threading.Event | None = None,
        on_progress: Callable[[Message], None] | None = None,
    ) -> Message:
        """The child's answer to one request.

        Raises:
            OrtlabError: what the worker itself refused, of the branch it chose.
            ChildFailedError: crash, timeout, out of memory, cancel.
        """
        self.send(task, request)
        return self.receive(timeout_s=timeout_s, cancel=cancel, on_progress=on_progress)

    def send(self, task: str, request: Message | None = None) -> None:
        """Send one request without waiting for its answer."""
        self.resume()
        line = json.dumps({"task": task, "request": request or {}}).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._request, line) :]
        except OSError:
            raise self._ended() from None

    def receive(
        self,
        *,
        timeout_s: float,
        cancel: threading.Event | None = None,
        on_progress: Callable[[Message], None] | None = None,
    ) -> Message:
        """The answer to the request sent last; see `ask`."""
        deadline = min(time.monotonic() + timeout_s, self._deadline)
        while True:
            # Looked at before every answer: turns of a few milliseconds never wait.
            self._heed(cancel)
            for message in self._messages():
                kind = message.get("type")
                if kind == "reply":
                    value: Message = message["value"]
                    return value
                if kind == "error":
                    raise self._refusal(message)
                if kind == "phase":
                    self.phase = str(message["phase"])
                elif on_progress is not None:
                    on_progress(message)
            if time.monotonic() >= deadline:
                self.kill()
                raise self._failed(
                    f"No answer within {timeout_s:g} s, in phase '{self.phase}'.",
                    Outcome.TIMEOUT,
                    hint="The model may never end. Raise the time limit if it is only slow.",
                )

    def _heed(self, cancel: threading.Event | None) -> None:
        """Stop when somebody cancelled, and now and then look at what the child takes."""
        if cancel is not None and cancel.is_set():
            self.kill()
            raise self._failed("The measurement was cancelled.", Outcome.CANCELLED)
        now = time.monotonic()
        if now >= self._next_watch:
            self._next_watch = now + _WATCH_S
            self._watch_memory()
            self._watch_log()

    def pause(self) -> None:
        """Stop the child where it is: an idle worker must not spin beside a measured one."""
        if not self._paused and self.process.poll() is None and hasattr(signal, "SIGSTOP"):
            os.kill(self.pid, signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        """Let a paused child go on."""
        if self._paused and self.process.poll() is None and _SIGCONT is not None:
            os.kill(self.pid, _SIGCONT)
        self._paused = False

    def close(self) -> None:
        """End the child: politely by closing its pipes, then for good. Never raises."""
        close_all([self])

    def part(self) -> None:
        """Tell the child to end, without waiting for it."""
        self.resume()
        self._close_request()

    def kill(self) -> None:
        """End the child and everything it started, now."""
        for number in (signal.SIGTERM, _SIGKILL):
            self._signal_group(number)
            # A stopped process takes SIGTERM only when it goes on.
            if _SIGCONT is not None:
                self._signal_group(_SIGCONT)
            if self._gone(within_s=TERM_GRACE_S):
                break
        self.abandon()

    def abandon(self) -> None:
        """End whatever the child started and left behind, and give its pipes back."""
        self._signal_group(_SIGKILL)
        self._close_request()
        self._replies.close()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _gone(self, *, within_s: float) -> bool:
        try:
            self.process.wait(timeout=max(0.0, within_s))
        except subprocess.TimeoutExpired:
            return False
        return True

    def log_tail(self) -> str:
        """The last 4 kB of what the child and ONNX Runtime printed."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
                return log.read(LOG_TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _messages(self) -> list[Message]:
        """Whole messages that have arrived, after waiting a moment for some."""
        chunk = self._replies.read(_POLL_S)
        if chunk is None:
            return []
        if not chunk:
            raise self._ended()
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            self.kill()
            raise self._failed(
                "The process answered with something that is not an answer.", Outcome.LOST
            ) from None

    def _refusal(self, message: Message) -> Exception:
        outcome = message.get("outcome")
        if outcome:
            return self._failed(str(message["message"]), Outcome(outcome), hint=message.get("hint"))
        return errors.from_dict(message["error"])

    def _ended(self) -> ChildFailedError:
        """Why the child is gone, when it was expected to be there."""
        if not self._gone(within_s=2):
            self.kill()
        returncode = self.process.returncode
        return from_returncode(
            returncode if returncode is not None else -9, phase=self.phase, log=self.log_tail()
        )

    def _failed(
        self, message: str, outcome: Outcome, *, hint: str | None = None
    ) -> ChildFailedError:
        return ChildFailedError(
            message, outcome=outcome, phase=self.phase, log=self.log_tail(), hint=hint
        )

    def _watch_memory(self) -> None:
        """Kill a child that grew past its limit; on Linux RLIMIT_DATA stops most before this."""
        private = private_bytes(self.pid)
        if private is not None and private > self.limits.memory_bytes:
            self.kill()
            raise self._failed(
                f"The process took {private >> 20:,} MiB, over its limit of "
                f"{self.limits.memory_bytes >> 20:,} MiB.",
                Outcome.OUT_OF_MEMORY,
                hint="Lower the batch or dimensions, or raise the memory limit in the settings.",
            )

    def _watch_log(self) -> None:
        """Empty a log that outgrew its limit; the child appends, so it goes on at the start."""
        try:
            if self.log_path.stat().st_size > LOG_LIMIT_BYTES:
                os.truncate(self.log_path, 0)
        except OSError:
            # A log that cannot be cut is bounded by the limit on any file of the child.
            return

    def _signal_group(self, number: int) -> None:
        try:
            if sys.platform == "win32":
                self.process.kill()
            else:
                os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _close_request(self) -> None:
        if self._request >= 0:
            os.close(self._request)
        self._request = -1


def close_all(children: Iterable[Child]) -> None:
    """End these children together: politely, then for good. Never raises.

    Told one after another, each could use up its patience while the next one waits.
    """
    ending = list(children)
    for child in ending:
        child.part()
    deadline = time.monotonic() + _CLOSE_TOGETHER_S
    staying = [c for c in ending if not c._gone(within_s=deadline - time.monotonic())]
    for child in staying:
        child._signal_group(signal.SIGTERM)
    for child in staying:
        child.kill()
    for child in ending:
        child.abandon()


def _not_started(error: OSError) -> ChildFailedError:
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return ChildFailedError(
        f"No process could be started: {error.strerror or error}.",
        outcome=Outcome.DISK_FULL if full else Outcome.LOST,
        phase="start",
        hint="Free some space on the disk." if full else "The machine may be out of processes.",
    )


def private_bytes(pid: int) -> int | None:
    """Resident memory of a process that is not backed by a file, or None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return _private_bytes_portable(pid)


def _private_bytes_portable(pid: int) -> int | None:
    if sys.platform == "linux":
        return None
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def run_task(
    task: str,
    request: Message,
    *,
    folder: Path,
    timeout_s: float,
    limits: Limits | None = None,
    python: str | None = None,
    program: str = WORKER_PROGRAM,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Message], None] | None = None,
) -> Message:
    """The answer of a fresh worker to one request; the worker is gone afterwards.

    Raises:
        OrtlabError: as `Child.ask`, on the branch whose exit code suits a command.
    """
    with Child(folder, limits=limits or default_limits(), python=python, program=program) as child:
        try:
            return child.ask(
                task, request, timeout_s=timeout_s, cancel=cancel, on_progress=on_progress
            )
        except ChildFailedError as failure:
            raise as_error(failure) from failure
