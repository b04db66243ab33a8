"""Two sources, each a study, one row of a study, or a trace, and what differs between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ortlab.analysis.comparing import compare_studies
from ortlab.analysis.comparing.compare import compare as compare_profiles
from ortlab.analysis.comparing.compare_doubts import machine_doubts
from ortlab.analysis.diagnosing import pairs
from ortlab.domain.compare import Difference, Origin, RunChange, Side
from ortlab.domain.files import is_file, user_path
from ortlab.domain.study import ConfigurationResult, Notice, Study
from ortlab.domain.trace import Profile
from ortlab.errors import RequestError
from ortlab.jobs import explain
from ortlab.jobs.scopes import scopes_of
from ortlab.store.home import Store
from ortlab.store.traces import DigestFiles

_ROW_MARK = "/"
_MODEL_ENDINGS = (".onnx", ".ort", ".zip")
_TRACE_ENDINGS = (".json", ".jsonl", ".gz")


class End(Struct, frozen=True):
    """One side of a comparison: a study, perhaps one of its rows, or an opened trace."""

    study: Study | None = None
    row: ConfigurationResult | None = None
    trace_id: str | None = None


def compare(
    store: Store, base: str | Path, other: str | Path, *, open_trace: Callable[[Path], str]
) -> Difference:
    """What differs between two sources.

    Args:
        store: where studies and traces are kept.
        base: a study's id, `STUDY/CONFIGURATION`, a trace's file, or the id of an opened trace.
        other: the same; ratios above 1 say that it is faster.
        open_trace: reads a trace file and gives its id.

    Raises:
        RequestError: it is none of these, or the study recorded no profile to compare.
        TraceError: the file cannot be read as a profile.
    """
    ends = (end(store, base, open_trace), end(store, other, open_trace))
    if all(e.study is not None and e.row is None for e in ends):
        return _of_studies(store, *ends)
    chosen = tuple(_with_row(e) for e in ends)
    found = _of_profiles(store, chosen[0], chosen[1])
    notes = [_chosen_note(e) for e, asked in zip(chosen, ends, strict=True) if asked.row is None]
    return replace(found, caveats=(*(n for n in notes if n), *found.caveats))


def end(store: Store, source: str | Path, open_trace: Callable[[Path], str]) -> End:
    """What a person named.

    Raises:
        RequestError: nothing here has this name.
        TraceError: the file cannot be read as a profile.
    """
    text, path = str(source), user_path(source)
    if is_file(path) or path.suffix.lower() in _TRACE_ENDINGS:
        if path.suffix.lower() in _MODEL_ENDINGS:
            raise RequestError(
                f"'{text[:300]}' is a model; a comparison takes studies and traces.",
                hint="Measure it first: ortlab bench MODEL --profile.",
            )
        return End(trace_id=open_trace(path))
    study_id, _, row_id = text.partition(_ROW_MARK)
    study = _study(store, study_id)
    if study is not None:
        return End(study=study, row=explain.row_of(study, row_id) if row_id else None)
    if _is_opened(store, text):
        return End(trace_id=text)
    raise RequestError(
        f"'{text[:300]}' is neither a study, nor an opened trace, nor a file.",
        hint="`ortlab history` lists the studies; a trace is the .json that ORT wrote.",
    )


def _study(store: Store, study_id: str) -> Study | None:
    try:
        return store.studies.get(study_id)
    except RequestError:
        return None


def _is_opened(store: Store, trace_id: str) -> bool:
    try:
        store.traces.name(trace_id)
    except RequestError:
        return False
    return True


def _of_studies(store: Store, base: End, other: End) -> Difference:
    """Two studies: every row by its latency, and the nodes of one recorded pair."""
    one, two = _studies(base), _studies(other)
    pair = compare_studies.profiled_pair(one, two)
    doubts = tuple(compare_studies.study_doubts(one, two))
    if pair is None:
        found = _without_profiles(one, two)
        doubts = (
            Notice("no_profiles", "No profile was recorded on both sides, so there are no nodes."),
            *machine_doubts(found.base, found.other),
            *doubts,
        )
    else:
        ends = (End(study=one, row=pair[0]), End(study=two, row=pair[1]))
        found = _of_profiles(store, *ends)
        doubts = (*(note for e in ends if (note := _chosen_note(e))), *doubts)
    changed = compare_studies.study_change(one, two)
    return replace(found, configurations=changed, caveats=(*doubts, *found.caveats))


def _studies(chosen: End) -> Study:
    if chosen.study is None:
        raise RequestError("This end of the comparison is no study.")
    return chosen.study


def _without_profiles(base: Study, other: Study) -> Difference:
    """What two studies tell without a profile: the latency of their best rows."""
    rows = [_best(study) for study in (base, other)]
    sides = [_bare_side(s, row) for s, row in zip((base, other), rows, strict=True)]
    run = RunChange(basis="measured latency")
    floor = compare_studies.study_floor(base, other)
    if rows[0] is not None and rows[1] is not None:
        run = compare_studies.latency_change(rows[0], rows[1], floor)
    return Difference(base=sides[0], other=sides[1], run=run, floor_share=floor)


def _best(study: Study) -> ConfigurationResult | None:
    by_id = {row.id: row for row in study.configurations}
    return by_id.get(study.best or "") or by_id.get(study.baseline)


def _bare_side(study: Study, row: ConfigurationResult | None) -> Side:
    latency = row.latency if row else None
    return Side(
        source=row.label if row else study.title,
        kind="study",
        id=study.id,
        configuration_id=row.id if row else None,
        label=_label(study, row),
        model_id=study.model_id,
        machine_id=study.machine_id,
        onnxruntime_version=study.onnxruntime_version,
        unprofiled_p50_us=latency.p50_us if latency else None,
        unprofiled_ci95_us=latency.ci95_us if latency else None,
        init_us=row.session_init_us if row else None,
    )


def _with_row(chosen: End) -> End:
    """A study's end with the row whose profile speaks for it: its baseline, else its best."""
    study = chosen.study
    if study is None or chosen.row is not None:
        return chosen
    for row_id in (study.baseline, study.best, *(row.id for row in study.configurations)):
        row = next((r for r in study.configurations if r.id == row_id), None)
        if row is not None and row.trace_artifact is not None:
            return End(study=study, row=row)
    raise RequestError(
        f"Study '{study.id}' has no profile, so its nodes cannot be compared with a trace.",
        hint="Measure again with profiling on: ortlab bench MODEL --profile.",
        kind="no_profile",
    )


def _chosen_note(chosen: End) -> Notice | None:
    """Which row of a study speaks for it, where nobody said."""
    if chosen.study is None or chosen.row is None:
        return None
    role = "the baseline" if chosen.row.id == chosen.study.baseline else "a row"
    role = "the fastest row" if chosen.row.id == chosen.study.best else role
    return Notice(
        "profile_of",
        f"Nodes of study '{chosen.study.id}' are those of '{chosen.row.label}', {role} of it.",
    )


def _of_profiles(store: Store, base: End, other: End) -> Difference:
    siblings = (
        base.study is not None and other.study is not None and base.study.id == other.study.id
    )
    sides = [_recorded(store, chosen, sibling=siblings) for chosen in (base, other)]
    found = _compared(store, *sides)
    return _with_latency(found, base, other)


class _Recorded(Struct, frozen=True):
    """One profile as it is kept: enough to know that it is the same one."""

    summary: Path
    events: Path
    timeline: Path
    source: str
    twin_p50_us: float | None
    origin: Origin

    def profile(self) -> Profile:
        """The profile of its steady runs: warm-up would hide every difference."""
        files = DigestFiles(events=self.events, summary=self.summary, timeline=self.timeline)
        return explain.summary(files).profile(
            source=self.source, steady=True, twin_p50_us=self.twin_p50_us
        )


def _recorded(store: Store, chosen: End, *, sibling: bool) -> _Recorded:
    """What is kept of one end; the rows of one study are called by their labels alone."""
    study, row = chosen.study, chosen.row
    if study is None or row is None:
        trace_id = chosen.trace_id or ""
        files = explain.digest_of(store, trace_id, None)
        source, twin_p50_us = store.traces.name(trace_id), None
    else:
        files = explain.digest_of(store, study.id, row.id)
        source, twin_p50_us = row.label, row.latency.p50_us if row.latency else None
    return _Recorded(
        summary=files.summary,
        events=files.events,
        timeline=files.timeline,
        source=source,
        twin_p50_us=twin_p50_us,
        origin=replace(_origin(chosen), label=source) if sibling else _origin(chosen),
    )


# What is kept never changes, so neither does what lies between two of it; a page asks for the
# same two at every click.
@lru_cache(maxsize=8)
def _compared(store: Store, base: _Recorded, other: _Recorded) -> Difference:
    return compare_profiles(
        base.profile(),
        other.profile(),
        origins=(base.origin, other.origin),
        scopes=(_scopes(store, base), _scopes(store, other)),
    )


def _scopes(store: Store, recorded: _Recorded) -> Mapping[str, tuple[str, ...]]:
    """The module of each node by its name, where the model is known."""
    model_id = recorded.origin.model_id
    return scopes_of(store, model_id) if model_id else {}


def _origin(chosen: End) -> Origin:
    study, row = chosen.study, chosen.row
    if study is None or row is None:
        return Origin(kind="trace", id=chosen.trace_id)
    return Origin(
        kind="study",
        id=study.id,
        configuration_id=row.id,
        label=_label(study, row),
        model_id=study.model_id,
        machine_id=study.machine_id,
        onnxruntime_version=study.onnxruntime_version,
    )


def _label(study: Study, row: ConfigurationResult | None) -> str:
    name = study.title or study.model_name
    return f"{name}: {row.label}" if row else name


def _with_latency(found: Difference, base: End, other: End) -> Difference:
    """The same with measured latency and its interval, where both ends have one."""
    sides = (_side_with_latency(found.base, base), _side_with_latency(found.other, other))
    found = replace(found, base=sides[0], other=sides[1])
    if base.study is None or base.row is None or other.study is None or other.row is None:
        return found
    if not base.row.latency or not other.row.latency:
        return found
    if base.study.id == other.study.id:
        return replace(found, unprofiled=_in_turns(base.study, base.row, other.row))
    floor = compare_studies.study_floor(base.study, other.study)
    return replace(found, unprofiled=compare_studies.latency_change(base.row, other.row, floor))


def _in_turns(study: Study, base: ConfigurationResult, other: ConfigurationResult) -> RunChange:
    """Two rows of one study: measured in turns, so the study's own verdict stands."""
    judged = pairs.compared(study, before=base, after=other)
    return RunChange(
        basis="measured latency",
        base_us=base.latency.p50_us if base.latency else None,
        other_us=other.latency.p50_us if other.latency else None,
        ratio=judged.ratio if judged else None,
        ci95=judged.ci95 if judged else None,
        verdict=judged.verdict if judged else "cannot tell",
    )


def _side_with_latency(side: Side, chosen: End) -> Side:
    latency = chosen.row.latency if chosen.row else None
    return replace(side, unprofiled_ci95_us=latency.ci95_us) if latency else side
