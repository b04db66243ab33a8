"""Answers as a notebook likes them: a record inside, a table and a figure on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from ortlab.domain import units
from ortlab.domain.compare import (
    Difference,
    GroupChange,
    LoneNode,
    NodeChange,
    OperatorChange,
    ProviderChange,
)
from ortlab.domain.files import user_path
from ortlab.domain.study import ConfigurationResult, Progress, Study
from ortlab.domain.trace import NodeRow, OperatorRow, Profile, TraceEvent
from ortlab.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from ortlab.analysis.naming.modules import ModuleTree
    from ortlab.analysis.profiles.summary import TraceSummary
    from ortlab.domain.memory import MemoryReport
    from ortlab.domain.threads import ThreadReport

# Rows that a notebook shows by itself; `table()` has all of them.
SHOWN_ROWS = 15
_NOT_RECORDED = "The trace has no fields for it; older versions of ONNX Runtime write none."


class StudyView:
    """A study: `record`, `best`, `table()`, `plot()`."""

    def __init__(self, record: Study, *, samples: Callable[[str], list[float]]) -> None:
        self.record = record
        self._samples = samples

    @property
    def id(self) -> str:
        """The study's id."""
        return self.record.id

    @property
    def best(self) -> ConfigurationResult | None:
        """The fastest configuration, or None while there is none."""
        return next((r for r in self.record.configurations if r.id == self.record.best), None)

    @property
    def baseline(self) -> ConfigurationResult | None:
        """What the others are compared with, or None before it is measured."""
        found = (r for r in self.record.configurations if r.id == self.record.baseline)
        return next(found, None)

    def table(self) -> pd.DataFrame:
        """A DataFrame with one row per configuration, in the order they were asked for."""
        import pandas as pd

        rows = [_study_row(self.record, row) for row in self.record.configurations]
        return pd.DataFrame(rows, columns=list(_STUDY_COLUMNS))

    def plot(self, kind: str = "latency") -> go.Figure:
        """A Plotly figure.

        Args:
            kind: `latency`, `distribution` or `samples`.
        """
        from ortlab.charts import labels, latency, samples

        if kind == "latency":
            return latency.bars(self.record)
        draw = {"distribution": samples.distribution, "samples": samples.over_time}.get(kind)
        if draw is None:
            raise _no_figure(kind, ("latency", "distribution", "samples"))
        measured = [r for r in self.record.configurations if r.latency is not None]
        names = labels.short_labels(measured)
        return draw({names[r.id]: self._samples(r.id) for r in measured})

    def __repr__(self) -> str:
        record = self.record
        best = f", best {self.best.label}" if self.best else ""
        return f"<Study {record.id} of {record.model_name}: {record.status}{best}>"

    def _repr_html_(self) -> str:
        record = self.record
        unit = units.time_unit([r.latency.p50_us for r in record.configurations if r.latency])
        rows = [
            (row.label, *_shown_figures(row, unit, is_baseline=row.id == record.baseline))
            for row in record.configurations[:SHOWN_ROWS]
        ]
        caption = f"{record.title or record.model_name} · study {record.id} · {record.status}"
        return _html_table(caption, ("configuration", "p50", "± 95 %", "against baseline"), rows)


class ProfileView:
    """A profile: `record`, `operators`, `nodes`, `table()`, `plot()`, `export()`."""

    def __init__(
        self,
        record: Profile,
        *,
        events: Callable[[int], list[TraceEvent]],
        stored: Callable[[], Path],
        summary: Callable[[], TraceSummary],
        scopes: Callable[[], Mapping[str, tuple[str, ...]] | None] = lambda: None,
    ) -> None:
        self.record = record
        self._events = events
        self._stored = stored
        self._summary = summary
        self._scopes = scopes

    @property
    def operators(self) -> tuple[OperatorRow, ...]:
        """Time by operator and provider, the costliest first."""
        return self.record.operators

    @property
    def nodes(self) -> tuple[NodeRow, ...]:
        """Time by node, the costliest first."""
        return self.record.nodes

    @property
    def modules(self) -> ModuleTree:
        """Time by module of the model: from the exporter's metadata, else from node names."""
        from ortlab.analysis.naming import modules

        return modules.tree(self.record, self._scopes())

    @property
    def memory(self) -> MemoryReport | None:
        """The arena over a run, and the nodes alive at its peak; None before ORT 1.28."""
        return self._summary().memory

    @property
    def threads(self) -> ThreadReport | None:
        """What the thread pool did for each node; None where the trace does not tell."""
        return self._summary().threads

    def table(self, of: str = "operators") -> pd.DataFrame:
        """A DataFrame of `operators`, `shapes`, `nodes`, `providers` or `runs`."""
        import pandas as pd

        if of not in ("operators", "shapes", "nodes", "providers", "runs"):
            raise RequestError(
                f"There is no table of '{of}'.",
                hint="Ask for operators, shapes, nodes, providers or runs.",
            )
        kinds: dict[str, type[msgspec.Struct]] = {"operators": OperatorRow, "nodes": NodeRow}
        rows = [msgspec.structs.asdict(row) for row in getattr(self.record, of)]
        columns = [f.name for f in msgspec.structs.fields(kinds[of])] if of in kinds else None
        return pd.DataFrame(rows, columns=columns)

    def plot(self, kind: str = "operators", *, run: int | None = None) -> go.Figure:
        """A Plotly figure.

        Args:
            kind: `operators`, `flame`, `icicle`, `runs`, `memory`, `threads` or `timeline`.
            run: the run that a timeline shows; by default the median of the steady ones.
        """
        from ortlab.charts import flame, icicle, operators, runs, timeline

        draw: dict[str, Callable[[Profile], go.Figure]] = {
            "operators": operators.bars,
            "flame": flame.of_profile,
            "icicle": icicle.icicle,
            "runs": runs.runs,
        }
        if kind in draw:
            return draw[kind](self.record)
        if kind in ("memory", "threads"):
            return self._report_figure(kind)
        if kind != "timeline":
            raise _no_figure(kind, (*draw, "memory", "threads", "timeline"))
        return timeline.timeline(self._events(self._steady_run() if run is None else run))

    def export(self, kind: str, out: str | Path, *, run: int | str | None = None) -> list[Path]:
        """The files written for another program.

        Args:
            kind: `chrome`, `speedscope`, `model-explorer` or `csv`.
            out: a file; of `csv` and `model-explorer` a folder, or the first file of several.
            run: whose events to show, or `all`; by default a steady run of middling length.
        """
        from ortlab.export import profile_files

        return profile_files.write(kind, self.record, self._stored(), out=user_path(out), run=run)

    def as_download(self, kind: str, *, run: int | str | None = None) -> bytes:
        """What `export` writes, as one packed file for a browser."""
        from ortlab.export import profile_files

        return profile_files.as_one_file(kind, self.record, self._stored(), run=run)

    def compare(self, other: ProfileView) -> ComparisonView:
        """What differs between this profile and another; ratios above 1 say it is faster."""
        from ortlab.analysis.comparing.compare import compare

        return ComparisonView(compare(self.record, other.record))

    def _report_figure(self, kind: str) -> go.Figure:
        from ortlab.charts import memory, theme, threads

        if kind == "threads":
            report = self.threads
            return threads.by_operator(report) if report else theme.empty("Threads", _NOT_RECORDED)
        found = self.memory
        if found is None or not found.allocators:
            return theme.empty("Memory over the run", _NOT_RECORDED)
        return memory.usage(found.allocators[0], duration_us=found.duration_us)

    def _steady_run(self) -> int:
        from ortlab.analysis.reading.slow_run import median_run

        return median_run(self.record.runs).index if self.record.runs else 0

    def __repr__(self) -> str:
        record = self.record
        time = units.time(record.node_time_us)
        return f"<Profile {record.source}: {record.node_event_count:,} node events, {time}>"

    def _repr_html_(self) -> str:
        unit = units.time_unit([float(o.self_us) for o in self.operators])
        rows = [
            (o.op_type, o.provider, units.count(o.calls), units.time(o.self_us, unit=unit),
             units.share(o.share))
            for o in self.operators[:SHOWN_ROWS]
        ]  # fmt: skip
        trust = self.record.trust.grade
        caption = f"{self.record.source} · {len(self.record.runs)} runs · trust {trust}"
        return _html_table(caption, ("operator", "provider", "calls", "self time", "share"), rows)


class ComparisonView:
    """Two recordings held against each other: `record`, `summary`, `table()`, `plot()`."""

    def __init__(self, record: Difference) -> None:
        self.record = record

    @property
    def summary(self) -> str:
        """Which is faster, by how much and how surely, and where it comes from."""
        from ortlab.analysis.comparing import compare_text

        return compare_text.summary(self.record)

    def table(self, of: str = "nodes") -> pd.DataFrame:
        """A DataFrame of `nodes`, `added`, `removed`, `groups`, `operators` or `providers`."""
        import pandas as pd

        kinds: dict[str, type[msgspec.Struct]] = {
            "nodes": NodeChange, "added": LoneNode, "removed": LoneNode, "groups": GroupChange,
            "operators": OperatorChange, "providers": ProviderChange,
        }  # fmt: skip
        if of not in kinds:
            raise RequestError(
                f"There is no table of '{of}'.", hint=f"Ask for one of {', '.join(kinds)}."
            )
        rows = [msgspec.structs.asdict(row) for row in getattr(self.record, of)]
        return pd.DataFrame(rows, columns=[f.name for f in msgspec.structs.fields(kinds[of])])

    def plot(self, kind: str = "flame") -> go.Figure:
        """A Plotly figure: `flame` by module, or `bars` by operator."""
        from ortlab.charts import difference

        if kind == "flame":
            return difference.flame(self.record)
        if kind == "bars":
            return difference.bars(self.record)
        raise _no_figure(kind, ("flame", "bars"))

    def __repr__(self) -> str:
        return f"<Comparison of {self.record.base.label} and {self.record.other.label}>"

    def _repr_html_(self) -> str:
        found = self.record
        unit = units.time_unit([max(o.base_us, o.other_us) for o in found.operators])
        rows = [
            (o.op_type, *(units.time(us, unit=unit) for us in (o.base_us, o.other_us, o.delta_us)))
            for o in found.operators[:SHOWN_ROWS]
        ]
        header = ("operator", found.base.label, found.other.label, "change per run")
        return _html_table(self.summary, header, rows)


class ProgressLine:
    """Writes one line about a running study over and over, where a person can see it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0
        # A notebook's stream is no terminal, but shows a line that is written again.
        self._shown = stream.isatty() or type(stream).__module__.startswith("ipykernel")

    def __call__(self, progress: Progress) -> None:
        """Show where the study stands; the last line stays."""
        if not self._shown:
            return
        text = _progress_text(progress)
        self._stream.write("\r" + text.ljust(self._width))
        self._width = len(text)
        if progress.status not in ("queued", "running"):
            self._stream.write("\n")
        self._stream.flush()


def _progress_text(progress: Progress) -> str:
    if progress.status == "queued":
        return f"queued, {progress.queue_position or 0} before it"
    left = progress.seconds_left
    ahead = f", about {units.duration(left)} left" if left else ""
    return f"{units.share(progress.done_share)} {progress.message or progress.status}{ahead}"[:120]


_STUDY_COLUMNS: dict[str, Callable[[Study, ConfigurationResult], Any]] = {
    "id": lambda _, r: r.id,
    "label": lambda _, r: r.label,
    "providers": lambda _, r: ", ".join(r.providers_active or r.provider_requested),
    "level": lambda _, r: r.level,
    "variant": lambda _, r: r.variant,
    "threads": lambda _, r: r.threads,
    "p50_us": lambda _, r: r.latency and r.latency.p50_us,
    "ci95_low_us": lambda _, r: r.latency and r.latency.ci95_us[0],
    "ci95_high_us": lambda _, r: r.latency and r.latency.ci95_us[1],
    "p95_us": lambda _, r: r.latency and r.latency.p95_us,
    "count": lambda _, r: r.latency and r.latency.count,
    "throughput_per_s": lambda _, r: r.throughput_per_s,
    "ratio": lambda _, r: r.vs_baseline and r.vs_baseline.ratio,
    "ratio_low": lambda _, r: r.vs_baseline and r.vs_baseline.ci95[0],
    "ratio_high": lambda _, r: r.vs_baseline and r.vs_baseline.ci95[1],
    "verdict": lambda s, r: r.vs_baseline.verdict if r.vs_baseline else _role(s, r),
    "session_init_us": lambda _, r: r.session_init_us,
    "first_run_us": lambda _, r: r.first_run_us,
    "peak_memory_bytes": lambda _, r: r.peak_memory_bytes,
    "model_bytes": lambda _, r: r.model_bytes,
    "max_abs_error": lambda _, r: r.accuracy and r.accuracy.max_abs_error,
    "steady": lambda _, r: r.steady,
    "error": lambda _, r: r.error and r.error.message,
}
"""Columns of `StudyView.table()`; None where a row has no such figure."""


def _study_row(study: Study, row: ConfigurationResult) -> dict[str, Any]:
    return {name: value(study, row) for name, value in _STUDY_COLUMNS.items()}


def _role(study: Study, row: ConfigurationResult) -> str | None:
    return "baseline" if row.id == study.baseline else None


def _shown_figures(
    row: ConfigurationResult, unit: tuple[float, str], *, is_baseline: bool
) -> tuple[str, str, str]:
    if row.latency is None:
        return units.MISSING, units.MISSING, row.error.message if row.error else units.MISSING
    low, high = row.latency.ci95_us
    against = "baseline" if is_baseline else units.MISSING
    if row.vs_baseline is not None:
        against = f"{units.speedup(row.vs_baseline.ratio)}, {row.vs_baseline.verdict}"
    half = units.time((high - low) / 2, unit=unit)
    return units.time(row.latency.p50_us, unit=unit), half, against


def _html_table(caption: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A small table; every text in it is foreign, so every text is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _no_figure(kind: str, known: tuple[str, ...]) -> RequestError:
    return RequestError(f"There is no figure '{kind}'.", hint=f"Ask for one of {', '.join(known)}.")
