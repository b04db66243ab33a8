"""Which configurations are held in memory together, and how long each group takes."""

from __future__ import annotations

import math

from ortlab.domain.configuration import Configuration
from ortlab.measure.precision import Schedule
from ortlab.measure.prepare import Prepared, plugins_of
from ortlab.measure.rounds import Member, Seen
from ortlab.sandbox.limits import available_memory_bytes

# Workers alive together may fill this part of the memory that is free.
MEMORY_SHARE_TOGETHER = 0.6
MAX_TOGETHER = 24
# Starting an interpreter with numpy and ONNX Runtime, two at a time on two cores.
START_S = 0.2


def member_of(configuration: Configuration, prepared: Prepared) -> Member:
    """The configuration with the files it runs on."""
    return Member(
        name=configuration.id,
        configuration=configuration,
        model=prepared.models[configuration.id],
        feeds=prepared.feeds[configuration.id],
        plugins=plugins_of(configuration),
        run_us=prepared.rehearsals[configuration.id].run_us,
    )


def groups(
    working: list[Configuration], baseline: Configuration, prepared: Prepared
) -> list[list[Configuration]]:
    """Configurations that fit in memory together; the baseline leads every group."""
    peaks = [r.peak_memory_bytes or 0 for r in prepared.rehearsals.values()]
    room = available_memory_bytes() * MEMORY_SHARE_TOGETHER
    together = max(3, min(MAX_TOGETHER, int(room / max(max(peaks), 1))))
    others = [c for c in working if c.id != baseline.id]
    # The first group also holds the baseline's twin.
    first, rest = others[: together - 2], others[together - 2 :]
    chunks = [rest[i : i + together - 1] for i in range(0, len(rest), together - 1)]
    return [[baseline, *chunk] for chunk in [first, *chunks]]


def expected_s(members: list[Member], plan: Schedule, prepared: Prepared) -> float:
    """How long one group will take, openings and starts included."""
    known = [prepared.rehearsals.get(m.name) for m in members]
    opening = sum(r.open_s for r in known if r is not None) * plan.sessions_each
    measuring = plan.set_seconds
    if not math.isfinite(measuring):
        run_s = sum(m.run_us for m in members) / 1e6
        measuring = run_s * (plan.runs_each or 1) / plan.process_sets * 1.5
    sets = plan.process_sets * (0.5 if plan.precision else 1.0)
    return sets * (opening + measuring + START_S * len(members))


def joined_seen(one: Seen, two: Seen) -> Seen:
    """Both observations as one."""
    return Seen(
        blocks=one.blocks + two.blocks,
        opened=one.opened + two.opened,
        failures=one.failures | two.failures,
        rounds=one.rounds + two.rounds,
        measuring_s=one.measuring_s + two.measuring_s,
        process_sets=one.process_sets + two.process_sets,
    )
