"""Every error a user can cause, as a tree with one exit code per branch.

An error is a sentence with the offending value and, where there is one, a hint for
the next step. `kind` is the word that scripts test for; it travels through JSON.
"""

from __future__ import annotations

from typing import ClassVar


class OrtlabError(Exception):
    """What went wrong, in one sentence, with a `hint` for the next step."""

    kind: str = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if kind is not None:
            self.kind = kind


class RequestError(OrtlabError):
    """The request is wrong: unknown option, impossible configuration, bad input arrays."""

    kind = "request"
    exit_code = 2


class ProviderUnavailableError(RequestError):
    """A provider was asked for that cannot be used here, or that the session did not use."""

    kind = "provider_unavailable"


class DimensionError(RequestError):
    """A symbolic dimension has no value, or one the model refuses."""

    kind = "dimension_undecided"


class FeedError(RequestError):
    """Input arrays do not fit the model: wrong name, shape, dtype, or pickles."""

    kind = "bad_feed"


class ModelError(OrtlabError):
    """The model is unusable: not ONNX, unsupported, incomplete or escaping its folder."""

    kind = "model"
    exit_code = 3


class MeasurementError(OrtlabError):
    """The measured process failed: crash, out of memory, timeout, cancelled."""

    kind = "measurement"
    exit_code = 4


class TraceError(OrtlabError):
    """The trace is unusable: empty, not a list, not from ONNX Runtime."""

    kind = "trace"
    exit_code = 5


class StoreError(OrtlabError):
    """The store is unusable: locked, disk full, written by a newer ortlab."""

    kind = "store"
    exit_code = 6


_BRANCHES: dict[str, type[OrtlabError]] = {
    c.__name__: c
    for c in (
        OrtlabError,
        RequestError,
        ProviderUnavailableError,
        DimensionError,
        FeedError,
        ModelError,
        MeasurementError,
        TraceError,
        StoreError,
    )
}


def as_dict(error: OrtlabError) -> dict[str, str | None]:
    """The error as plain data, for pipes and JSON."""
    return {
        "class": type(error).__name__,
        "kind": error.kind,
        "message": error.message,
        "hint": error.hint,
    }


def from_dict(data: dict[str, str | None]) -> OrtlabError:
    """The error that `as_dict` described, of the same branch and kind."""
    branch = _BRANCHES.get(data.get("class") or "", OrtlabError)
    return branch(
        data.get("message") or "unknown error", hint=data.get("hint"), kind=data.get("kind")
    )
