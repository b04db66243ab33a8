"""Trying feeds on the CPU before anything is measured, and changing them until they are taken."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ortlab.errors import ModelError
from ortlab.worker.feeding.refusals import Move, Refusal
from ortlab.worker.feeding.values import Plan

MAX_TRIES = 12
# A model that is still running after this is taken to be slow or endless, not refusing.
MAX_RUN_S = 30.0
MAX_SEARCH_S = 90.0
_THREADS = 4


class NotTriedError(Exception):
    """The CPU cannot open this model at all, though another provider might."""


@dataclass
class Trial:
    """One session on the CPU that takes feeds or refuses them."""

    session: Any
    max_run_s: float = MAX_RUN_S
    stopped: bool = False
    """The last run was ended by the time limit."""

    def refusal(self, feeds: dict[str, Any], *, by_value: bool) -> Refusal | None:
        """Why ONNX Runtime refuses these feeds (for want of memory, too); None: it takes them."""
        import onnxruntime as ort

        options = ort.RunOptions()
        options.log_severity_level = 4
        timer = threading.Timer(self.max_run_s, lambda: setattr(options, "terminate", True))
        timer.start()
        try:
            self.outputs = self._run(feeds, options, by_value=by_value)
        except Exception as error:  # ORT raises a dozen unrelated classes
            self.stopped = options.terminate
            return None if self.stopped else Refusal(f"{type(error).__name__}: {error}")
        finally:
            timer.cancel()
        self.stopped = False
        return None

    def _run(self, feeds: dict[str, Any], options: Any, *, by_value: bool) -> list[Any]:
        if by_value:
            names = [output.name for output in self.session.get_outputs()]
            self.session.run_with_ort_values(names, feeds, options)
            return []
        outputs: list[Any] = self.session.run(None, feeds, options)
        return outputs

    def has_nan(self) -> bool:
        """Whether an output of the last run holds NaN."""
        arrays = [o for o in self.outputs if isinstance(o, np.ndarray) and o.dtype.kind == "f"]
        return any(np.isnan(a.min() if a.size else 0) for a in arrays)

    outputs: list[Any] = field(default_factory=list)


def open_trial(path: Path, *, max_run_s: float = MAX_RUN_S) -> Trial:
    """A session for trying feeds: no optimization, no prepacking, no spinning, no arena.

    Raises:
        ModelError: ONNX Runtime refuses the model itself.
        NotTriedError: the CPU provider lacks a kernel that another provider may have.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = min(_THREADS, os.cpu_count() or 1)
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # ORT raises a dozen unrelated classes
        raise _unopened(error) from None
    return Trial(session, max_run_s)


def _unopened(error: Exception) -> Exception:
    reason = Refusal(f"{error}").reason
    if type(error).__name__ in ("NotImplemented", "EPFail") or "EPContext" in reason:
        return NotTriedError(reason)
    if isinstance(error, MemoryError) or "bad_alloc" in reason:
        return MemoryError(reason)
    return ModelError(
        f"ONNX Runtime cannot open the model: {reason}",
        hint="`ortlab inspect` tells what is wrong with it, and which repairs there are.",
    )


@dataclass
class Search:
    """A bounded search for a plan that ONNX Runtime takes."""

    attempt: Callable[[Plan], Refusal | None]
    moves: Callable[[Plan, Refusal], list[Move]]
    tries_left: int = MAX_TRIES
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_SEARCH_S)

    def run(self, plan: Plan) -> tuple[Plan, list[str], Refusal | None]:
        """The plan that was taken with what was changed, or the first plan's refusal."""
        waiting = [(plan, list[str](), "")]
        seen: list[Plan] = []
        first: Refusal | None = None
        while waiting and self.tries_left > 0 and time.monotonic() < self.deadline:
            plan, changes, before = waiting.pop(0)
            if plan in seen:
                continue
            seen.append(plan)
            self.tries_left -= 1
            refusal = self.attempt(plan)
            if refusal is None:
                return plan, changes, None
            first = first or refusal
            reached = [
                (m.plan, [*changes, _sentence(m, refusal)], _kind(refusal))
                for m in self.moves(plan, refusal)
            ]
            # A refusal of another kind means the change got further: go on from there.
            waiting = reached + waiting if _kind(refusal) != before else waiting + reached
        return plan, [], first


def _kind(refusal: Refusal) -> str:
    """The refusal without its numbers: the same trouble at the same node has the same kind."""
    words = re.sub(r"[-\d., {}]+", " ", refusal.text)
    return f"{refusal.node} {words}"


def _sentence(move: Move, refusal: Refusal) -> str:
    return f"After ONNX Runtime refused ({refusal.reason}), ortlab {move.about}."


def unlocked(plan: Plan) -> Plan:
    """The same plan with every dimension free to change: to find a size worth suggesting."""
    return replace(plan, dims=replace(plan.dims, locked=frozenset()))
