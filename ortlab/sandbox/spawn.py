"""A child process that opens what the user gave, and that can never hurt the one that started it.

Three pipes: stdin is a lifeline on which nothing is ever written (its closing kills the
child, even one that is stuck in native code), one carries requests, one replies. What the
child or ONNX Runtime prints goes to a log file; stdout is never a protocol.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ortlab import errors
from ortlab.sandbox.limits import Limits, default_limits, environment
from ortlab.sandbox.outcome import ChildFailedError, Outcome, as_error, from_returncode

LOG_TAIL_BYTES = 4096
# Between SIGTERM and SIGKILL.
TERM_GRACE_S = 0.5
_POLL_S = 0.1
# The watchdog looks at the child's memory this often; a statm read costs about 20 µs.
_WATCH_S = 0.25
LOG_NAME = "worker.log"

Message = dict[str, Any]


class Child:
    """One worker process. Ask it, pause it, close it; every bad end is a `ChildFailedError`."""

    def __init__(self, folder: Path, *, limits: Limits, python: str | None = None) -> None:
        self.folder = folder
        self.limits = limits
        self.phase = "start"
        self._deadline = time.monotonic() + limits.lifetime_s
        self._paused = False
        self._buffer = b""
        folder.mkdir(parents=True, exist_ok=True)
        self.log_path = folder / LOG_NAME
        request_read, self._request = os.pipe()
        self._reply, reply_write = os.pipe()
        arguments = json.dumps(
            {
                "request_fd": request_read,
                "reply_fd": reply_write,
                "memory_bytes": limits.memory_bytes,
                "lifetime_s": limits.lifetime_s,
                "file_bytes": limits.file_bytes,
            }
        )
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                # -P: the private folder must not become an import path.
                [python or sys.executable, "-P", "-m", "ortlab.worker", arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment(folder),
                pass_fds=(request_read, reply_write),
                start_new_session=True,
            )
        os.close(request_read)
        os.close(reply_write)

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
        next_watch = time.monotonic() + _WATCH_S
        while True:
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
            now = time.monotonic()
            if cancel is not None and cancel.is_set():
                self.kill()
                raise self._failed("The measurement was cancelled.", Outcome.CANCELLED)
            if now >= deadline:
                self.kill()
                raise self._failed(
                    f"No answer within {timeout_s:g} s, in phase '{self.phase}'.",
                    Outcome.TIMEOUT,
                    hint="The model may never end. Raise the time limit if it is only slow.",
                )
            if now >= next_watch:
                self._watch_memory()
                next_watch = now + _WATCH_S

    def pause(self) -> None:
        """Stop the child where it is: an idle worker must not spin beside a measured one."""
        if not self._paused and self.process.poll() is None and hasattr(signal, "SIGSTOP"):
            os.kill(self.pid, signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        """Let a paused child go on."""
        if self._paused and self.process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def close(self) -> None:
        """End the child: politely by closing its pipes, then for good. Never raises."""
        self.resume()
        self._close_pipes(lifeline=False)
        try:
            self.process.wait(timeout=TERM_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close_pipes(lifeline=True)

    def kill(self) -> None:
        """End the child and everything it started, now."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal_group(number)
            # A stopped process takes SIGTERM only when it goes on.
            self._signal_group(signal.SIGCONT)
            try:
                self.process.wait(timeout=TERM_GRACE_S)
                break
            except subprocess.TimeoutExpired:
                continue
        self._signal_group(signal.SIGKILL)
        self._close_pipes(lifeline=True)

    def log_tail(self) -> str:
        """The last 4 kB of what the child and ONNX Runtime printed."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _messages(self) -> list[Message]:
        """Whole messages that have arrived, after waiting a moment for some."""
        ready, _, _ = select.select([self._reply], [], [], _POLL_S)
        if not ready:
            return []
        chunk = os.read(self._reply, 1 << 20)
        if not chunk:
            raise self._ended()
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def _refusal(self, message: Message) -> Exception:
        outcome = message.get("outcome")
        if outcome:
            return self._failed(str(message["message"]), Outcome(outcome), hint=message.get("hint"))
        return errors.from_dict(message["error"])

    def _ended(self) -> ChildFailedError:
        """Why the child is gone, when it was expected to be there."""
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
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

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _close_pipes(self, *, lifeline: bool) -> None:
        for name in ("_request", "_reply") if lifeline else ("_request",):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)
        if lifeline and self.process.stdin is not None:
            self.process.stdin.close()


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
    cancel: threading.Event | None = None,
    on_progress: Callable[[Message], None] | None = None,
) -> Message:
    """The answer of a fresh worker to one request; the worker is gone afterwards.

    Raises:
        OrtlabError: as `Child.ask`, on the branch whose exit code suits a command.
    """
    with Child(folder, limits=limits or default_limits(), python=python) as child:
        try:
            return child.ask(
                task, request, timeout_s=timeout_s, cancel=cancel, on_progress=on_progress
            )
        except ChildFailedError as failure:
            raise as_error(failure) from failure
