"""Checks of the executed graph: optimization levels and fusions that did not happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from msgspec import Struct

from ortlab.analysis.diagnosing.evidence import (
    Check,
    Evidence,
    Pair,
    Symptom,
    calls_per_run,
    changed,
    clearly_faster,
    compared,
    operators,
    share,
    twins,
    use_other,
    was_asked,
)
from ortlab.catalog.levels import LEVELS
from ortlab.domain import units
from ortlab.domain.trace import Profile

# Differences of a percent are within what sessions differ from themselves.
CLEAR_CHANGE = 1.02
# A pattern below this part of the node time is not worth a word.
PATTERN_SHARE = 0.02
CASTS_SHARE = 0.05
# A fully fused model keeps one at its input and one at its output.
STRAY_DEQUANTIZE = 3
CAST_NAME = "InsertedPrecisionFreeCast"
FLOAT_PRODUCTS = ("Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm", "FusedGemm")
LEVEL_ORDER = {level.id: place for place, level in enumerate(LEVELS)}


class Pattern(Struct, frozen=True, kw_only=True):
    """Operators that ORT fuses from `level` on; each of the pattern needs `needs` of a kind."""

    name: str
    needs: dict[str, int]
    level: str


PATTERNS = (
    Pattern(name="LayerNormalization in parts", needs={"ReduceMean": 2, "Sqrt": 1, "Div": 1},
            level="extended"),
    Pattern(name="Gelu in parts", needs={"Erf": 1, "Mul": 1}, level="extended"),
    Pattern(name="attention in parts", needs={"Softmax": 1, "MatMul": 2}, level="extended"),
    Pattern(name="BatchNormalization beside a Conv", needs={"BatchNormalization": 1, "Conv": 1},
            level="basic"),
)  # fmt: skip
"""Source: ORT graph optimization guide; the fused forms were seen on ORT 1.31."""

FOLLOWED = (("Conv", "Relu"), ("Conv", "Clip"), ("Conv", "LeakyRelu"), ("Conv", "Sigmoid"))
"""Activations that ORT fuses into the Conv before them, from `extended` on."""


def _missing_fusion(evidence: Evidence) -> Symptom | None:
    level = LEVEL_ORDER.get(evidence.configuration.level, 0)
    proposal = changed(evidence.configuration, level="all")
    beside = [p for p in twins(evidence, "level") if p.other.configuration == proposal]
    faster = list(clearly_faster(beside, at_least=CLEAR_CHANGE))
    if was_asked(evidence, proposal) and not faster:
        return None  # measured: it does not help
    # Where the gain is measured, the share of what remains unfused need not prove it.
    found = _unfused(
        evidence.profile,
        lambda needed: level < LEVEL_ORDER[needed],
        min_share=0.0 if faster else PATTERN_SHARE,
    )
    if not found:
        return None
    text = f"At level `{evidence.configuration.level}`: {found}."
    return Symptom(
        evidence=" ".join([text, *(compared(pair) for pair in faster)]),
        proposal=proposal,
        gain=1 - faster[0].ratio if faster else PATTERN_SHARE,
    )


def _fusion_not_found(evidence: Evidence) -> Symptom | None:
    if evidence.configuration.level != "all":
        return None
    found = _unfused(evidence.profile, lambda needed: True, min_share=PATTERN_SHARE)
    return Symptom(evidence=f"At level `all`: {found}.") if found else None


def _unfused(profile: Profile | None, wanted: Callable[[str], bool], *, min_share: float) -> str:
    """The patterns still there, with counts and shares of node time; empty when there are none."""
    if profile is None:
        return ""
    kinds = Counter(node.op_type for node in profile.nodes)
    found = []
    for pattern in PATTERNS:
        count = min(kinds[op] // needed for op, needed in pattern.needs.items())
        if count and wanted(pattern.level):
            rarest = min(pattern.needs, key=lambda op: kinds[op])
            found.append((f"{count} × {pattern.name}", share(operators(profile, rarest)), rarest))
    if wanted("extended"):
        found += _followed(profile)
    return ", ".join(
        f"{text} ({op}: {units.share(part)} of node time)"
        for text, part, op in found
        if part >= min_share
    )


def _followed(profile: Profile) -> list[tuple[str, float, str]]:
    """Activations that run as a node of their own directly after a Conv."""
    ordered = sorted(
        (node for node in profile.nodes if node.node_index is not None and not node.scope),
        key=lambda node: node.node_index or 0,
    )
    seen = Counter((first.op_type, second.op_type) for first, second in pairwise(ordered))
    return [
        (f"{seen[pair]} × {pair[1]} after {pair[0]}", share(operators(profile, pair[1])), pair[1])
        for pair in FOLLOWED
        if seen[pair]
    ]


def _unfused_qdq(evidence: Evidence) -> Symptom | None:
    profile = evidence.profile
    stray = operators(profile, "QuantizeLinear", "DequantizeLinear")
    in_float = operators(profile, *FLOAT_PRODUCTS)
    if profile is None or not in_float:
        return None
    count = calls_per_run(profile, [row for row in stray if row.op_type == "DequantizeLinear"])
    if count < STRAY_DEQUANTIZE:
        return None
    proposal = changed(evidence.configuration, level="all")
    already = was_asked(evidence, proposal)
    return Symptom(
        evidence=f"{count} DequantizeLinear nodes run by themselves at level "
        f"`{evidence.configuration.level}`; Q/DQ takes {units.share(share(stray))} of the node "
        f"time, float products {units.share(share(in_float))}.",
        proposal=None if already else proposal,
        gain=share(stray),
    )


def _precision_casts(evidence: Evidence) -> Symptom | None:
    profile = evidence.profile
    if profile is None or not profile.toplevel_us:
        return None
    casts = [node for node in profile.nodes if node.name.startswith(CAST_NAME)]
    part = sum(node.self_us for node in casts) / profile.toplevel_us
    if part < CASTS_SHARE:
        return None
    return Symptom(
        evidence=f"{len(casts)} casts that ONNX Runtime put in take {units.share(part)} of the "
        "node time.",
        gain=part,
    )


def _level_costs_time(evidence: Evidence) -> Symptom | None:
    if _missing_fusion(evidence) is not None:
        return None  # says the same with its reason
    return _better_level(evidence, lambda theirs, mine: theirs > mine)


def _optimization_slower(evidence: Evidence) -> Symptom | None:
    return _better_level(evidence, lambda theirs, mine: theirs < mine)


def _better_level(evidence: Evidence, side: Callable[[int, int], bool]) -> Symptom | None:
    mine = LEVEL_ORDER.get(evidence.configuration.level, 0)
    better: list[Pair] = [
        pair
        for pair in clearly_faster(twins(evidence, "level"), at_least=CLEAR_CHANGE)
        if side(LEVEL_ORDER.get(pair.other.configuration.level, 0), mine)
    ]
    best = min(better, key=lambda pair: pair.ratio, default=None)
    return use_other(best) if best else None


CHECKS: dict[str, Check] = {
    "missing-fusion": _missing_fusion,
    "fusion-not-found": _fusion_not_found,
    "unfused-qdq": _unfused_qdq,
    "precision-casts": _precision_casts,
    "level-costs-time": _level_costs_time,
    "optimization-slower": _optimization_slower,
}
