"""No finding without evidence: every diagnosis fires on its symptom, and is silent without it."""

from __future__ import annotations

import msgspec
import pytest

from ortlab.analysis.diagnosing.diagnoses import CHECKS, STUDY_CHECKS
from ortlab.catalog.diagnoses import BY_ID, DIAGNOSES, Diagnosis, version_key
from ortlab.domain.accuracy import Accuracy
from ortlab.domain.configuration import Configuration
from ortlab.domain.model import TensorInfo
from ortlab.domain.placement import Partition
from ortlab.domain.study import Failure
from ortlab.domain.trace import Copies
from tests import records
from tests.records import configuration, found, row, study

VNNI = ("avx512f", "avx512_vnni")


def test_every_diagnosis_has_exactly_one_check_and_every_check_a_diagnosis():
    assert set(CHECKS) | set(STUDY_CHECKS) == set(BY_ID)
    assert not set(CHECKS) & set(STUDY_CHECKS)
    assert len(BY_ID) == len(DIAGNOSES)


def test_a_clean_study_has_no_findings():
    assert found(study()) == {}


def test_every_finding_of_any_test_study_has_a_digit_in_its_evidence():
    rows = (row(p50_us=20.0, steady=False), row(configuration(threads=8), ratio=0.9))
    for finding in found(study(*rows)).values():
        assert any(c.isdigit() for c in finding.evidence), finding


# Providers


def test_a_refused_provider_is_a_problem_with_the_reason():
    refused = row(
        configuration(records.CUDA), p50_us=None,
        error=Failure(kind="provider_unavailable", message="libcublasLt.so.12 was not found."),
    )  # fmt: skip
    finding = found(study(row(), refused))["provider-not-used"]
    assert "libcublasLt.so.12" in finding.evidence
    assert finding.severity == "problem"
    assert finding.configuration_id == refused.id


def test_a_crash_is_not_called_a_refused_provider():
    assert "provider-not-used" not in found(
        study(row(), row(configuration(threads=2), p50_us=None))
    )


def test_fallback_names_its_nodes_and_its_time():
    the_study = study(row(configuration(records.CUDA)))
    finding = found(the_study, placement=records.fallen_back(costly=3))["provider-fallback"]
    assert "3 of 10 nodes" in finding.evidence
    assert "300" in finding.evidence
    assert finding.gain_share == pytest.approx(0.3)


def test_harmless_fallback_is_not_a_finding():
    the_study = study(row(configuration(records.CUDA)))
    only_shapes = records.fallen_back(costly=0, harmless=3)
    assert "provider-fallback" not in found(the_study, placement=only_shapes)


def test_many_partitions_are_counted():
    parts = tuple(
        Partition(provider=records.CUDA, node_count=1, first=f"n{i}", last=f"n{i}")
        for i in range(9)
    )
    placement = msgspec.structs.replace(records.fallen_back(), partitions=parts)
    the_study = study(row(configuration(records.CUDA)))
    assert "9 partitions" in found(the_study, placement=placement)["many-partitions"].evidence
    few = msgspec.structs.replace(placement, partitions=parts[:3])
    assert "many-partitions" not in found(the_study, placement=few)


@pytest.mark.parametrize(("copy_us", "fires"), [(300, True), (10, False)])
def test_copies_count_when_they_take_time(copy_us: int, fires: bool):
    profile = records.profile({"MatMul": (4, 1000)}, copies=Copies(count=4, total_us=copy_us))
    assert ("copy-overhead" in found(study(), profile=profile)) is fires


def test_a_slow_session_proposes_parallel_prepacking():
    finding = found(study(row(session_init_us=8e6)))["slow-session"]
    assert finding.proposal is not None
    assert finding.proposal.session_config == {"session.prepack.enable_parallel": "1"}


def test_slow_session_advice_is_not_given_to_an_older_runtime():
    old = study(row(session_init_us=8e6), onnxruntime_version="1.23.2")
    assert "slow-session" not in found(old)


def test_a_session_as_long_as_a_few_runs_is_not_slow():
    assert "slow-session" not in found(study(row(p50_us=500_000.0, session_init_us=2e6)))


@pytest.mark.parametrize(("first_us", "fires"), [(500_000.0, True), (2_000.0, False)])
def test_a_slow_first_run_is_told(first_us: float, fires: bool):
    assert ("slow-first-run" in found(study(row(first_run_us=first_us)))) is fires


# The graph

UNFUSED = {"MatMul": (8, 500), "Softmax": (4, 100), "Erf": (2, 200), "Mul": (4, 100)}


def test_unfused_patterns_below_all_propose_all():
    the_study = study(row(configuration(level="basic")))
    finding = found(the_study, profile=records.profile(UNFUSED))["missing-fusion"]
    assert finding.proposal == configuration(level="all")
    assert "2 × Gelu in parts" in finding.evidence
    assert "4 × attention in parts" in finding.evidence


def test_missing_fusion_is_silent_when_all_was_measured_and_is_no_faster():
    low, high = row(configuration(level="basic")), row(configuration(level="all"), ratio=1.0)
    assert "missing-fusion" not in found(study(low, high), profile=records.profile(UNFUSED))


def test_missing_fusion_cites_the_ratio_when_all_was_measured_and_is_faster():
    low, high = row(configuration(level="basic")), row(configuration(level="all"), ratio=1.5)
    seen = found(study(low, high), profile=records.profile(UNFUSED))
    assert "1.50×" in seen["missing-fusion"].evidence
    assert "level-costs-time" not in seen


def test_a_fully_fused_graph_misses_no_fusion():
    fused = records.profile({"FusedMatMul": (8, 500), "BiasGelu": (4, 100)})
    assert "missing-fusion" not in found(study(row(configuration(level="basic"))), profile=fused)


def test_an_activation_after_each_conv_is_an_unfused_pattern():
    profile = records.profile({"Conv": (1, 500), "Relu": (1, 100)})
    seen = found(study(row(configuration(level="basic"))), profile=profile)
    assert "1 × Relu after Conv" in seen["missing-fusion"].evidence


def test_patterns_left_at_level_all_are_told_without_a_proposal():
    finding = found(study(), profile=records.profile(UNFUSED))["fusion-not-found"]
    assert finding.proposal is None


def test_batchnorm_left_at_basic_counts_but_not_extended_patterns_there():
    profile = records.profile({"Conv": (2, 500), "BatchNormalization": (2, 200)})
    assert "missing-fusion" in found(study(row(configuration(level="disabled"))), profile=profile)
    assert "missing-fusion" not in found(study(row(configuration(level="basic"))), profile=profile)


def test_stray_dequantize_nodes_beside_float_products_are_found():
    stray = records.profile({"Conv": (4, 500), "DequantizeLinear": (8, 200)})
    finding = found(study(row(configuration(level="disabled"))), profile=stray)["unfused-qdq"]
    assert "8 DequantizeLinear" in finding.evidence
    assert finding.proposal == configuration(level="all")


def test_one_dequantize_node_at_the_output_is_normal():
    fused = records.profile({"QLinearConv": (4, 500), "DequantizeLinear": (1, 20), "Gemm": (1, 9)})
    assert "unfused-qdq" not in found(study(), profile=fused)


def test_inserted_casts_are_found_by_their_names():
    profile = records.profile({"Cast": (4, 400), "Conv": (2, 600)})
    named = tuple(
        msgspec.structs.replace(node, name=f"InsertedPrecisionFreeCast_{node.name}")
        if node.op_type == "Cast" else node
        for node in profile.nodes
    )  # fmt: skip
    inserted = msgspec.structs.replace(profile, nodes=named)
    assert "40.0" in found(study(), profile=inserted)["precision-casts"].evidence
    assert "precision-casts" not in found(study(), profile=profile)


def test_a_lower_level_that_lost_time_points_to_the_faster_one():
    low, high = row(configuration(level="disabled")), row(configuration(level="all"), ratio=1.5)
    seen = found(study(low, high))
    assert seen["level-costs-time"].configuration_id == low.id
    assert seen["level-costs-time"].proposal == high.configuration
    assert "optimization-slower" not in seen


def test_an_optimized_graph_that_lost_time_points_to_the_lower_level():
    low, high = row(configuration(level="disabled")), row(configuration(level="all"), ratio=0.9)
    finding = found(study(low, high))["optimization-slower"]
    assert finding.configuration_id == high.id
    assert finding.proposal == low.configuration


def test_levels_whose_interval_holds_one_are_not_called_different():
    low = row(configuration(level="disabled"))
    high = row(configuration(level="all"), ratio=1.04, half_width=0.06)
    assert not {"level-costs-time", "optimization-slower"} & set(found(study(low, high)))


def test_rows_that_differ_in_two_things_are_not_compared():
    low = row(configuration(level="disabled"))
    high = row(configuration(level="all", threads=2), ratio=1.5)
    assert "level-costs-time" not in found(study(low, high))


# Numbers


def test_outputs_of_another_level_that_differ_are_a_problem():
    off = row(configuration(level="basic"), ratio=1.0, accuracy=Accuracy(max_rel_error=0.3))
    assert found(study(row(), off))["outputs-changed"].severity == "problem"


def test_rounding_is_not_a_changed_output():
    off = row(configuration(level="basic"), ratio=1.0, accuracy=Accuracy(max_rel_error=1e-6))
    assert "outputs-changed" not in found(study(row(), off))


def test_int8_rounding_is_not_a_changed_output():
    int8 = configuration(variant="dynamic-int8")
    off = row(int8, ratio=2.0, accuracy=Accuracy(max_rel_error=0.02, sqnr_db=34.0))
    assert not {"outputs-changed", "quantized-outputs-off"} & set(found(study(row(), off)))


def test_int8_outputs_with_much_noise_are_a_problem():
    int8 = configuration(variant="dynamic-int8")
    off = row(int8, ratio=2.0, accuracy=Accuracy(max_rel_error=0.5, sqnr_db=11.0))
    assert "11.0" in found(study(row(), off))["quantized-outputs-off"].evidence


def test_openvino_in_bfloat16_is_told_with_the_option_that_asks_for_float32():
    openvino = configuration(records.OPENVINO)
    off = row(openvino, ratio=3.0, accuracy=Accuracy(max_rel_error=2.8e-3))
    seen = found(study(row(), off))
    proposal = seen["reduced-precision"].proposal
    assert proposal is not None
    assert "INFERENCE_PRECISION_HINT" in proposal.providers[0].options["load_config"]
    assert "outputs-changed" not in seen


INT8 = configuration(variant="dynamic-int8")


def test_int8_that_lost_time_is_told_with_the_operators_to_blame():
    slow = row(INT8, ratio=0.5)
    profile = records.profile({"ConvInteger": (4, 800), "Relu": (4, 200)})
    finding = found(study(row(), slow), of=slow.id, profile=profile)["int8-slower"]
    assert "ConvInteger" in finding.evidence
    assert "no int8 dot-product" in finding.evidence
    assert finding.proposal == configuration()


def test_int8_that_won_is_not_called_slower():
    assert "int8-slower" not in found(study(row(), row(INT8, ratio=2.0)))


PRODUCTS = {"MatMul": (8, 900), "Relu": (8, 100)}


def test_int8_is_proposed_where_products_dominate_and_the_cpu_has_vnni():
    context = {"machine": records.machine(isa=VNNI), "profile": records.profile(PRODUCTS)}
    finding = found(study(), **context)["int8-may-pay"]
    assert finding.proposal == INT8
    assert "90.0" in finding.evidence


@pytest.mark.parametrize(
    "context",
    [
        {"machine": records.machine(), "profile": records.profile(PRODUCTS)},
        {"machine": records.machine(isa=VNNI)},
        {"machine": records.machine(isa=VNNI), "profile": records.profile({"Conv": (2, 9)})},
        {
            "machine": records.machine(isa=VNNI), "profile": records.profile(PRODUCTS),
            "model": records.model(op_counts={"MatMul": 8, "DequantizeLinear": 16}),
        },
        {
            "machine": records.machine(isa=VNNI), "profile": records.profile(PRODUCTS),
            "model": records.model(inputs=(TensorInfo("x", "float16", (1, 8)),)),
        },
    ],
    ids=["no VNNI", "no profile", "no products", "quantized already", "half precision"],
)  # fmt: skip
def test_int8_is_not_proposed_without_its_evidence(context: dict[str, object]):
    assert "int8-may-pay" not in found(study(), **context)


def test_int8_is_not_proposed_when_it_was_measured():
    context = {"machine": records.machine(isa=VNNI), "profile": records.profile(PRODUCTS)}
    assert "int8-may-pay" not in found(study(row(), row(INT8, ratio=0.9)), **context)


# Order and versions


def test_problems_come_first_then_advice_by_gain_then_doubts():
    low = row(configuration(level="disabled"), steady=False)
    high = row(configuration(level="all"), ratio=1.5, accuracy=Accuracy(max_rel_error=0.5))
    parallel = row(configuration(level="disabled", execution_mode="parallel"), ratio=0.5)
    result = list(found(study(low, high, parallel)))
    assert result == ["outputs-changed", "parallel-slower", "level-costs-time", "not-steady"]


def test_a_diagnosis_applies_from_its_first_version_up_to_its_last():
    between = Diagnosis(id="x", title="", symptom="", fix="", severity="advice",
                        since="1.23", until="1.31")  # fmt: skip
    assert [between.applies(v) for v in ("1.9.0", "1.23.2", "1.30.1", "1.31.1")] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not between.applies(None)


def test_versions_compare_by_number_not_by_text():
    assert version_key("1.9.0") < version_key("1.31.1") < version_key("1.31.2.dev20261101")


def test_failed_rows_never_break_a_check():
    failed = [row(configuration(threads=n), p50_us=None) for n in (1, 2, 8)]
    assert found(study(*failed)) == {}


def test_no_proposal_repeats_the_configuration_it_should_improve():
    rows = (row(configuration(threads=8), cpu_us=8000.0, session_init_us=9e6,
                peak_memory_bytes=4 << 30), row(configuration(threads=1), ratio=1.0))  # fmt: skip
    by_id: dict[str, Configuration] = {r.id: r.configuration for r in rows}
    for finding in found(study(*rows)).values():
        assert finding.proposal is None or finding.proposal != by_id[str(finding.configuration_id)]
