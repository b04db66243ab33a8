"""Everything a measurement needs before its first turn: feeds, variants, and a rehearsal.

The rehearsal opens every configuration once, in a worker of its own. Most crashes, hangs,
refused providers and memory bombs are met here, so that the turns later go undisturbed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ortlab.catalog import providers as provider_rows
from ortlab.catalog import variants
from ortlab.domain.configuration import Configuration
from ortlab.domain.study import StudySpec
from ortlab.errors import OrtlabError
from ortlab.measure.rounds import (
    WARM_UP_MAX_RUNS,
    WARM_UP_MAX_S,
    Bounds,
    Member,
    request_of,
)
from ortlab.sandbox.spawn import Child, run_task

# Trying made inputs runs the model once or a few times; unproven inputs are good enough.
FEED_RUN_S = 30.0

Tell = Callable[[str], None]
Failed = Callable[[Configuration, OrtlabError], None]
T = TypeVar("T")


class Rehearsal(Struct, frozen=True, kw_only=True):
    """What one configuration did alone: the facts that turns do not give."""

    run_us: float
    open_s: float
    active: tuple[str, ...]
    session_init_us: float
    first_run_us: float
    peak_memory_bytes: int | None
    outputs: Path | None
    nan_count: int = 0
    inf_count: int = 0


class Prepared(Struct, frozen=True, kw_only=True):
    """Paths and rehearsals by configuration id, and the errors of those that fell out."""

    models: dict[str, Path]
    feeds: dict[str, Path]
    feed_notes: tuple[str, ...]
    dims: dict[str, dict[str, int]]
    rehearsals: dict[str, Rehearsal]
    failures: dict[str, OrtlabError]


def plugins_of(configuration: Configuration) -> dict[str, str]:
    """The module that brings each plugin provider of a configuration, by provider name."""
    rows = {row.name: row for row in provider_rows.PROVIDERS}
    modules = {n: rows[n].plugin_module for n in configuration.provider_names if n in rows}
    return {name: module for name, module in modules.items() if module}


class Preparation:
    """Makes feeds and variants, and rehearses every configuration of one study."""

    def __init__(
        self,
        spec: StudySpec,
        *,
        model: Path,
        feeds_npz: Path | None,
        folder: Path,
        bounds: Bounds,
        cancel: threading.Event,
        tell: Tell,
        failed: Failed,
    ) -> None:
        """`failed` hears of every configuration that falls out, at once."""
        self._spec = spec
        self._model = model
        self._npz = feeds_npz
        self._folder = folder
        self._bounds = bounds
        self._cancel = cancel
        self._tell = tell
        self._failed = failed
        self._feeds: dict[str, dict[str, Any] | OrtlabError] = {}
        self._variants: dict[str, Path | OrtlabError] = {"fp32": model}

    def run(self) -> Prepared:
        """All of it. A configuration's error is kept; cancelling raises."""
        done = Prepared(models={}, feeds={}, feed_notes=(), dims={}, rehearsals={}, failures={})
        notes: dict[str, None] = {}
        for configuration in self._spec.configurations:
            try:
                made = self._feeds_for(configuration)
                notes |= dict.fromkeys(made["notes"])
                done.feeds[configuration.id] = Path(made["path"])
                done.dims[configuration.id] = made["dims"]
                done.models[configuration.id] = self._variant(configuration.variant)
                done.rehearsals[configuration.id] = self._rehearse(configuration, done)
            except OrtlabError as error:
                if error.kind == "cancelled":
                    raise
                done.failures[configuration.id] = error
                self._failed(configuration, error)
        return msgspec.structs.replace(done, feed_notes=tuple(notes))

    def _feeds_for(self, configuration: Configuration) -> dict[str, Any]:
        """Feeds for these dimensions, made once for all configurations that share them."""
        key = repr(sorted(configuration.dims.items()))
        if key not in self._feeds:
            self._tell("making inputs")
            self._feeds[key] = self._attempt(
                "feeds",
                {
                    "model": str(self._model),
                    "dims": configuration.dims,
                    "assumed": list(self._spec.assumed_dims),
                    "seed": self._spec.seed,
                    "npz": None if self._npz is None else str(self._npz),
                    "max_run_s": min(FEED_RUN_S, self._bounds.run_s),
                },
                folder=self._folder / f"feeds{len(self._feeds)}",
            )
        return _or_raise(self._feeds[key])

    def _variant(self, name: str) -> Path:
        """The file of one variant, made once."""
        if name not in self._variants:
            row = variants.BY_ID[name]
            self._tell(f"making {name}")
            folder = self._folder / f"variant-{name}"
            reply = self._attempt(
                row.worker_task,
                {"model": str(self._model), "out": str(folder / "model.onnx")},
                folder=folder,
            )
            if isinstance(reply, OrtlabError):
                self._variants[name] = reply
            else:
                self._variants[name] = Path(reply["path"])
        return _or_raise(self._variants[name])

    def _attempt(
        self, task: str, request: dict[str, Any], *, folder: Path
    ) -> dict[str, Any] | OrtlabError:
        try:
            return run_task(
                task, request, folder=folder, timeout_s=self._bounds.open_s,
                limits=self._bounds.limits, cancel=self._cancel,
            )  # fmt: skip
        except OrtlabError as error:
            if error.kind == "cancelled":
                raise
            return error

    def _rehearse(self, configuration: Configuration, done: Prepared) -> Rehearsal:
        self._tell(f"trying {configuration.id}")
        member = Member(
            name=configuration.id,
            configuration=configuration,
            model=done.models[configuration.id],
            feeds=done.feeds[configuration.id],
            plugins=plugins_of(configuration),
            run_us=0.0,
        )
        folder = self._folder / f"rehearsal-{configuration.id}"
        with Child(folder, limits=self._bounds.limits) as child:
            return self._performance(child, member, folder)

    def _performance(self, child: Child, member: Member, folder: Path) -> Rehearsal:
        def ask(task: str, request: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
            return child.ask(task, request, timeout_s=timeout_s, cancel=self._cancel)

        ask("warm_imports", {}, timeout_s=60)
        facts = ask("open", request_of(member), timeout_s=self._bounds.open_s)
        facts |= ask("first_run", {}, timeout_s=self._bounds.run_s)
        warm_request = {"max_runs": WARM_UP_MAX_RUNS, "max_s": WARM_UP_MAX_S}
        warm = ask("warm_up", warm_request, timeout_s=self._bounds.run_s + WARM_UP_MAX_S)
        memory = ask("memory", {}, timeout_s=30)
        outputs = folder.parent / f"outputs-{member.name}.npz"
        told = ask("outputs", {"path": str(outputs)}, timeout_s=self._bounds.run_s)
        opening_us = facts["session_init_us"] + facts["first_run_us"] + warm["us"]
        return Rehearsal(
            run_us=warm["run_us"],
            open_s=opening_us / 1e6,
            active=tuple(facts["active"]),
            session_init_us=facts["session_init_us"],
            first_run_us=facts["first_run_us"],
            peak_memory_bytes=memory["peak_memory_bytes"],
            outputs=outputs,
            nan_count=told.get("nan_count", 0),
            inf_count=told.get("inf_count", 0),
        )


def _or_raise(value: T | OrtlabError) -> T:
    if isinstance(value, OrtlabError):
        raise value
    return value
