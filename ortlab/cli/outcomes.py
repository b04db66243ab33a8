"""How a study ended, as an error with the exit code that suits it."""

from __future__ import annotations

from ortlab.domain.study import ConfigurationResult, Failure, Study
from ortlab.errors import (
    DimensionError,
    FeedError,
    MeasurementError,
    ModelError,
    OrtlabError,
    ProviderUnavailableError,
    RequestError,
    StoreError,
    TraceError,
)

_BY_KIND: dict[str, type[OrtlabError]] = {
    branch.kind: branch
    for branch in (
        RequestError, ProviderUnavailableError, DimensionError, FeedError, ModelError,
        TraceError, StoreError,
    )
}  # fmt: skip
_BY_KIND["disk_full"] = StoreError
# ONNX Runtime refused the model while opening it; later it is the run that failed.
_OPENING = ("load", "session", "start", "", None)


def as_error(failure: Failure) -> OrtlabError:
    """A recorded failure as the error it was."""
    branch = _BY_KIND.get(failure.kind, MeasurementError)
    if failure.kind == "model_error" and failure.phase in _OPENING:
        branch = ModelError
    return branch(failure.message, hint=failure.hint, kind=failure.kind)


def check_finished(study: Study) -> None:
    """Raise when the study ended without an answer.

    Raises:
        OrtlabError: it was cancelled, lost, or failed as a whole.
    """
    if study.status == "cancelled":
        raise MeasurementError(
            f"Study '{study.id}' was cancelled.",
            hint="What was measured until then is kept in the history.",
            kind="cancelled",
        )
    if study.status == "done" or any(row.error for row in study.configurations):
        return
    if study.error is not None:
        raise as_error(study.error)
    raise MeasurementError(f"Study '{study.id}' ended as '{study.status}'.", kind=study.status)


def failure(study: Study) -> OrtlabError | None:
    """Why not one configuration has figures; None when one has."""
    failed = [row for row in study.configurations if row.latency is None]
    if len(failed) < len(study.configurations):
        return None
    problems = [as_error(row.error) for row in failed if row.error is not None]
    if not problems:
        return as_error(study.error) if study.error else _nothing(study)
    first = problems[0]
    branch = type(first) if len({p.exit_code for p in problems}) == 1 else MeasurementError
    lead = "Every configuration failed; the first: " if len(failed) > 1 else ""
    return branch(lead + first.message, hint=first.hint, kind=first.kind)


def row_failure(row: ConfigurationResult) -> OrtlabError | None:
    """Why one configuration has no figures; None when it has."""
    return as_error(row.error) if row.error else None


def _nothing(study: Study) -> OrtlabError:
    return MeasurementError(
        f"Study '{study.id}' has no figures.", hint="See `ortlab history`.", kind="no_figures"
    )
