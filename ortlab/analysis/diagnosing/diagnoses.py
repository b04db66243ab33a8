"""The findings of a study: every diagnosis of the catalog, checked against the evidence."""

from __future__ import annotations

from collections.abc import Iterator

from ortlab.analysis.diagnosing import (
    diagnose_doubts,
    diagnose_graph,
    diagnose_numbers,
    diagnose_providers,
    diagnose_threads,
)
from ortlab.analysis.diagnosing.evidence import Check, Evidence, StudyCheck, Symptom
from ortlab.catalog.diagnoses import BY_ID, DIAGNOSES, SEVERITIES
from ortlab.domain.finding import Finding
from ortlab.domain.machine import MachineReport
from ortlab.domain.model import ModelInfo
from ortlab.domain.placement import Placement
from ortlab.domain.study import Study
from ortlab.domain.trace import Profile

STUDY_CHECKS: dict[str, StudyCheck] = diagnose_doubts.STUDY_CHECKS
"""Checks that look at a study as a whole, by diagnosis."""

CHECKS: dict[str, Check] = {
    **diagnose_providers.CHECKS,
    **diagnose_graph.CHECKS,
    **diagnose_numbers.CHECKS,
    **diagnose_threads.CHECKS,
    **diagnose_doubts.CHECKS,
}
"""Checks that look at one configuration, by diagnosis."""


def findings(
    study: Study,
    *,
    machine: MachineReport,
    model: ModelInfo,
    profiles: dict[str, Profile],
    placements: dict[str, Placement],
) -> list[Finding]:
    """Problems first, then advice by what it may gain, then doubts; none without evidence.

    Args:
        study: the answer, complete or as far as it has come.
        machine: where it was measured.
        model: what was measured.
        profiles: by configuration id, where one was recorded.
        placements: by configuration id, where one is known.
    """
    found = list(_of_study(study))
    for row in study.configurations:
        evidence = Evidence(
            study=study,
            row=row,
            machine=machine,
            model=model,
            profile=profiles.get(row.id),
            placement=placements.get(row.id),
        )
        found += _of_row(evidence)
    order = {diagnosis.id: place for place, diagnosis in enumerate(DIAGNOSES)}
    found.sort(key=lambda pair: (
        SEVERITIES.index(BY_ID[pair[0].diagnosis].severity), -pair[1].gain, order[pair[0].diagnosis]
    ))  # fmt: skip
    return [finding for finding, _ in found]


def _of_study(study: Study) -> Iterator[tuple[Finding, Symptom]]:
    for diagnosis, check in STUDY_CHECKS.items():
        if BY_ID[diagnosis].applies(study.onnxruntime_version):
            symptom = check(study)
            if symptom is not None:
                yield _finding(diagnosis, symptom, configuration_id=None), symptom


def _of_row(evidence: Evidence) -> Iterator[tuple[Finding, Symptom]]:
    for diagnosis, check in CHECKS.items():
        if BY_ID[diagnosis].applies(evidence.study.onnxruntime_version):
            symptom = check(evidence)
            if symptom is not None:
                yield _finding(diagnosis, symptom, configuration_id=evidence.row.id), symptom


def _finding(diagnosis: str, symptom: Symptom, *, configuration_id: str | None) -> Finding:
    row = BY_ID[diagnosis]
    return Finding(
        diagnosis=row.id,
        title=row.title,
        evidence=symptom.evidence,
        fix=row.fix,
        source=row.source,
        upstream=row.upstream,
        severity=row.severity,
        configuration_id=configuration_id,
        view=row.view,
        proposal=symptom.proposal,
        gain_share=symptom.gain or None,
    )
