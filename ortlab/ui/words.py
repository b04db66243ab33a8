"""Sentences and safe text: everything a page says that is more than a label.

Names of models, nodes, dimensions and providers come from files of strangers. They reach
Markdown only through `safe`; everywhere else they go through `st.text`, `st.code` or table
cells, which read no markup.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ortlab.analysis.diagnosing import pairs
from ortlab.domain import units
from ortlab.domain.study import Comparison, ConfigurationResult, Study

# Every ASCII punctuation mark may be escaped in Markdown, so every one is.
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Markdown makes links of bare addresses even when they are escaped; a mark of no width stops it.
_LINK = re.compile(r"://|\bwww\.", re.IGNORECASE)
_CODE = re.compile(r"`([^`]+)`")
# Bidirectional overrides and zero-width marks can make one name look like another.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)


def safe(text: str, *, limit: int = 300) -> str:
    """Foreign text that Markdown shows as it is: no links, pictures, colours or formulas."""
    return _escaped(plain(text, limit=limit))


def safe_with_code(text: str, *, limit: int = 900) -> str:
    """Like `safe`, but what stands between backticks is shown as code, which reads no markup."""
    parts = _CODE.split(plain(text, limit=limit))
    return "".join(f"`{part}`" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def verdict(study: Study) -> str:
    """The answer in one sentence, as Markdown; built from the verdict and its interval only."""
    measured = [row for row in study.configurations if row.latency is not None]
    if not measured:
        return "No configuration could be measured. Each row says why."
    best = row_by_id(study, study.best) or min(measured, key=_p50)
    baseline = row_by_id(study, study.baseline)
    if len(measured) == 1:
        return f"{_name(best)} takes **{units.time(_p50(best))}** per run."
    if baseline is None or baseline.latency is None:
        return (
            f"{_name(best)} is the fastest at **{units.time(_p50(best))}**. The baseline has no "
            "figures, so nothing can be said about how much faster."
        )
    if best.id == baseline.id:
        return _baseline_wins(study, baseline, measured)
    if best.vs_baseline is None:
        return f"{_name(best)} is the fastest at **{units.time(_p50(best))}**."
    return _against(best, best.vs_baseline, baseline) + _ties(study, best, measured)


def _baseline_wins(
    study: Study, baseline: ConfigurationResult, measured: list[ConfigurationResult]
) -> str:
    others = [r.vs_baseline.verdict for r in measured if r.vs_baseline and r.id != baseline.id]
    start = f"The baseline {_name(baseline)} takes **{units.time(_p50(baseline))}**"
    if others and all(v == "slower" for v in others):
        return f"{start}; every other setting is slower."
    if others and all(v == "same" for v in others):
        return f"{start}; no other setting differs by more than a percent."
    return f"{start}; no other setting is clearly faster."


def _ties(study: Study, best: ConfigurationResult, measured: list[ConfigurationResult]) -> str:
    """Which others may be as fast as the winner; empty when it stands alone."""
    if best.vs_baseline is None or best.vs_baseline.verdict != "faster":
        return ""
    tied = []
    for row in measured:
        found = pairs.compared(study, before=row, after=best) if row.id != best.id else None
        if found is not None and found.verdict != "faster":
            tied.append(row)
    if len(tied) == 1:
        return f" {_name(tied[0])} is not clearly slower."
    return f" {len(tied)} other settings are not clearly slower." if tied else ""


def _against(
    row: ConfigurationResult, comparison: Comparison, baseline: ConfigurationResult
) -> str:
    low, high = comparison.ci95
    interval = f"95 % interval {units.speedup(low)} to {units.speedup(high)}"
    basis = ", by CPU time because other work was on the cores" * (comparison.basis == "cpu")
    name, against = _name(row), _name(baseline)
    p50 = units.time(_p50(row))
    if comparison.verdict == "faster":
        return (
            f"{name} runs this model fastest: **{p50}**, **{units.speedup(comparison.ratio)}** as "
            f"fast as {against} ({interval}{basis})."
        )
    if comparison.verdict == "slower":
        return f"Nothing beats {against}; {name} comes closest at **{p50}** ({interval}{basis})."
    if comparison.verdict == "same":
        return (
            f"{name} and {against} run equally fast, **{p50}**: the difference is below a "
            f"percent ({interval}{basis})."
        )
    return (
        f"No clear winner: {name} has the lowest p50, **{p50}**, but its ratio to {against} "
        f"could be anything in {units.speedup(low)} to {units.speedup(high)}. Measure longer, or "
        "on a quieter machine."
    )


def comparison(candidate: str, against: str, found: Comparison) -> str:
    """One pair in one sentence; the names are foreign text and made safe here."""
    low, high = found.ci95
    interval = (
        f"ratio {units.speedup(found.ratio)}, 95 % {units.speedup(low)} to {units.speedup(high)}"
    )
    word = {
        "faster": "is faster than",
        "slower": "is slower than",
        "same": "is as fast as",
        "cannot tell": "cannot be told apart from",
    }[found.verdict]
    return f"**{safe(candidate)}** {word} **{safe(against)}** ({interval})."


def row_by_id(study: Study, row_id: str | None) -> ConfigurationResult | None:
    """The row with this id, or None."""
    return next((row for row in study.configurations if row.id == row_id), None)


def ago(when: str | None, *, now: datetime | None = None) -> str:
    """`2 h ago` for an ISO time; its date when it is older than a week."""
    if not when:
        return units.MISSING
    then = datetime.fromisoformat(when)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for limit, size, name in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{max(0, round(seconds / size))}{units.THIN}{name} ago"
    days = round(seconds / 86_400)
    return f"{days} days ago" if days <= 7 else then.strftime("%Y-%m-%d")


def _escaped(text: str) -> str:
    return _PUNCTUATION.sub(r"\\\1", _LINK.sub(_unlinked, text))


def _unlinked(found: re.Match[str]) -> str:
    return found[0][:-1] + "\u2060" + found[0][-1]


def _name(row: ConfigurationResult) -> str:
    return f"**{safe(row.label)}**"


def _p50(row: ConfigurationResult) -> float:
    return row.latency.p50_us if row.latency else float("inf")


def plain(text: str, *, limit: int = 120) -> str:
    """Foreign text for places that show it as it is, shortened, without invisible marks."""
    flat = " ".join(_INVISIBLE.sub("", text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
