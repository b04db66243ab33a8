"""The roofs of a machine in words, for the page, the command and a report."""

from __future__ import annotations

from datetime import datetime

from ortlab.domain import units
from ortlab.domain.roofline import Peaks


def facts(peaks: Peaks) -> dict[str, str]:
    """Every roof by its name, with how far the median of the repeats lay behind."""
    found = {
        f"Arithmetic, {roof.kind}": f"{units.big_count(roof.flop_per_s)}FLOP/s (median "
        f"{units.share(roof.spread_share)} slower; products of {roof.side} × {roof.side})"
        for roof in peaks.compute
    }
    found |= {f"Arithmetic, {kind}": f"none: {why}" for kind, why in peaks.missing.items()}
    for memory in peaks.memory:
        holds = f" of {units.size(memory.capacity_bytes)}" if memory.capacity_bytes else ""
        found[f"{memory.level[:1].upper()}{memory.level[1:]}{holds}"] = (
            f"{units.big_count(memory.bytes_per_s)}B/s by {memory.way} (median "
            f"{units.share(memory.spread_share)} slower; {units.size(memory.working_set_bytes)} "
            "streamed)"
        )
    when = datetime.fromisoformat(peaks.measured_at)
    return found | {
        "A node with nothing to do": f"{units.time(peaks.dispatch_us)}, in a profile "
        f"{units.time(peaks.profiled_node_us)}",
        "Threads": str(peaks.threads),
        "Measured": f"{when:%Y-%m-%d %H:%M} UTC with ONNX Runtime {peaks.onnxruntime_version}, in "
        f"{units.duration(peaks.seconds)}",
    }
