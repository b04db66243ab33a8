"""A symptom with its evidence, and the change that should cure it."""

from __future__ import annotations

from msgspec import Struct

from ortlab.domain.configuration import Configuration


class Trial(Struct, frozen=True, kw_only=True):
    """What became of a fix that was tried, beside the configuration it should improve."""

    study_id: str
    status: str
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    verdict: str | None = None


class Finding(Struct, frozen=True, kw_only=True):
    """One row of advice. `evidence` is a sentence with numbers; `view` says where it shows."""

    diagnosis: str
    title: str
    evidence: str
    fix: str
    source: str
    severity: str = "advice"
    """`problem`, `advice` or `doubt` (about the measurement itself)."""
    configuration_id: str | None = None
    view: str = "results"
    """Where the evidence shows: `results`, `profile:operators`, `profile:placement`, `machine`."""
    proposal: Configuration | None = None
    """The changed configuration that *Try it* queues; None where trying needs the user."""
    trial: Trial | None = None
    upstream: tuple[str, ...] = ()
    """Issues of ONNX Runtime and others where the same was met."""
    gain_share: float | None = None
    """Part of the latency the fix may save, 0 to 1, where the evidence tells."""
