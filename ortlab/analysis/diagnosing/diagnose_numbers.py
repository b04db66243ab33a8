"""Checks of int8 and of outputs: what a variant or provider does to the numbers."""

from __future__ import annotations

import json

import msgspec

from ortlab.analysis.diagnosing.evidence import (
    Check,
    Evidence,
    Symptom,
    changed,
    clearly_faster,
    compared,
    operators,
    share,
    twins,
    was_asked,
)
from ortlab.catalog import variants
from ortlab.domain import units
from ortlab.domain.configuration import Configuration

OPENVINO = "OpenVINOExecutionProvider"
# Against the largest output; float32 sums in another order stay far below this.
FLOAT_ERROR = 1e-3
HALF_ERROR = 2e-2
# bfloat16 keeps 8 bits; whatever is larger than this is not explained by it.
REDUCED_PRECISION_ERROR = 0.1
# 20 dB: the error's amplitude is a tenth of the signal's.
LOW_SQNR_DB = 20.0
CLEAR_CHANGE = 1.02
INT8_ISA = ("vnni", "amx_int8", "i8mm", "sdot", "dotprod", "asimddp")
FLOAT_PRODUCTS = ("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Attention")
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "MatMulInteger", "MatMulNBits",
             "DynamicQuantizeLinear")  # fmt: skip
INT8_PARTS = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul",
              "MatMulIntegerToFloat")  # fmt: skip
# Below this the quantization of activations and the call cost as much as is saved.
INT8_MIN_RUN_US = 200
INT8_PRODUCT_SHARE = 0.5


def _outputs_changed(evidence: Evidence) -> Symptom | None:
    error = _error_of_same_numbers(evidence)
    if error is None or _is_openvino_rounding(evidence, error):
        return None
    return Symptom(evidence=_error_sentence(evidence, error))


def _reduced_precision(evidence: Evidence) -> Symptom | None:
    error = _error_of_same_numbers(evidence)
    if error is None or not _is_openvino_rounding(evidence, error):
        return None
    return Symptom(evidence=_error_sentence(evidence, error), proposal=_in_float32(evidence))


def _error_of_same_numbers(evidence: Evidence) -> float | None:
    """The relative error where it should be rounding only, and is more."""
    accuracy = evidence.row.accuracy
    if (
        accuracy is None
        or accuracy.max_rel_error is None
        or evidence.row.id == evidence.study.baseline
    ):
        return None
    if _changes_numbers(evidence.configuration) or _changes_numbers(_baseline(evidence)):
        return None
    dtypes = {tensor.dtype for tensor in (*evidence.model.inputs, *evidence.model.outputs)}
    limit = HALF_ERROR if dtypes & {"float16", "bfloat16"} else FLOAT_ERROR
    return accuracy.max_rel_error if accuracy.max_rel_error > limit else None


def _baseline(evidence: Evidence) -> Configuration:
    rows = {row.id: row.configuration for row in evidence.study.configurations}
    return rows.get(evidence.study.baseline, evidence.configuration)


def _changes_numbers(configuration: Configuration) -> bool:
    variant = variants.BY_ID.get(configuration.variant)
    return variant is not None and variant.changes_numbers


def _is_openvino_rounding(evidence: Evidence, error: float) -> bool:
    return OPENVINO in evidence.row.providers_active and error <= REDUCED_PRECISION_ERROR


def _error_sentence(evidence: Evidence, error: float) -> str:
    accuracy = evidence.row.accuracy
    cosine = accuracy.cosine if accuracy else None
    also = f", cosine {cosine:.6f}" if cosine is not None else ""
    return (
        f"The outputs of '{evidence.row.label}' differ from the baseline's by "
        f"{units.error(error)} of the largest value{also}."
    )


def _in_float32(evidence: Evidence) -> Configuration | None:
    option = {"load_config": json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "f32"}})}
    providers = tuple(
        msgspec.structs.replace(choice, options={**choice.options, **option})
        if choice.name == OPENVINO
        else choice
        for choice in evidence.configuration.providers
    )
    proposal = changed(evidence.configuration, providers=providers)
    return None if was_asked(evidence, proposal) else proposal


def _quantized_outputs_off(evidence: Evidence) -> Symptom | None:
    accuracy = evidence.row.accuracy
    if accuracy is None or accuracy.sqnr_db is None or not _changes_numbers(evidence.configuration):
        return None
    if accuracy.sqnr_db >= LOW_SQNR_DB or _changes_numbers(_baseline(evidence)):
        return None
    return Symptom(
        evidence=f"The outputs of '{evidence.row.label}' have a signal-to-noise ratio of "
        f"{accuracy.sqnr_db:.1f} dB against the baseline's, under {LOW_SQNR_DB:.0f} dB."
    )


def _int8_slower(evidence: Evidence) -> Symptom | None:
    if evidence.configuration.variant != "dynamic-int8":
        return None
    for pair in clearly_faster(twins(evidence, "variant"), at_least=CLEAR_CHANGE):
        if pair.other.configuration.variant == variants.DEFAULT:
            return Symptom(
                evidence=" ".join([compared(pair), *_why_slow(evidence)]),
                proposal=pair.other.configuration,
                gain=1 - pair.ratio,
            )
    return None


def _why_slow(evidence: Evidence) -> list[str]:
    parts = operators(evidence.profile, *INT8_PARTS)
    reasons = []
    if parts:
        kinds = ", ".join(sorted({row.op_type for row in parts}))
        reasons.append(f"{kinds} take {units.share(share(parts))} of the node time.")
    if not _has_int8_instructions(evidence):
        reasons.append("This CPU lists no int8 dot-product instructions.")
    return reasons


def _has_int8_instructions(evidence: Evidence) -> bool:
    names = [name.lower() for name in evidence.machine.machine.cpu.isa]
    return any(wanted in name for name in names for wanted in INT8_ISA)


def _int8_may_pay(evidence: Evidence) -> Symptom | None:
    configuration, row = evidence.configuration, evidence.row
    proposal = changed(configuration, variant="dynamic-int8")
    if configuration.variant != variants.DEFAULT or was_asked(evidence, proposal):
        return None
    if row.latency is None or row.latency.p50_us < INT8_MIN_RUN_US or not evidence.on_cpu_only:
        return None
    if not _has_float_products(evidence):
        return None
    part = share(operators(evidence.profile, *FLOAT_PRODUCTS))
    if part < INT8_PRODUCT_SHARE or not _has_int8_instructions(evidence):
        return None
    isa = [n for n in evidence.machine.machine.cpu.isa if any(w in n.lower() for w in INT8_ISA)]
    return Symptom(
        evidence=f"Float matrix products take {units.share(part)} of the node time of "
        f"'{row.label}', and this CPU has {', '.join(isa)}.",
        proposal=proposal,
        gain=part / 2,
    )


def _has_float_products(evidence: Evidence) -> bool:
    """True when there is something that dynamic int8 can change: float32 MatMul or Gemm."""
    model = evidence.model
    dtypes = {tensor.dtype for tensor in (*model.inputs, *model.outputs)}
    quantized = any(op in model.op_counts for op in QUANTIZED)
    half = bool(dtypes & {"float16", "bfloat16"})
    return not (quantized or half) and any(op in model.op_counts for op in ("MatMul", "Gemm"))


CHECKS: dict[str, Check] = {
    "outputs-changed": _outputs_changed,
    "reduced-precision": _reduced_precision,
    "quantized-outputs-off": _quantized_outputs_off,
    "int8-slower": _int8_slower,
    "int8-may-pay": _int8_may_pay,
}
