"""One study from its question to its answer: prepare, rehearse, measure, check, profile."""

from __future__ import annotations

import datetime
import math
import threading
import time
from pathlib import Path

import msgspec

import ortlab
from ortlab.domain.accuracy import Accuracy
from ortlab.domain.configuration import Configuration
from ortlab.domain.machine import MachineReport
from ortlab.domain.study import (
    AAControl,
    Comparison,
    ConfigurationResult,
    Interference,
    Study,
    StudySpec,
)
from ortlab.errors import OrtlabError, StoreError
from ortlab.measure import rows
from ortlab.measure import samples as sample_files
from ortlab.measure.checks import accuracies, profiled
from ortlab.measure.groups import expected_s, groups, joined_seen, member_of
from ortlab.measure.interference import interference, snapshot
from ortlab.measure.precision import Schedule, precise_enough, schedule
from ortlab.measure.prepare import Preparation, Prepared
from ortlab.measure.rounds import Bounds, Coordinator, Member, Seen
from ortlab.measure.samples import AA_TWIN, Session, by_member
from ortlab.measure.sink import Sink
from ortlab.measure.telling import Telling
from ortlab.measure.verdict import compare
from ortlab.sandbox.limits import Limits, default_limits

# Start, open and profile one configuration.
PROFILE_S = 3.0


def run(
    spec: StudySpec,
    *,
    study_id: str,
    model: Path,
    feeds_npz: Path | None,
    folder: Path,
    sink: Sink,
    cancel: threading.Event,
    machine: MachineReport,
) -> Study:
    """The whole study, measured on this machine.

    Args:
        spec: the question; every configuration was checked before.
        study_id: its name, for progress.
        model: a private copy of the model file, external data beside it.
        feeds_npz: the user's own inputs, or None to make them.
        folder: private and empty; everything the workers write goes below it.
        sink: gets progress, rows and files as they come.
        cancel: set from another thread to stop within two seconds.
        machine: what this machine is and can do.

    Raises:
        ChildFailedError: the study was cancelled.
    """
    return _Study(
        spec, study_id=study_id, model=model, folder=folder, sink=sink, cancel=cancel,
        machine=machine,
    ).run(feeds_npz)  # fmt: skip


class _Study:
    """The state of one running study."""

    def __init__(
        self,
        spec: StudySpec,
        *,
        study_id: str,
        model: Path,
        folder: Path,
        sink: Sink,
        cancel: threading.Event,
        machine: MachineReport,
    ) -> None:
        self.spec, self.id, self.model, self.folder = spec, study_id, model, folder
        self.sink, self.cancel, self.machine = sink, cancel, machine
        self.started_at = _now()
        self.telling = Telling(spec, study_id=study_id, sink=sink)
        self.results: dict[str, ConfigurationResult] = {}
        self.accuracies: dict[str, Accuracy] = {}
        self.bounds = Bounds(
            limits=_limits(spec),
            open_s=spec.open_timeout_s,
            run_s=spec.run_timeout_s,
            warmup_runs=spec.stop.warmup,
        )

    def run(self, feeds_npz: Path | None) -> Study:
        prepared = Preparation(
            self.spec, model=self.model, feeds_npz=feeds_npz, folder=self.folder,
            bounds=self.bounds, cancel=self.cancel, tell=self.telling.preparing, failed=self.fail,
        ).run()  # fmt: skip
        baseline = self.baseline(prepared)
        if baseline is None:
            return self.finished(prepared, None, None, None)
        self.telling.preparing("comparing outputs with the baseline's")
        self.accuracies = accuracies(
            prepared, baseline, folder=self.folder, bounds=self.bounds, cancel=self.cancel
        )
        before = snapshot()
        seen = self.measure(prepared, baseline)
        disturbed = interference(before, snapshot())
        if self.spec.profile:
            self.profile(prepared)
        return self.finished(prepared, baseline, seen, disturbed)

    def baseline(self, prepared: Prepared) -> Configuration | None:
        """The baseline asked for, or the first configuration that works at all."""
        asked = self.spec.configurations[self.spec.baseline]
        order = [asked, *self.spec.configurations]
        return next((c for c in order if c.id in prepared.rehearsals), None)

    def measure(self, prepared: Prepared, baseline: Configuration) -> Seen:
        """All groups of configurations that fit in memory together, each with the baseline."""
        working = [c for c in self.spec.configurations if c.id in prepared.rehearsals]
        chosen = groups(working, baseline, prepared)
        members = [[member_of(c, prepared) for c in group] for group in chosen]
        members[0].append(msgspec.structs.replace(member_of(baseline, prepared), name=AA_TWIN))
        total = sum(len(group) for group in members)
        plans = [(group, self.schedule(group, prepared, total)) for group in members]
        expected = [expected_s(group, plan, prepared) for group, plan in plans]
        profiling_s = PROFILE_S * len(working) * self.spec.profile
        whole = Seen(blocks=[], opened=[], failures={})
        for index, (group, plan) in enumerate(plans):
            self.telling.expect(sum(expected[index:]) + profiling_s)
            later_s = sum(expected[index + 1 :]) + profiling_s
            self.group(group, plan, index, prepared=prepared, baseline=baseline,
                       whole=whole, later_s=later_s)  # fmt: skip
        return whole

    def group(
        self, members: list[Member], plan: Schedule, index: int, *,
        prepared: Prepared, baseline: Configuration, whole: Seen, later_s: float,
    ) -> None:  # fmt: skip
        """Measure one group and add what was seen to the whole."""
        names = {m.name for m in members}
        started, sets_done = time.monotonic(), 0

        def watch(seen: Seen, doing: str) -> None:
            nonlocal sets_done
            if seen.process_sets > sets_done:
                sets_done = seen.process_sets
                self.settle(joined_seen(whole, seen), prepared, baseline)
                per_set = (time.monotonic() - started) / sets_done
                self.telling.expect(per_set * (plan.process_sets - sets_done) + later_s)
            self.telling.measuring(doing, names)

        def enough(seen: Seen) -> bool:
            if plan.precision is None:
                return False
            # Nothing that is still to come could be compared with anything.
            if baseline.id in seen.failures:
                return True
            found = by_member(seen.blocks)
            aa = rows.control(found, baseline) if AA_TWIN not in seen.failures else None
            compared = [r.vs_baseline for i, r in self.results.items() if i in names]
            intervals = [c.ci95 for c in [*compared, aa] if c is not None]
            return precise_enough(intervals, precision=plan.precision)

        coordinator = Coordinator(
            members, folder=self.folder, bounds=self.bounds, seed=self.spec.seed + index,
            cancel=self.cancel, watch=watch, offset=index * 1000,
        )  # fmt: skip
        joined = joined_seen(whole, coordinator.run(plan, enough=enough))
        for field in msgspec.structs.fields(joined):
            setattr(whole, field.name, getattr(joined, field.name))
        self.settle(whole, prepared, baseline)

    def schedule(self, members: list[Member], prepared: Prepared, total: int) -> Schedule:
        """The design for one group, with its part of the time."""
        stop = self.spec.stop
        if stop.seconds is not None:
            stop = msgspec.structs.replace(stop, seconds=stop.seconds * len(members) / total)
        baseline_id = members[0].name
        opening = [
            prepared.rehearsals[baseline_id if m.name == AA_TWIN else m.name].open_s
            for m in members
        ]
        return schedule(stop, run_us=[m.run_us for m in members], open_s=opening)

    def settle(self, seen: Seen, prepared: Prepared, baseline: Configuration) -> None:
        """Turn what was seen so far into rows and hand them on."""
        found = by_member(seen.blocks)
        aa = rows.control(found, baseline)
        floor = 0.0 if aa is None else abs(math.log(aa.ratio))
        for configuration in self.spec.configurations:
            if configuration.id not in prepared.rehearsals:
                continue
            if configuration.id in seen.failures:
                self.fail(configuration, seen.failures[configuration.id])
            elif configuration.id in found:
                comparison = self.comparison(found, baseline, configuration, floor=floor)
                row = rows.measured_row(
                    configuration,
                    among=self.spec.configurations,
                    mine=found[configuration.id],
                    opened=[o for o in seen.opened if o.member == configuration.id],
                    prepared=prepared,
                    comparison=comparison,
                    accuracy=self.accuracies.get(configuration.id),
                    model_bytes=_bytes_of(prepared.models[configuration.id]),
                )
                self.results[configuration.id] = row
                if row.latency is not None:
                    self.telling.p50_us[configuration.id] = row.latency.p50_us
                self.sink.row(row)

    def comparison(
        self,
        found: dict[str, list[Session]],
        baseline: Configuration,
        candidate: Configuration,
        *,
        floor: float,
    ) -> Comparison | None:
        """The candidate against the baseline; None for the baseline itself."""
        if candidate.id == baseline.id:
            return None
        return compare(
            found.get(baseline.id, []),
            found[candidate.id],
            cpu_time_allowed=rows.cpu_time_allowed(baseline, candidate),
            floor=floor,
        )

    def profile(self, prepared: Prepared) -> None:
        """A separate, profiled worker for every configuration that has figures."""
        having = {i: r for i, r in self.results.items() if r.error is None and r.latency}
        for done, (identifier, row) in enumerate(having.items()):
            self.telling.states[identifier] = "profiling"
            self.telling.expect(PROFILE_S * (len(having) - done))
            self.telling.tell(f"profiling {identifier}", force=True)
            updated = profiled(
                row, prepared, folder=self.folder, bounds=self.bounds, sink=self.sink,
                cancel=self.cancel,
            )  # fmt: skip
            self.results[identifier] = updated
            self.sink.row(updated)
            self.telling.states[identifier] = "done"

    def finished(
        self,
        prepared: Prepared,
        baseline: Configuration | None,
        seen: Seen | None,
        disturbed: Interference | None,
    ) -> Study:
        """The answer."""
        in_order = tuple(
            self.results.get(c.id) or rows.empty_row(c, self.spec.configurations)
            for c in self.spec.configurations
        )
        aa, notices = None, []
        if seen is not None and baseline is not None:
            aa = rows.control(by_member(seen.blocks), baseline)
            asked = self.spec.configurations[self.spec.baseline]
            notices = rows.study_notices(asked, baseline, seen.failures, self.spec.configurations)
        best = _best(in_order)
        failures = [r.error for r in in_order if r.error is not None]
        return Study(
            id=self.id,
            model_id=self.spec.model_id,
            model_name=self.spec.model_name,
            title=self.spec.title,
            status="done" if best else "failed",
            started_at=self.started_at,
            finished_at=_now(),
            machine_id=self.machine.machine.id,
            spec=self.spec,
            configurations=in_order,
            baseline=(baseline or self.spec.configurations[self.spec.baseline]).id,
            best=best,
            rounds=seen.rounds if seen else 0,
            aa=_or_none(aa),
            interference=disturbed,
            measuring_s=seen.measuring_s if seen else None,
            wall_s=self.telling.elapsed_s,
            error=failures[0] if failures and not best else None,
            samples_artifact=self.keep_samples(seen),
            ortlab_version=ortlab.__version__,
            onnxruntime_version=_runtime_version(self.machine),
            feeds=prepared.feed_notes,
            notices=tuple(notices),
        )

    def keep_samples(self, seen: Seen | None) -> str | None:
        """The raw blocks as an artifact."""
        if seen is None or not seen.blocks:
            return None
        path = self.folder / "samples.parquet"
        try:
            sample_files.write(seen.blocks, path)
        except OSError as error:
            raise StoreError(
                f"The raw samples cannot be kept: {error.strerror or error}.",
                hint="Free some space on the disk that holds ortlab's folder.",
            ) from error
        return self.sink.artifact(path)

    def fail(self, configuration: Configuration, error: OrtlabError) -> None:
        """One configuration's error becomes its row."""
        self.telling.states[configuration.id] = "failed"
        self.results[configuration.id] = rows.failed_row(
            configuration, error, self.spec.configurations
        )
        self.sink.row(self.results[configuration.id])


def _limits(spec: StudySpec) -> Limits:
    limits = default_limits(lifetime_s=24 * 3600)
    if spec.memory_limit_bytes is not None:
        limits = msgspec.structs.replace(limits, memory_bytes=spec.memory_limit_bytes)
    return limits


def _best(found: tuple[ConfigurationResult, ...]) -> str | None:
    """The row with the highest ratio to the baseline; the baseline itself counts as 1."""
    usable = [r for r in found if r.latency is not None and r.error is None]
    if not usable:
        return None
    return max(usable, key=lambda r: r.vs_baseline.ratio if r.vs_baseline else 1.0).id


def _bytes_of(model: Path) -> int | None:
    """Bytes of the model file and of what lies beside it as its external data."""
    try:
        beside = [p for p in model.parent.rglob("*") if p.is_file() and p.suffix != ".log"]
        return sum(p.stat().st_size for p in beside)
    except OSError:
        return None


def _runtime_version(machine: MachineReport) -> str | None:
    return machine.runtimes[0].onnxruntime_version if machine.runtimes else None


def _or_none(aa: AAControl | None) -> AAControl | None:
    """The control, unless a single pair leaves its interval without bounds."""
    return aa if aa is not None and aa.ci95[0] > 0 else None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
