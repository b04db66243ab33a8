"""The one door: everything a page, a command or a notebook may ask of ortlab."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ortlab.domain.ask import Ask
from ortlab.domain.files import looks_like_trace, user_path
from ortlab.domain.finding import Finding
from ortlab.domain.machine import MachineReport, Noise
from ortlab.domain.model import FixReport, ModelInfo, SampleModel
from ortlab.domain.placement import Placement
from ortlab.domain.study import Progress, StopRule, StudySpec, StudySummary
from ortlab.errors import MeasurementError, RequestError
from ortlab.recordings import Recordings

if TYPE_CHECKING:
    from ortlab.views import ProfileView, StudyView

FINISHED = ("done", "failed", "cancelled", "lost")
POLL_S = 0.2
# How long an interrupted `wait` stays to see the study end; a cancel takes under 3 s.
CANCEL_WAIT_S = 5.0
# A profile needs figures beside it, not precision.
PROFILE_SECONDS = 2.0
Watcher = Callable[[Progress], None]


class Lab(Recordings):
    """A laboratory with its own home. Safe to share between threads."""

    @classmethod
    def open(cls, home: str | Path | None = None) -> Lab:
        """The laboratory that keeps everything in `home`; without it in `ORTLAB_HOME`."""
        from ortlab import settings

        return cls(settings.load(home))

    @property
    def home(self) -> Path:
        """The folder that holds everything; deleting it is a clean uninstall."""
        return self.settings.home

    # ---- models

    def inspect(self, path: str | Path) -> ModelInfo:
        """The card of the model at `path`; nothing is kept and nothing is run."""
        from ortlab.store import incoming

        return incoming.inspect(self.store, user_path(path))

    def add_model(self, path: str | Path, *, name: str | None = None) -> ModelInfo:
        """The card of a model file, folder or zip on this machine, now known to the store."""
        from ortlab.store import incoming

        return incoming.add(self.store, user_path(path), name=name)

    def add_upload(self, files: dict[str, Path]) -> ModelInfo:
        """The card of an uploaded model: file name → where its bytes lie now."""
        from ortlab.store import incoming

        return incoming.add_upload(self.store, files)

    def samples(self) -> list[SampleModel]:
        """The models that came with ortlab and are there."""
        from ortlab.store import incoming

        return incoming.samples()

    def model(self, model_id: str) -> ModelInfo:
        """The card of a model that was added."""
        return self.store.models.get(model_id)

    def models(self) -> list[ModelInfo]:
        """Every model that was added, the last one first."""
        return self.store.models.all()

    def fix(self, path: str | Path, out: str | Path, *, only: str | None = None) -> FixReport:
        """What was repaired on the way from `path` to `out`."""
        from ortlab.store import incoming

        return incoming.fix(self.store, user_path(path), user_path(out), only=only)

    def fix_stored(self, model_id: str, *, only: str | None = None) -> ModelInfo:
        """The card of the repaired model, added beside the one it was made from."""
        from ortlab.store import incoming

        return incoming.fix_stored(self.store, model_id, only=only)

    # ---- this machine

    def machine(self, *, noise: bool = False, refresh: bool = False) -> MachineReport:
        """What this machine is, which providers work here, and on request how noisy it is."""
        from ortlab.jobs import environment

        report = environment.machine_report(self.store, refresh=refresh)
        if noise:
            report = msgspec.structs.replace(report, noise=self._noise())
        return report

    # ---- from a question to an answer

    def plan(self, model_id: str, ask: Ask) -> StudySpec:
        """The question made exact: every configuration checked, nothing queued yet.

        Raises:
            RequestError: a configuration is impossible here, or a dimension has no value.
        """
        from ortlab.jobs import asking

        return asking.plan(self.store, model_id, ask)

    def estimate_s(self, spec: StudySpec) -> float:
        """About how long measuring this takes, in seconds."""
        from ortlab.measure import plan

        return plan.estimate_s(spec, self.model(spec.model_id))

    def submit(self, spec: StudySpec) -> str:
        """The id of the queued study; a runner is started when none serves this home."""
        from ortlab.jobs import runner

        study_id = self.store.studies.add(spec)
        runner.start_if_free(self.settings)
        return study_id

    def progress(self, study_id: str) -> Progress:
        """Where a study stands. A runner that died is replaced on the way."""
        found = self.store.studies.progress(study_id)
        if found.status not in FINISHED:
            self._keep_going()
        return found

    def wait(self, study_id: str, on_progress: Watcher | None = None) -> StudyView:
        """The study once it has ended; an interrupt from the keyboard cancels it.

        Raises:
            MeasurementError: it was interrupted (kind `cancelled`).
        """
        try:
            return self._wait(study_id, on_progress)
        except KeyboardInterrupt:
            self._cancel_and_see(study_id)
            raise MeasurementError(
                f"Study '{study_id}' was cancelled from the keyboard.",
                hint="What was measured until then is kept in the history.",
                kind="cancelled",
            ) from None

    def cancel(self, study_id: str) -> None:
        """Ask for a study to end; a running one stops within 3 s."""
        from ortlab.jobs import asking

        asking.queue(self.store).cancel(study_id)
        self._keep_going()

    def rerun(self, study_id: str) -> str:
        """The id of a new study with the same question."""
        return self.submit(self.store.studies.spec(study_id))

    def bench(
        self,
        path: str | Path,
        *,
        providers: Sequence[str] = ("cpu",),
        levels: Sequence[str] = ("all",),
        variants: Sequence[str] = ("fp32",),
        threads: Sequence[int] = (0,),
        seconds: float | None = None,
        precision: float | None = None,
        runs: int | None = None,
        warmup: int | None = None,
        on_progress: Watcher | None = None,
        **others: Any,
    ) -> StudyView:
        """The answer for every combination of what was given; returns when it is measured.

        Args:
            seconds, precision, runs: when to stop; the first one that is reached.
            warmup: exactly so many runs first, instead of until steady.
            on_progress: called with a `Progress` while waiting; by default a line of text.
            others: further fields of `ortlab.domain.ask.Ask`, such as `dims` or `profile`.
        """
        from ortlab.jobs import asking

        stop = StopRule(seconds=seconds, precision=precision, runs=runs, warmup=warmup)
        ask = asking.ask(
            providers=providers, levels=levels, variants=variants, threads=threads,
            stop=stop, **others,
        )  # fmt: skip
        return self._measure(self.add_model(path), ask, on_progress)

    # ---- answers

    def study(self, study_id: str) -> StudyView:
        """A study, as far as it has come."""
        from ortlab.views import StudyView

        record = self.store.studies.get(study_id)
        return StudyView(record, samples=lambda row: self.samples_of(study_id, row))

    def history(
        self, text: str | None = None, *, model: str | None = None, limit: int = 200
    ) -> list[StudySummary]:
        """Studies on this disk, newest first; `text` is searched in titles, models and ids."""
        return self.store.studies.history(text=text, model_id=model, limit=limit)

    def rename(self, study_id: str, title: str) -> None:
        """Give a study another title."""
        if not title.strip():
            raise RequestError("A title must not be empty.", hint="Type a few words.")
        self.store.studies.rename(study_id, title.strip())

    def delete(self, study_id: str) -> None:
        """Remove a study with everything that only it needs."""
        self.store.delete_study(study_id)

    def samples_of(self, study_id: str, configuration_id: str) -> list[float]:
        """Every observed latency of one configuration, µs, in the order observed."""
        from ortlab.measure import samples

        digest = self.store.studies.get(study_id).samples_artifact
        if digest is None:
            return []
        return samples.latencies_us(self.store.artifacts.path(digest), configuration_id)

    # ---- explanations

    def profile(
        self, source: str | Path, *, on_progress: Watcher | None = None, **asked: Any
    ) -> ProfileView:
        """The profile of a model, recorded now, or of an ORT trace file (`.json`, `.gz`)."""
        from ortlab.jobs import asking

        path = user_path(source)
        if looks_like_trace(path):
            return self.trace(self.open_trace(path))
        fields = {"stop": StopRule(seconds=PROFILE_SECONDS)} | asked
        ask = asking.ask(**(fields | {"profile": True}))
        view = self._measure(self.add_model(path), ask, on_progress)
        return self.profile_of(view.record.id, view.record.baseline)

    def placement(
        self, path: str | Path, provider: str, *, on_progress: Watcher | None = None, **asked: Any
    ) -> Placement:
        """Where each node of a model runs when `provider` is asked for; measured now."""
        from ortlab.jobs import asking

        fields = {"stop": StopRule(seconds=PROFILE_SECONDS)} | asked
        ask = asking.ask(**(fields | {"providers": (provider,), "profile": True}))
        record = self._measure(self.add_model(path), ask, on_progress).record
        return self.placement_of(record.id, record.baseline)

    def placement_of(self, study_id: str, configuration_id: str) -> Placement:
        """Where each node of one row was meant to run, and where it ran."""
        from ortlab.jobs import explain

        return explain.placement_of(self.store, study_id, configuration_id)

    def findings(self, study_id: str) -> list[Finding]:
        """The advice on a study, each with its evidence and what a try of its fix showed."""
        from ortlab.jobs import explain

        return explain.findings(self.store, study_id)

    def try_fix(self, study_id: str, diagnosis: str, configuration_id: str) -> str:
        """The id of a queued study: the configuration as it is, beside the proposed change."""
        from ortlab.jobs import explain

        return self.submit(explain.fix_spec(
            self.store, study_id, diagnosis=diagnosis, configuration_id=configuration_id
        ))  # fmt: skip

    # ---- to take away

    def export(
        self, study_id: str, configuration_id: str, *, kind: str = "python", folder: str | Path
    ) -> list[Path]:
        """The files written into `folder` that carry one configuration elsewhere.

        Args:
            kind: `python` for a script that runs it, `recipe` for a file that `bench` reads.
        """
        from ortlab.jobs import explain

        record = self.store.studies.get(study_id)
        row = explain.row_of(record, configuration_id)
        if kind == "recipe":
            from ortlab.export import recipe

            return recipe.write(row, folder=user_path(folder))
        if kind == "python":
            from ortlab.export import python

            return python.write(
                row,
                model_name=self.model(record.model_id).name,
                folder=user_path(folder),
                onnxruntime_version=record.onnxruntime_version,
                feeds=self._feeds(record.spec),
            )
        raise RequestError(f"There is no export '{kind}'.", hint="Ask for python or recipe.")

    # ---- inside

    def _feeds(self, spec: StudySpec) -> Path | None:
        return None if spec.input_npz is None else self.store.artifacts.path(spec.input_npz)

    def _noise(self) -> Noise:
        from ortlab.jobs import environment

        found = self.samples()
        if not found:
            raise RequestError("The noise self-check measures a sample model; none is there.")
        model = self.add_model(found[0].path)
        record = self._measure(model, environment.self_check_ask(), None).record
        noise = environment.noise_of(record)
        self.delete(record.id)
        return noise

    def _measure(self, model: ModelInfo, ask: Ask, on_progress: Watcher | None) -> StudyView:
        from ortlab.views import ProgressLine

        study_id = self.submit(self.plan(model.id, ask))
        return self.wait(study_id, on_progress or ProgressLine(sys.stderr))

    def _wait(self, study_id: str, on_progress: Watcher | None) -> StudyView:
        while True:
            progress = self.progress(study_id)
            if on_progress is not None:
                on_progress(progress)
            if progress.status in FINISHED:
                return self.study(study_id)
            time.sleep(POLL_S)

    def _cancel_and_see(self, study_id: str) -> None:
        self.cancel(study_id)
        deadline_s = time.monotonic() + CANCEL_WAIT_S
        while time.monotonic() < deadline_s and self.progress(study_id).status not in FINISHED:
            time.sleep(POLL_S)

    def _keep_going(self) -> None:
        from ortlab.jobs import runner

        runner.start_if_free(self.settings)
