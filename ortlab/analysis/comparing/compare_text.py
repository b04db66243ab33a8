"""A comparison in sentences. Names in them are foreign text: whoever shows them makes them safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ortlab.domain import units
from ortlab.domain.compare import NOT_WORK, Difference, NodeChange, RunChange, Side, StudyChange

TOLD_OPERATORS = 3
# A smaller part of the change is not worth a word in a sentence.
_TOLD_SHARE = 0.05
# Beyond that, how many times as long says more than a part.
_TWICE = 2.0
_MAX_NAME = 40


def summary(found: Difference) -> str:
    """Which of the two is faster, by how much and how surely; then where it comes from."""
    return " ".join(sentences(found))


def signed(us: float | None, *, unit: tuple[float, str] | None = None) -> str:
    """`−1.20 ms`, `+34.0 µs`: a change of time with its sign."""
    if us is None:
        return units.MISSING
    sign = "−" if us < 0 else "+" if us > 0 else "±"
    return sign + units.time(abs(us), unit=unit)


def counts(found: Difference) -> str:
    """How many nodes were matched, and what became of them."""
    verdicts = Counter(node.verdict for node in found.nodes if node.time_kind not in NOT_WORK)
    launches = sum(node.time_kind in NOT_WORK for node in found.nodes)
    parts = [f"{units.count(len(found.nodes))} nodes matched"]
    parts += [f"{units.count(verdicts[word])} {word}" for word in ("faster", "slower", "same")
              if verdicts[word]]  # fmt: skip
    if verdicts["cannot tell"]:
        parts.append(f"{units.count(verdicts['cannot tell'])} that cannot be told apart")
    if launches:
        parts.append(f"{units.count(launches)} with launch or waiting times only")
    parts.append(f"{units.count(len(found.removed))} removed")
    parts.append(f"{units.count(len(found.added))} added")
    return ", ".join(parts)


def name(node: NodeChange) -> str:
    """The name of a pair: both names where they differ."""
    if node.name == node.other_name:
        return node.name or f"unnamed {node.op_type}"
    return f"{node.name} → {node.other_name}"


def op_type(node: NodeChange) -> str:
    """The operator of a pair: both where they differ."""
    if node.op_type == node.other_op_type:
        return node.op_type
    return f"{node.op_type} → {node.other_op_type}"


def sentences(found: Difference) -> Iterator[str]:
    """The summary sentence by sentence, the answer first."""
    if found.configurations is not None:
        yield _configurations(found.configurations)
    if found.unprofiled is not None and found.unprofiled.ci95 is not None:
        yield _run(found, found.unprofiled, "without the profiler")
    profiled = found.run.basis == "profiled runs"
    if found.unprofiled is not None and found.unprofiled.ci95 is not None and profiled:
        times = [units.time(us) for us in (found.run.other_us, found.run.base_us)]
        yield f"With the profiler on it is {times[0]} against {times[1]}."
    elif found.run.ratio is not None:
        yield _run(found, found.run, "with the profiler on" if profiled else "as measured")
    elif profiled:
        yield "Not both have whole runs, so runs are not compared."
    where = ", ".join(_operators(found))
    if where:
        launches = any(row.time_kind in NOT_WORK for row in found.operators)
        yield f"Node time per run{', launches left out' * launches}: {where}."


def _run(found: Difference, run: RunChange, how: str) -> str:
    one, other = _name(found.base), _name(found.other)
    times = f"{units.time(run.other_us)} against {units.time(run.base_us)} {how}"
    if one == other:
        one, other = "the first", "the second"
    if run.verdict == "same":
        return f"A run of {other} takes about as long as one of {one} ({times}{_interval(run)})."
    if run.verdict == "cannot tell":
        return (
            f"Whether a run of {other} takes longer than one of {one} cannot be told "
            f"({times}{_interval(run)})."
        )
    start = f"A run of {other} takes {_change(run.ratio or 1.0)} one of {one}"
    return f"{start} ({times}{_interval(run)})."


def _change(ratio: float) -> str:
    if ratio < 1 / _TWICE:
        return f"{units.speedup(1 / ratio)} as long as"
    percent = units.change(ratio).lstrip("−+")
    return f"{percent} {'less' if ratio >= 1 else 'more'} than"


def _interval(run: RunChange) -> str:
    if run.ci95 is None or run.ratio is None:
        return ""
    low, high = run.ci95
    return (
        f"; {units.speedup(run.ratio)}, 95 % interval {units.speedup(low)} to {units.speedup(high)}"
    )


def _operators(found: Difference) -> Iterator[str]:
    """The operators that change most, launch times left out: they are no work done."""
    rows = [row for row in found.operators if row.time_kind not in NOT_WORK]
    largest = max((abs(row.delta_us) for row in rows), default=0.0)
    for row in rows[:TOLD_OPERATORS]:
        if row.delta_us and abs(row.delta_us) >= _TOLD_SHARE * largest:
            yield f"{_short(row.op_type)} {signed(row.delta_us)}"


def _short(text: str) -> str:
    """A foreign name as long as a sentence can bear."""
    return text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1] + "…"


def _configurations(change: StudyChange) -> str:
    verdicts = Counter(row.verdict for row in change.rows)
    told = [f"{n} {word}" for word, n in verdicts.items() if word != "cannot tell"]
    if verdicts["cannot tell"]:
        told.append(f"{verdicts['cannot tell']} that cannot be told apart")
    count = len(change.rows)
    alone = len(change.added) + len(change.removed)
    rest = f"; {alone} only in one of the two" if alone else ""
    if not count:
        return f"The studies have no configuration in common{rest}."
    s = "s" * (count != 1)
    return f"{count} configuration{s} in both: {', '.join(told)}{rest}."


def _name(side: Side) -> str:
    return f"'{side.label[:120]}'"
