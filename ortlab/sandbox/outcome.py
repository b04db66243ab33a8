"""How a child process ended, in one word, and in a sentence."""

from __future__ import annotations

import signal
from enum import StrEnum

from ortlab.errors import MeasurementError, ModelError, OrtlabError, StoreError


class Outcome(StrEnum):
    """Every way a child can end."""

    OK = "ok"
    REJECTED = "rejected"
    MODEL_ERROR = "model_error"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    KILLED_BY_OS = "killed_by_os"
    DISK_FULL = "disk_full"
    CANCELLED = "cancelled"
    LOST = "lost"


class ChildFailedError(MeasurementError):
    """A child ended badly: the `outcome`, the `phase` it was in, the last of its log."""

    def __init__(
        self,
        message: str,
        *,
        outcome: Outcome,
        phase: str = "",
        log: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, kind=outcome.value)
        self.outcome = outcome
        self.phase = phase
        self.log = log


def from_returncode(returncode: int, *, phase: str, log: str) -> ChildFailedError:
    """What an unexpected exit means.

    Args:
        returncode: as `subprocess` gives it, negative for a signal.
        phase: the step the child last announced.
        log: the last of what it printed.
    """
    where = f" while it was in phase '{phase}'" if phase else ""
    # An allocation that fails outside of any `try` of ONNX Runtime's ends in SIGABRT.
    aborted = returncode == -getattr(signal, "SIGABRT", 0)
    if returncode < 0 and not (aborted and _tells_of_memory(log)):
        return _from_signal(-returncode, where, phase, log)
    if _tells_of_memory(log):
        return ChildFailedError(
            f"The process ran out of memory{where}.",
            outcome=Outcome.OUT_OF_MEMORY, phase=phase, log=log,
        )  # fmt: skip
    return ChildFailedError(
        f"The process ended by itself with exit code {returncode}{where}.",
        outcome=Outcome.CRASHED, phase=phase, log=log,
        hint="The last lines it printed are kept with this row.",
    )  # fmt: skip


def _tells_of_memory(log: str) -> bool:
    return "bad_alloc" in log or "MemoryError" in log


def _from_signal(number: int, where: str, phase: str, log: str) -> ChildFailedError:
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    if number == getattr(signal, "SIGKILL", -1):
        return ChildFailedError(
            f"The operating system killed the process (SIGKILL){where}.",
            outcome=Outcome.KILLED_BY_OS, phase=phase, log=log,
            hint="This is most often the out-of-memory killer: lower the batch or dimensions.",
        )  # fmt: skip
    return ChildFailedError(
        f"The process crashed with signal {name}{where}.",
        outcome=Outcome.CRASHED, phase=phase, log=log,
        hint="Nothing else was affected. The model may be hitting a bug of this ONNX Runtime.",
    )  # fmt: skip


def as_error(failure: ChildFailedError) -> OrtlabError:
    """The failure on the branch whose exit code suits a one-shot command."""
    if failure.outcome is Outcome.DISK_FULL:
        return StoreError(failure.message, hint=failure.hint, kind=failure.kind)
    if failure.outcome is Outcome.MODEL_ERROR:
        return ModelError(failure.message, hint=failure.hint, kind=failure.kind)
    return failure
