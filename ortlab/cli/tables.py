"""Results as tables for a terminal; every number is made text by `domain.units`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ortlab.analysis.rooflines import roofs
from ortlab.catalog.providers import label as provider_label
from ortlab.cli.screen import plain
from ortlab.domain import units
from ortlab.domain.finding import Finding
from ortlab.domain.machine import MachineReport, Noise, Runtime
from ortlab.domain.model import FixReport, ModelInfo, TensorInfo
from ortlab.domain.placement import Placement
from ortlab.domain.roofline import Peaks
from ortlab.domain.study import Comparison, ConfigurationResult, Study, StudySummary
from ortlab.domain.trace import Profile

TOP_OPERATORS = 12
TOP_NODES = 15
TOP_FINDINGS = 6
# Three such names and the figures fit into the columns of a pipe.
NAME_LIMIT = 45


def model(info: ModelInfo) -> RenderableType:
    """The model card."""
    opsets = ", ".join(f"{domain or 'ai.onnx'} {v}" for domain, v in info.opsets.items())
    ops = sorted(info.op_counts.items(), key=lambda pair: (-pair[1], pair[0]))
    subgraphs = f" and {units.count(info.subgraph_node_count)} in subgraphs"
    facts = [
        ("size", units.size(info.total_bytes)),
        ("id", info.id[:12]),
        ("IR version", f"{info.ir_version}; opsets: {opsets}"),
        ("producer", info.producer or units.MISSING),
        ("nodes", units.count(info.node_count) + subgraphs * bool(info.subgraph_node_count)),
        ("parameters", units.big_count(info.parameter_count)),
        ("weights", units.size(info.parameter_bytes)),
        ("operations", "unknown" if info.flops is None else f"{units.big_count(info.flops)}FLOP"),
        ("operators", ", ".join(f"{op} {n}" for op, n in ops[:TOP_OPERATORS])),
        *((f"data {e.location}", "missing" if e.bytes is None else units.size(e.bytes))
          for e in info.external_data),
    ]  # fmt: skip
    tensors = [("input", t) for t in info.inputs] + [("output", t) for t in info.outputs]
    shapes = [(kind, t.name, t.dtype, _shape(t)) for kind, t in tensors]
    return Group(
        _heading(info.name),
        _facts(facts),
        _table(("", "name", "type", "shape"), shapes),
        *_problems(info),
    )


def fixed(report: FixReport) -> RenderableType:
    """What a repair did."""
    equal = {True: "The outputs are the same.", False: "The outputs changed.",
             None: "The original cannot run here, so its outputs were not compared."}  # fmt: skip
    lines = [f"{fix.code}: {fix.message}" for fix in report.applied] or ["Nothing to repair."]
    return _text([*lines, equal[report.outputs_equal], report.note, f"Wrote {report.output}"])


def machine(report: MachineReport) -> RenderableType:
    """Hardware, providers with their reasons, and the noise where it was measured."""
    cpu, container = report.machine.cpu, report.machine.container
    quota = "" if container.cpu_quota is None else f", quota {container.cpu_quota:g}"
    facts = [
        ("processor", cpu.name),
        ("cores", f"{cpu.usable_cores} usable of {cpu.logical_cores} logical{quota}"),
        ("instructions", ", ".join(cpu.isa) or units.MISSING),
        ("memory", units.size(report.machine.memory_bytes)),
        *(("graphics", f"{gpu.name}, {units.size(gpu.memory_bytes)}, driver {gpu.driver}")
          for gpu in report.machine.gpus),
        ("system", f"{report.machine.platform}, Python {report.machine.python}"),
    ]  # fmt: skip
    tables = [part for runtime in report.runtimes for part in _runtime(runtime)]
    return Group(_facts(facts), *tables, *_noise(report.noise), *_peaks(report.peaks))


def study(record: Study, findings: Sequence[Finding] = ()) -> RenderableType:
    """The verdict in a sentence, a row per configuration, what to do about it."""
    rows = [_row(row, record) for row in record.configurations]
    columns = (
        "",
        "configuration",
        "p50",
        "±",
        "p95",
        "vs baseline",
        "inf/s",
        "memory",
        "difference",
    )
    failed = [f"{r.label}: {r.error.message}" for r in record.configurations if r.error]
    return Group(
        _heading(record.title or record.model_name),
        _text([verdict(record)]),
        _table(columns, rows),
        _text([f"! {line}" for line in failed]),
        _text(list(_control(record))),
        *_findings(findings),
    )


def verdict(record: Study) -> str:
    """Which configuration is fastest, by how much and how surely, in one sentence."""
    rows = {row.id: row for row in record.configurations if row.latency}
    if not rows:
        return "No configuration could be measured."
    best, baseline = rows.get(record.best or ""), rows.get(record.baseline)
    if best is None:
        return "Which configuration is fastest cannot be said."
    time = units.time(best.latency.p50_us if best.latency else None)
    if len(rows) == 1:
        return f"{best.label} needs {time}."
    compared = best.vs_baseline
    if baseline is None or compared is None or best.id == baseline.id:
        return _baseline_wins(record, best, time)
    low, high = compared.ci95
    interval = f"95 % interval {low:.2f} to {high:.2f}"
    if compared.verdict == "faster":
        ratio = units.speedup(compared.ratio)
        return f"{best.label} is fastest with {time}: {ratio} the baseline ({interval})."
    known = "does not differ" if compared.verdict == "same" else "cannot be told apart"
    return f"{best.label}, with {time}, {known} from the baseline ({interval})."


def _baseline_wins(record: Study, best: ConfigurationResult, time: str) -> str:
    others = [r.vs_baseline for r in record.configurations if r.id != best.id and r.vs_baseline]
    if others and all(other.verdict == "slower" for other in others):
        return f"{best.label} is fastest with {time}; every other row is slower."
    return f"Nothing is clearly faster than {best.label}, which needs {time}."


def profile(record: Profile, *, top: int | None = None) -> RenderableType:
    """Operators and nodes by time, and how far to believe them."""
    runs = max(1, record.counted_runs)
    operators = [
        (_short(o.op_type), _short(provider_label(o.provider)), units.count(o.calls),
         units.time(o.self_us / runs), units.share(o.share))
        for o in record.operators[:TOP_OPERATORS]
    ]  # fmt: skip
    nodes = [
        (_short(n.name), _short(n.op_type), _short(provider_label(n.provider)),
         units.time(n.p50_us), units.time(n.self_us / runs), _short(n.input_shapes))
        for n in record.nodes[: TOP_NODES if top is None else top]
    ]  # fmt: skip
    reasons = [f"{r.code}: {r.message} {r.cost}".strip() for r in record.trust.reasons]
    return Group(
        _heading(f"{record.source}: {_runs(record)}, "
                 f"{units.count(record.node_event_count)} node events, "
                 f"trust {record.trust.grade}"),
        _text(reasons),
        _table(("operator", "provider", "calls", "per run", "share"), operators),
        _table(("node", "operator", "provider", "p50", "per run", "inputs"), nodes),
    )  # fmt: skip


def _runs(record: Profile) -> str:
    """How many runs the totals cover, and of how many where some are left out."""
    every, counted = len(record.runs), record.counted_runs
    left_out = f"{units.count(counted)} of " if record.steady_only and counted < every else ""
    return f"{left_out}{units.count(every)} run{'s' * (every != 1)}"


def placement(record: Placement) -> RenderableType:
    """Where nodes ran, in what pieces, and what fell back."""
    times = record.time_share_by_provider or {}
    shares = [
        (provider_label(name), units.share(part), units.share(times.get(name)))
        for name, part in record.node_share_by_provider.items()
    ]
    fallback = [
        (f.node, f.op_type, f.severity, units.time(f.cost_us), f.reason) for f in record.fallback
    ]
    asked = ", ".join(provider_label(name) for name in record.requested)
    active = ", ".join(provider_label(name) for name in record.active)
    cuts = (
        f"Partitions: {len(record.partitions)}; tensors between providers: "
        f"{len(record.crossings)}; copies: {record.copy_count}."
    )
    return Group(
        _heading(f"Asked for {asked}; active are {active}"),
        _table(("provider", "nodes", "time"), shares),
        _text([cuts]),
        _table(("fell back", "operator", "", "cost", "reason"), fallback),
    )  # fmt: skip


def history(studies: Sequence[StudySummary]) -> RenderableType:
    """One line per study, newest first."""
    if not studies:
        return _text(["No studies yet. Measure one: ortlab bench MODEL"])
    rows = [
        (s.id, s.created_at[:16].replace("T", " "), s.model_name, s.title, s.status,
         str(s.configuration_count), s.best_label or units.MISSING, units.time(s.best_p50_us))
        for s in studies
    ]  # fmt: skip
    return _table(("id", "when", "model", "title", "status", "rows", "best", "p50"), rows)


def _row(row: ConfigurationResult, record: Study) -> tuple[str, ...]:
    mark = "baseline" if row.id == record.baseline else "best" if row.id == record.best else ""
    latency = row.latency
    if latency is None:
        reason = row.error.kind if row.error else "not measured"
        return (mark, row.label, *[units.MISSING] * 6, reason)
    low, high = latency.ci95_us
    error = row.accuracy.max_rel_error if row.accuracy else None
    return (
        mark, row.label, units.time(latency.p50_us),
        units.share((high - low) / 2 / latency.p50_us), units.time(latency.p95_us),
        _compared(row.vs_baseline), units.rate(row.throughput_per_s),
        units.size(row.peak_memory_bytes), units.error(error),
    )  # fmt: skip


def _compared(comparison: Comparison | None) -> str:
    if comparison is None:
        return units.MISSING
    return f"{units.speedup(comparison.ratio)} {comparison.verdict}"


def _control(record: Study) -> Iterator[str]:
    if record.aa is not None:
        low, high = record.aa.ci95
        yield (
            f"Control pair: {record.aa.ratio:.3f} (95 % interval {low:.3f} to {high:.3f}); "
            f"{record.rounds} rounds. Study {record.id}."
        )


def _findings(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """The first finding of each diagnosis, and how many other rows have it too."""
    rows: dict[str, list[Finding]] = {}
    for finding in findings:
        rows.setdefault(finding.diagnosis, []).append(finding)
    shown = list(rows.values())[:TOP_FINDINGS]
    if shown:
        yield _heading("Findings")
    for first, *more in shown:
        also = f" The same on {len(more)} more." if more else ""
        yield _text([f"{first.severity}: {first.title}. {first.evidence}{also} {first.fix}"])
    if len(rows) > TOP_FINDINGS:
        yield _text([f"{len(rows) - TOP_FINDINGS} more with --json."])


def _problems(info: ModelInfo) -> Iterator[RenderableType]:
    for problem in info.problems:
        fix = f"ortlab fix repairs it: --only {problem.fix}." if problem.fix else ""
        hint = f"  hint: {problem.hint}" if problem.hint else ""
        head = f"{problem.severity} {problem.code}: {problem.message}"
        yield _text([head, hint, fix and f"  {fix}"])


def _runtime(runtime: Runtime) -> Iterator[RenderableType]:
    yield _heading(f"{runtime.package} {runtime.onnxruntime_version}, Python {runtime.python}")
    rows = [
        (provider_label(p.name), "yes" if p.loadable else "no", ", ".join(p.devices),
         p.reason or "", p.hint or "")
        for p in runtime.providers
    ]  # fmt: skip
    yield _table(("provider", "works here", "devices", "reason", "hint"), rows)


def _peaks(peaks: Peaks | None) -> list[RenderableType]:
    if peaks is None:
        return []
    return [_heading("What it reaches at best"), _facts(list(roofs.facts(peaks).items()))]


def _noise(noise: Noise | None) -> Iterator[RenderableType]:
    if noise is not None:
        low, high = noise.aa_ci95
        text = (
            f"Noise: the same setting twice gives {noise.aa_ratio:.3f} (95 % interval {low:.3f} "
            f"to {high:.3f}); load {noise.load_average:.2f}, "
            f"{units.share(noise.steal_share)} stolen by the host."
        )
        yield _text([text])


def _shape(tensor: TensorInfo) -> str:
    if tensor.shape is None:
        return "any rank"
    sizes = " × ".join("?" if size is None else str(size) for size in tensor.shape)
    return sizes or "scalar"


def _short(text: str) -> str:
    """A foreign name on one line; the end of a long one tells more than its middle."""
    line = " ".join(text.split())
    half = (NAME_LIMIT - 1) // 2
    return line if len(line) <= NAME_LIMIT else f"{line[:half]}…{line[-half:]}"


def _heading(text: str) -> RenderableType:
    return Text(plain(text), style="bold")


def _text(lines: Sequence[str]) -> RenderableType:
    return Text("\n".join(plain(line) for line in lines if line), overflow="fold")


def _facts(facts: Sequence[tuple[str, str]]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts:
        table.add_row(Text(plain(name), style="dim"), Text(plain(value), overflow="fold"))
    return table


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    if not rows:
        return Text("", end="")
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table
