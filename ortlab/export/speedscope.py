"""A trace for speedscope: a run thread by thread, and all runs by module.

Source: speedscope's file format, version 0.0.1 of its schema: frames are shared, events of a
profile do not go back in time, and what opens last closes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

import ortlab
from ortlab.analysis.naming import modules
from ortlab.analysis.reading.stored_events import NODE
from ortlab.domain.trace import Profile, Signature
from ortlab.export import chrome
from ortlab.export.spans import Cut

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
UNIT = "microseconds"


def document(cut: Cut, profile: Profile) -> bytes:
    """The file: one profile of modules over all counted runs, then one per thread of the cut."""
    frames = _Frames()
    profiles = [by_module(profile, frames), *_threads(cut, frames)]
    return msgspec.json.encode({
        "$schema": SCHEMA,
        "name": f"{profile.source}, {cut.title}",
        "exporter": f"ortlab {ortlab.__version__}",
        "activeProfileIndex": min(1, len(profiles) - 1),
        "shared": {"frames": frames.found},
        "profiles": profiles,
    })  # fmt: skip


class _Frames:
    """What is on a stack, each kept once."""

    def __init__(self) -> None:
        self.found: list[dict[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}

    def number(self, name: str, *, file: str = "") -> int:
        """The number of a frame; `file` is shown beside its name."""
        key = name or "(no name)", file
        if key not in self._numbers:
            self._numbers[key] = len(self.found)
            self.found.append({"name": key[0], **({"file": file} if file else {})})
        return self._numbers[key]


def by_module(profile: Profile, frames: _Frames) -> dict[str, Any]:
    """Own time of every node under the modules that hold it, summed over the counted runs."""
    stacks: dict[tuple[int, ...], int] = defaultdict(int)
    path_of = modules.tree(profile).path_of
    for node in profile.nodes:
        around = [frames.number(part) for part in path_of[node.order]]
        stack = (*around, frames.number(_frame_name(node.name, node.op_type), file=node.provider))
        stacks[stack] += node.self_us
    kind = "launch times" if profile.async_providers else "own time"
    return {
        "type": "sampled",
        "name": f"by module, {kind} of {profile.counted_runs} runs",
        "unit": UNIT,
        "startValue": 0,
        "endValue": sum(stacks.values()),
        "samples": [list(stack) for stack in stacks],
        "weights": list(stacks.values()),
    }


def _threads(cut: Cut, frames: _Frames) -> list[dict[str, Any]]:
    """One profile of events per row of the cut."""
    inside: dict[int, list[int]] = defaultdict(list)
    outermost: dict[int, list[int]] = defaultdict(list)
    for at in sorted(range(len(cut.start)), key=lambda i: (cut.start[i], -cut.duration[i], -i)):
        if cut.parent[at] < 0:
            outermost[cut.row[at]].append(at)
        else:
            inside[cut.parent[at]].append(at)
    numbers = [frames.number(name, file=provider) for name, provider in map(_frame, cut.signatures)]
    return [
        {
            "type": "evented",
            "name": name,
            "unit": UNIT,
            "startValue": 0,
            "endValue": max((cut.start[i] + cut.duration[i] for i in outermost[row]), default=0),
            "events": _events(cut, outermost[row], inside, numbers),
        }
        for row, name in enumerate(chrome.row_names(cut))
    ]


def _events(
    cut: Cut, outermost: Sequence[int], inside: dict[int, list[int]], frames: list[int]
) -> list[dict[str, Any]]:
    """What opens and closes; a stack of its own, because bodies nest as deep as they like."""
    events: list[dict[str, Any]] = []
    waiting = [(at, False) for at in reversed(outermost)]
    while waiting:
        at, closing = waiting.pop()
        frame = frames[cut.signature[at]]
        if closing:
            end = cut.start[at] + cut.duration[at]
            events.append({"type": "C", "frame": frame, "at": end})
            continue
        events.append({"type": "O", "frame": frame, "at": cut.start[at]})
        waiting.append((at, True))
        waiting += [(child, False) for child in reversed(inside.get(at, ()))]
    return events


def _frame(signature: Signature) -> tuple[str, str]:
    if signature.category != NODE:
        return signature.name, signature.provider or ""
    return _frame_name(signature.name, signature.op_type or ""), signature.provider or ""


def _frame_name(name: str, op_type: str) -> str:
    return f"{name or 'unnamed'} [{op_type}]" if op_type else name
