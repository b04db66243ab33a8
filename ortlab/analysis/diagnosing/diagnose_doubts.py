"""Checks of the measurement itself: what limits the trust in a study's numbers."""

from __future__ import annotations

from ortlab.analysis.diagnosing.evidence import (
    Check,
    Evidence,
    StudyCheck,
    Symptom,
    latency,
    measured,
)
from ortlab.domain import units
from ortlab.domain.study import ConfigurationResult, Interference, Study

# A call costs 4 to 8 µs; below this it is more than a tenth of the sample.
SHORT_RUN_US = 50
# Half-width of a comparison's interval. A difference of a few percent is worth having.
WIDE_SHARE = 0.05
# Below these, interference vanishes in the spread between processes (about 1 %).
STEAL_SHARE = 0.02
OTHER_CPU_SHARE = 0.10
# Grades from this letter on limit what a profile can prove.
DOUBTFUL_GRADE = "C"


def _aa_control(study: Study) -> Symptom | None:
    aa = study.aa
    if aa is None or aa.ci95[0] <= 1 <= aa.ci95[1]:
        return None
    return Symptom(
        evidence=f"The control pair's ratio is {aa.ratio:.3f} with a 95 % interval of "
        f"{aa.ci95[0]:.3f} to {aa.ci95[1]:.3f}, which leaves out 1."
    )


def _noisy_machine(study: Study) -> Symptom | None:
    facts = _interference(study.interference) if study.interference else []
    by_cpu = [r for r in study.configurations if r.vs_baseline and r.vs_baseline.basis == "cpu"]
    if not facts and not by_cpu:
        return None
    if by_cpu:
        plural = "s" * (len(by_cpu) != 1)
        facts.append(f"{len(by_cpu)} comparison{plural} had to use CPU time instead of wall time")
    text = "; ".join(facts)
    return Symptom(evidence=text[0].upper() + text[1:] + ".")


def _interference(seen: Interference) -> list[str]:
    facts = []
    if (seen.steal_share or 0) >= STEAL_SHARE:
        facts.append(f"the host gave {units.share(seen.steal_share)} of the CPU time to others")
    if (seen.other_cpu_share or 0) >= OTHER_CPU_SHARE:
        busiest = f", most of it '{seen.top_other}'" if seen.top_other else ""
        facts.append(
            f"other processes used {units.share(seen.other_cpu_share)} of the cores{busiest}"
        )
    if seen.throttled_us:
        facts.append(
            f"the container's quota stopped the process for {units.time(seen.throttled_us)}"
        )
    return facts


def _short_run(study: Study) -> Symptom | None:
    short = [row for row in measured(study) if latency(row).p50_us < SHORT_RUN_US]
    if not short:
        return None
    fastest = min(latency(row).p50_us for row in short)
    return Symptom(
        evidence=f"The median is under {SHORT_RUN_US} µs in {_of_rows(short, study)}; the shortest "
        f"is {units.time(fastest)}."
    )


def _wide_interval(study: Study) -> Symptom | None:
    wide = [(row, _half_width(row)) for row in measured(study)]
    wide = [(row, half) for row, half in wide if half > WIDE_SHARE]
    if not wide:
        return None
    row, half = max(wide, key=lambda pair: pair[1])
    known = f"is known to ±{units.share(half)} only" if half < 1 else "is not known at all"
    return Symptom(
        evidence=f"The comparison of '{row.label}' {known}; "
        f"{_of_rows([r for r, _ in wide], study)} exceed ±{units.share(WIDE_SHARE)}."
    )


def _half_width(row: ConfigurationResult) -> float:
    comparison = row.vs_baseline
    if comparison is None:
        return 0.0
    low, high = comparison.ci95
    return (high - low) / 2 / comparison.ratio


def _not_steady(study: Study) -> Symptom | None:
    moving = [row for row in measured(study) if not row.steady]
    if not moving:
        return None
    runs = max(row.warmup_runs or 0 for row in moving)
    after = f" after up to {units.count(runs)} warm-up runs" if runs else ""
    return Symptom(evidence=f"Not steady{after}: {_of_rows(moving, study)}.")


def _drifting(study: Study) -> Symptom | None:
    notices = [n for row in measured(study) for n in row.warnings if n.code == "drifting"]
    if not notices:
        return None
    others = len(notices) - 1
    more = f" The same in {others} other row{'s' * (others != 1)}." if others else ""
    return Symptom(evidence=notices[0].message + more)


def _few_sessions(study: Study) -> Symptom | None:
    few = [row for row in measured(study) for n in row.warnings if n.code == "few-sessions"]
    if not few:
        return None
    least = min(row.session_count for row in few)
    return Symptom(evidence=f"Few sessions in {_of_rows(few, study)}; the fewest are {least}.")


def _not_finite(evidence: Evidence) -> Symptom | None:
    notice = next((n for n in evidence.row.warnings if n.code == "not-finite"), None)
    return Symptom(evidence=f"'{evidence.row.label}': {notice.message}") if notice else None


def _few_samples(study: Study) -> Symptom | None:
    few = [row for row in measured(study) if latency(row).p99_us is None]
    if not few:
        return None
    least = min(latency(row).count for row in few)
    return Symptom(
        evidence=f"No p99 in {_of_rows(few, study)}; the fewest runs are {units.count(least)}."
    )


def _profile_misleads(evidence: Evidence) -> Symptom | None:
    profile = evidence.profile
    if profile is None or profile.trust.grade < DOUBTFUL_GRADE:
        return None
    reasons = " ".join(reason.message for reason in profile.trust.reasons[:2])
    return Symptom(evidence=f"The profile's grade is {profile.trust.grade}. {reasons}".strip())


def _of_rows(rows: list[ConfigurationResult], study: Study) -> str:
    return f"{len(rows)} of {len(study.configurations)} configurations"


STUDY_CHECKS: dict[str, StudyCheck] = {
    "aa-control": _aa_control,
    "noisy-machine": _noisy_machine,
    "short-run": _short_run,
    "wide-interval": _wide_interval,
    "not-steady": _not_steady,
    "drifting": _drifting,
    "few-samples": _few_samples,
    "few-sessions": _few_sessions,
}
CHECKS: dict[str, Check] = {
    "profile-misleads": _profile_misleads,
    "not-finite": _not_finite,
}
