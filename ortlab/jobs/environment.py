"""What this machine can do, asked once per set of installed packages and kept in the store."""

from __future__ import annotations

import time
from functools import lru_cache

import msgspec

from ortlab.domain.ask import Ask
from ortlab.domain.machine import MachineReport, Noise
from ortlab.domain.study import Interference, StopRule, Study
from ortlab.errors import MeasurementError
from ortlab.store.home import Store

# Enough turns for an interval of about a percent on a quiet machine.
NOISE_SECONDS = 4.0
# Packages are looked through at most so often; it costs 20 ms.
FINGERPRINT_S = 10.0


def machine_report(store: Store, *, refresh: bool = False) -> MachineReport:
    """The hardware, and which providers open a session here; from the store when it is known."""
    from ortlab.measure import machine

    if refresh:
        _fingerprint.cache_clear()
    key = f"machine:{_fingerprint(_turn())}"
    found = None if refresh else store.reports.find(key)
    if found is not None:
        report = msgspec.json.decode(found, type=MachineReport)
        # Quotas and affinity may change while packages and drivers stay.
        return msgspec.structs.replace(report, machine=machine.machine())
    with store.folder("machine") as folder:
        report = machine.report(folder)
    store.reports.save(key, msgspec.json.encode(report).decode())
    return report


def _turn() -> int:
    """A number that changes every few seconds: pages ask for the report at every click."""
    return int(time.monotonic() / FINGERPRINT_S)


@lru_cache(maxsize=1)
def _fingerprint(_turn: int) -> str:
    from ortlab.measure import machine

    return machine.fingerprint()


def self_check_ask() -> Ask:
    """The question behind the noise self-check: one setting against itself."""
    return Ask(stop=StopRule(seconds=NOISE_SECONDS), title="Noise self-check")


def noise_of(study: Study) -> Noise:
    """How far a setting was from itself, and what else went on meanwhile.

    Raises:
        MeasurementError: the self-check did not come to an end.
    """
    if study.aa is None:
        reason = study.error.message if study.error else f"it ended as '{study.status}'"
        raise MeasurementError(f"The noise self-check has no answer: {reason}")
    seen = study.interference or Interference()
    return Noise(
        aa_ratio=study.aa.ratio,
        aa_ci95=study.aa.ci95,
        load_average=seen.load_before or 0.0,
        steal_share=seen.steal_share or 0.0,
    )
