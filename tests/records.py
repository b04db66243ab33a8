"""Domain records for tests, built by hand: a study of a few rows, a profile, a placement."""

from __future__ import annotations

import msgspec

from ortlab.analysis.diagnosing.diagnoses import findings
from ortlab.domain.configuration import CPU, Configuration, ProviderChoice
from ortlab.domain.finding import Finding
from ortlab.domain.machine import Cpu, Machine, MachineReport
from ortlab.domain.model import ModelInfo
from ortlab.domain.placement import Fallback, PlacedNode, Placement
from ortlab.domain.study import (
    AAControl,
    Comparison,
    ConfigurationResult,
    Failure,
    Latency,
    Study,
    StudySpec,
)
from ortlab.domain.trace import NodeRow, OperatorRow, Profile, Run, Trust

CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"


def configuration(provider: str = CPU, **fields: object) -> Configuration:
    """One thread on the CPU, unless told otherwise."""
    return Configuration(providers=(ProviderChoice(provider),), **fields)


def latency(p50_us: float = 1000.0, **fields: object) -> Latency:
    """A plausible spread around a median."""
    values = {
        "count": 5000, "min_us": p50_us * 0.95, "mean_us": p50_us * 1.01, "p25_us": p50_us * 0.98,
        "p50_us": p50_us, "p90_us": p50_us * 1.05, "p95_us": p50_us * 1.1, "p99_us": p50_us * 1.3,
        "max_us": p50_us * 2, "ci95_us": (p50_us * 0.99, p50_us * 1.01), "cpu_us": p50_us,
    }  # fmt: skip
    return Latency(**{**values, **fields})


def row(
    config: Configuration | None = None,
    *,
    p50_us: float | None = 1000.0,
    ratio: float | None = None,
    half_width: float = 0.01,
    cpu_us: float | None = None,
    **fields: object,
) -> ConfigurationResult:
    """A measured row; `ratio` is baseline ÷ this row. Without `p50_us` it has failed."""
    c = config or configuration()
    compared = None
    if ratio is not None:
        interval = (ratio * (1 - half_width), ratio * (1 + half_width))
        compared = Comparison(ratio=ratio, ci95=interval, verdict="cannot tell", pair_count=12)
    values: dict[str, object] = {
        "id": c.id, "label": f"row {c.level} {c.variant} {c.threads}", "configuration": c,
        "provider_requested": c.provider_names, "level": c.level, "variant": c.variant,
        "threads": c.threads, "dims": c.dims, "vs_baseline": compared,
    }  # fmt: skip
    if p50_us is None:
        values["error"] = Failure(kind="crashed", message="The process crashed.")
    else:
        values |= {
            "latency": latency(p50_us, cpu_us=cpu_us or p50_us), "steady": True,
            "providers_active": c.provider_names, "session_init_us": 5000.0,
            "first_run_us": p50_us * 2, "throughput_per_s": 1e6 / p50_us, "warmup_runs": 50,
            "peak_memory_bytes": 90 << 20, "model_bytes": 1 << 20,
        }  # fmt: skip
    return ConfigurationResult(**{**values, **fields})


def study(*rows: ConfigurationResult, **fields: object) -> Study:
    """A finished study of these rows; the first is the baseline, the control pair is equal."""
    kept = rows or (row(),)
    values: dict[str, object] = {
        "id": "s1", "model_id": "m1", "model_name": "tiny.onnx", "title": "tiny", "status": "done",
        "started_at": "2026-11-20T18:00:00Z", "finished_at": "2026-11-20T18:01:00Z",
        "machine_id": "machine1", "configurations": kept, "baseline": kept[0].id,
        "spec": StudySpec(model_id="m1", model_name="tiny.onnx",
                          configurations=tuple(r.configuration for r in kept)),
        "best": kept[0].id, "rounds": 12, "aa": AAControl(ratio=1.001, ci95=(0.995, 1.007)),
        "onnxruntime_version": "1.31.1", "ortlab_version": "0.1.0",
    }  # fmt: skip
    return Study(**{**values, **fields})


def machine(*, usable_cores: int = 4, isa: tuple[str, ...] = ("avx2",)) -> MachineReport:
    """A computer with so many usable cores."""
    cpu = Cpu(name="a CPU", physical_cores=4, logical_cores=8, usable_cores=usable_cores, isa=isa)
    return MachineReport(
        machine=Machine(id="machine1", cpu=cpu, memory_bytes=16 << 30), runtimes=()
    )


def model(**fields: object) -> ModelInfo:
    """A small model card."""
    values: dict[str, object] = {
        "id": "m1", "name": "tiny.onnx", "file_bytes": 1 << 20, "ir_version": 10,
        "opsets": {"": 17}, "op_counts": {"MatMul": 8, "Relu": 8}, "parameter_bytes": 1 << 20,
    }  # fmt: skip
    return ModelInfo(**{**values, **fields})


def profile(op_types: dict[str, tuple[int, int]], *, grade: str = "A", **fields: object) -> Profile:
    """One profiled run; `op_types` maps a type to (nodes, µs of all of them), in graph order."""
    total = sum(us for _, us in op_types.values())
    operators = tuple(
        OperatorRow(op_type=op, provider=CPU, calls=count, total_us=us, self_us=us,
                    share=us / total, node_count=count)
        for op, (count, us) in op_types.items()
    )  # fmt: skip
    names = [(op, i, us // count) for op, (count, us) in op_types.items() for i in range(count)]
    nodes = tuple(
        NodeRow(name=f"{op}_{i}", op_type=op, provider=CPU, calls=1, total_us=us, self_us=us,
                p50_us=us, node_index=place)
        for place, (op, i, us) in enumerate(names)
    )  # fmt: skip
    run = Run(index=0, start_us=0, duration_us=total, node_count=len(nodes), warmup=False)
    values: dict[str, object] = {
        "source": "trace.json", "runs": (run,), "node_event_count": len(nodes),
        "node_time_us": total, "toplevel_us": total, "operators": operators, "nodes": nodes,
        "trust": Trust(grade),
    }  # fmt: skip
    return Profile(**{**values, **fields})


def fallen_back(*, provider: str = CUDA, costly: int = 1, harmless: int = 0) -> Placement:
    """A placement of ten nodes, some of which ran on the CPU at 100 µs each."""
    kinds = ["costly"] * costly + ["harmless"] * harmless
    fallback = tuple(
        Fallback(node=f"n{i}", op_type="NonZero", reason="no kernel", cost_us=100.0, severity=kind)
        for i, kind in enumerate(kinds)
    )
    nodes = tuple(
        PlacedNode(name=f"n{i}", op_type="NonZero", assigned=CPU if i < len(kinds) else provider)
        for i in range(10)
    )
    return Placement(requested=(provider,), active=(provider, CPU), nodes=nodes, fallback=fallback)


def changed(record: object, **fields: object) -> object:
    """The record with some fields replaced."""
    return msgspec.structs.replace(record, **fields)


def found(the_study: Study, *, of: str | None = None, **context: object) -> dict[str, Finding]:
    """Findings by diagnosis; `profile` and `placement` belong to the row `of`, or the first."""
    one = of or the_study.configurations[0].id
    a_profile, a_placement = context.get("profile"), context.get("placement")
    result = findings(
        the_study,
        machine=context.get("machine") or machine(),
        model=context.get("model") or model(),
        profiles={one: a_profile} if a_profile else {},
        placements={one: a_placement} if a_placement else {},
    )
    return {finding.diagnosis: finding for finding in result}
