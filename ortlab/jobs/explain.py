"""What a stored study means: its profiles, placements, findings, and the fixes that were tried."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ortlab.domain.finding import Finding, Trial
from ortlab.domain.placement import Placement
from ortlab.domain.study import ConfigurationResult, Study, StudySpec
from ortlab.domain.trace import Profile, TraceEvent
from ortlab.errors import MeasurementError, OrtlabError, RequestError
from ortlab.jobs import environment
from ortlab.store.home import Store
from ortlab.store.traces import DigestFiles

if TYPE_CHECKING:
    from ortlab.analysis.profiles.summary import TraceSummary


def row_of(study: Study, configuration_id: str) -> ConfigurationResult:
    """One row of a study.

    Raises:
        RequestError: the study has no such row, or not yet.
    """
    for row in study.configurations:
        if row.id == configuration_id:
            return row
    raise RequestError(
        f"Study '{study.id}' has no result for configuration '{configuration_id}'.",
        hint="It may still be measured, or its id may be from another study.",
    )


def profile_of(
    store: Store, study_id: str, configuration_id: str, *, steady: bool = False
) -> Profile:
    """The profile of one row, beside the p50 it has without the profiler."""
    study = store.studies.get(study_id)
    row = row_of(study, configuration_id)
    files = _files(store, study, row)
    twin_p50_us = row.latency.p50_us if row.latency else None
    return _cached_profile(str(files.summary), row.label, steady, twin_p50_us)


def profile_of_trace(store: Store, trace_id: str, *, steady: bool = False) -> Profile:
    """The profile of a trace that a person opened."""
    path = str(store.traces.files(trace_id).summary)
    return _cached_profile(path, store.traces.name(trace_id), steady, None)


def digest_of(store: Store, source_id: str, configuration_id: str | None) -> DigestFiles:
    """The files of one profile: of a study's row, or of an opened trace."""
    if configuration_id is None:
        return store.traces.files(source_id)
    study = store.studies.get(source_id)
    return _files(store, study, row_of(study, configuration_id))


def summary(files: DigestFiles) -> TraceSummary:
    """What the trace in these files means."""
    return _cached_summary(str(files.summary))


def timeline(
    store: Store, source_id: str, configuration_id: str | None, *, run: int
) -> list[TraceEvent]:
    """The node events of one run: of a study's row, or of an opened trace."""
    from ortlab.analysis.timelines import timeline as timelines

    return timelines.run_events(digest_of(store, source_id, configuration_id).timeline, run=run)


def placement_of(store: Store, study_id: str, configuration_id: str) -> Placement:
    """Where each node of one row was meant to run, and where it ran."""
    study = store.studies.get(study_id)
    row = row_of(study, configuration_id)
    profile = _profile_or_none(store, study, row)
    if profile is None and row.assignment is None:
        raise _no_profile(study, row)
    return _placement(row, profile)


def findings(store: Store, study_id: str) -> list[Finding]:
    """The advice on a study, each with what became of the last try of its fix."""
    from ortlab.analysis.diagnosing import diagnoses

    study = store.studies.get(study_id)
    profiles, placements = {}, {}
    for row in study.configurations:
        profile = _profile_or_none(store, study, row)
        if profile is not None:
            profiles[row.id] = profile
        if profile is not None or row.assignment is not None:
            placements[row.id] = _placement(row, profile)
    found = diagnoses.findings(
        study,
        machine=environment.machine_report(store),
        model=store.models.get(study.model_id),
        profiles=profiles,
        placements=placements,
    )
    trials = store.studies.trials_of(study)
    return [msgspec.structs.replace(f, trial=_trial(f, study, trials)) for f in found]


def fix_spec(store: Store, study_id: str, *, diagnosis: str, configuration_id: str) -> StudySpec:
    """The question whether the fix of one finding helps: as it is, beside as proposed.

    Raises:
        RequestError: there is no such finding, or nothing to try.
    """
    study = store.studies.get(study_id)
    current = row_of(study, configuration_id)
    for finding in findings(store, study_id):
        if finding.diagnosis == diagnosis and finding.configuration_id == configuration_id:
            if finding.proposal is None:
                break
            return msgspec.structs.replace(
                study.spec,
                configurations=(current.configuration, finding.proposal),
                baseline=0,
                profile=False,
                title=f"{study.model_name}: {finding.fix}",
                tried_finding=diagnosis,
            )
    raise RequestError(
        f"There is nothing to try for '{diagnosis}' on '{current.label}'.",
        hint="Only findings with a Try it button propose a configuration.",
    )


def _files(store: Store, study: Study, row: ConfigurationResult) -> DigestFiles:
    if row.trace_artifact is None:
        raise _no_profile(study, row)
    return store.traces.files_of(row.trace_artifact, owner=f"study:{study.id}")


def _no_profile(study: Study, row: ConfigurationResult) -> OrtlabError:
    if row.error is not None:
        return MeasurementError(
            f"'{row.label}' has no profile because it failed: {row.error.message}",
            hint=row.error.hint,
            kind=row.error.kind,
        )
    reasons = [w.message for w in row.warnings if w.code == "no-profile"]
    if study.status in ("queued", "running"):
        reasons.append("The study is still being measured.")
    return RequestError(
        " ".join([f"No profile was recorded for '{row.label}'.", *reasons]),
        hint="Measure again with profiling on; it is a separate, slower run.",
        kind="no_profile",
    )


def _profile_or_none(store: Store, study: Study, row: ConfigurationResult) -> Profile | None:
    """The profile where one can be read: one unreadable trace must not hide other advice."""
    if row.trace_artifact is None:
        return None
    try:
        # Warm-up would inflate what a node costs: its first run is often a hundred times longer.
        return profile_of(store, study.id, row.id, steady=True)
    except OrtlabError:
        return None


# Artifacts never change, so neither does what they mean.
@lru_cache(maxsize=32)
def _cached_summary(path: str) -> TraceSummary:
    from ortlab.analysis.profiles import summary

    return summary.read(Path(path))


# Judging trust goes over every run, and a page asks again with each click.
@lru_cache(maxsize=32)
def _cached_profile(path: str, source: str, steady: bool, twin_p50_us: float | None) -> Profile:
    found = _cached_summary(path)
    return found.profile(source=source, steady=steady, twin_p50_us=twin_p50_us)


def _placement(row: ConfigurationResult, profile: Profile | None) -> Placement:
    from ortlab.analysis import placement

    return placement.placement(
        requested=row.provider_requested,
        active=row.providers_active,
        assignment=row.assignment,
        log=row.placement_log,
        profile=profile,
    )


def _trial(finding: Finding, study: Study, trials: list[Study]) -> Trial | None:
    """What the last try of this finding's fix showed."""
    for trial in reversed(trials):
        asked = trial.spec.configurations
        if (
            finding.proposal is not None
            and trial.spec.tried_finding == finding.diagnosis
            and [c.id for c in asked] == [finding.configuration_id, finding.proposal.id]
            and trial.machine_id in ("", study.machine_id)
        ):
            rows = {row.id: row for row in trial.configurations}
            row = rows.get(finding.proposal.id)
            seen = row.vs_baseline if row else None
            return Trial(
                study_id=trial.id,
                status=trial.status,
                ratio=seen.ratio if seen else None,
                ci95=seen.ci95 if seen else None,
                verdict=seen.verdict if seen else None,
            )
    return None
