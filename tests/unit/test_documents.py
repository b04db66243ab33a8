"""Documents have the contract's keys, generated pages are fresh, options mean what they say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from ortlab.cli import documents, options, outcomes, reference
from ortlab.domain.model import AppliedFix, FixReport
from ortlab.domain.study import Failure, StudySummary
from ortlab.domain.trace import Profile
from ortlab.errors import (
    DimensionError,
    MeasurementError,
    ModelError,
    ProviderUnavailableError,
    RequestError,
)
from ortlab.views import ProfileView
from tests import records
from tests.records import configuration, row, study

DOCS = Path(__file__).parents[2] / "docs"


def decoded(document: documents.Document) -> dict[str, Any]:
    """The document as a program reads it, checked against its schema on the way."""
    value = json.loads(documents.text(document))
    name = documents.command(type(document))
    jsonschema.validate(value, json.loads((DOCS / "schema" / f"{name}.json").read_text()))
    return value


def viewed(record: Profile) -> ProfileView:
    """The view of a profile without events, whose trace had no fields of memory or threads."""
    nothing: Any = SimpleNamespace(memory=None, threads=None)
    return ProfileView(record, events=lambda _: [], stored=Path, summary=lambda: nothing)


@pytest.mark.parametrize(("name", "text"), list(reference.files()), ids=lambda value: value[:20])
def test_generated_pages_are_up_to_date(name: str, text: str):
    assert (DOCS / name).read_text(encoding="utf-8") == text, (
        "make it again: python -m ortlab.cli.reference docs"
    )


def test_a_schema_refuses_a_document_of_another_command():
    schema = reference.schema(documents.BenchDocument)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(documents.text(documents.history([]))), schema)


def test_bench_has_the_keys_of_the_contract():
    other = row(configuration(level="basic"), ratio=1.5)
    value = decoded(documents.bench(study(row(), other)))
    assert value["schema"] == "ortlab.bench/1"
    assert set(value) >= {"ortlab_version", "study", "configurations", "best", "baseline"}
    assert set(value["study"]) >= {
        "id", "model_id", "started_at", "machine_id", "method", "rounds", "aa",
    }  # fmt: skip
    measured = value["configurations"][1]
    assert set(measured) >= {
        "id", "label", "provider_requested", "providers_active", "level", "variant", "runtime",
        "threads", "dims", "latency", "throughput_per_s", "session_init_us", "first_run_us",
        "peak_memory_bytes", "model_bytes", "vs_baseline", "accuracy", "steady", "warnings",
        "error",
    }  # fmt: skip
    assert set(measured["latency"]) >= {
        "count", "min_us", "mean_us", "p50_us", "p90_us", "p95_us", "p99_us", "max_us", "ci95_us",
    }  # fmt: skip
    assert set(measured["vs_baseline"]) >= {"ratio", "ci95", "verdict"}


def test_a_failed_row_has_null_figures_and_its_error():
    value = decoded(documents.bench(study(row(), row(configuration(threads=2), p50_us=None))))
    failed = value["configurations"][1]
    assert failed["error"] == {"kind": "crashed", "message": "The process crashed.", "hint": None}
    figures = ("latency", "throughput_per_s", "session_init_us", "first_run_us",
               "peak_memory_bytes", "model_bytes", "vs_baseline", "accuracy")  # fmt: skip
    assert [failed[name] for name in figures] == [None] * len(figures)


def test_samples_stand_in_the_row_they_belong_to():
    the_study = study(row(), row(configuration(threads=2), ratio=1.0))
    raw = {r.id: [float(i), 2.5] for i, r in enumerate(the_study.configurations)}
    value = decoded(documents.bench(the_study, samples=raw))
    assert [r["samples_us"] for r in value["configurations"]] == [[0.0, 2.5], [1.0, 2.5]]


def test_figures_that_are_not_numbers_become_null():
    endless = records.latency(max_us=float("inf"))
    text = documents.text(documents.bench(study(row(latency=endless))))
    assert json.loads(text)["configurations"][0]["latency"]["max_us"] is None


def test_profile_placement_machine_inspect_fix_and_history_fit_their_schemas():
    profile = decoded(documents.profile(viewed(records.profile({"MatMul": (3, 90)})), top=1))
    assert len(profile["nodes"]) == 1
    placement = decoded(documents.placement(records.fallen_back()))
    assert placement["fallback"][0]["class"] == "costly"
    assert decoded(documents.machine(records.machine()))["noise"] is None
    assert decoded(documents.inspect(records.model()))["model"]["id"] == "m1"
    fix = FixReport(source="a.onnx", output="b.onnx", applied=(AppliedFix("ir", "lowered"),),
                    outputs_equal=True, model=records.model())  # fmt: skip
    assert decoded(documents.fix(fix))["applied"] == [{"code": "ir", "message": "lowered"}]
    summary = StudySummary(id="s1", title="t", model_id="m1", model_name="n", status="done",
                           created_at="2026-11-20T18:00:00Z", configuration_count=2)  # fmt: skip
    assert decoded(documents.history([summary]))["studies"][0]["id"] == "s1"


def test_an_error_document_has_kind_message_and_hint():
    value = decoded(documents.error(RequestError("No.", hint="Try.", kind="usage")))
    assert value["error"] == {"kind": "usage", "message": "No.", "hint": "Try."}


# Options


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.5 %", 0.005), ("0.02", 0.02)])
def test_a_precision_is_a_percentage_or_a_fraction(text: str, value: float):
    assert options.fraction(text, option="--precision") == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "0", "-1%", "100%", "1e-2", "many", "1%%"])
def test_a_precision_that_is_no_share_is_refused_by_name(text: str):
    with pytest.raises(RequestError, match="--precision"):
        options.fraction(text, option="--precision")


def test_dimensions_are_names_with_sizes_even_with_an_equals_sign_inside():
    assert options.dims(["batch=4", "a=b=2"]) == {"batch": 4, "a=b": 2}


@pytest.mark.parametrize("text", ["batch", "batch=", "=3", "batch=x", "batch=0", "batch=-1"])
def test_a_dimension_without_a_size_is_refused_with_its_text(text: str):
    with pytest.raises(DimensionError, match=text):
        options.dims([text])


def test_options_make_the_question_they_name():
    ask = options.ask({
        "provider": ["cpu", "cuda"], "level": ["all"], "threads": [1, 2], "no_arena": True,
        "spinning": False, "seconds": 3.0, "precision": "2%", "seed": 7, "dim": ["n=2"],
        "session_config": ["session.disable_prepacking=1"], "profile": True,
    })  # fmt: skip
    assert ask.providers == ("cpu", "cuda")
    assert ask.threads == (1, 2)
    assert (ask.arena, ask.spinning, ask.profile, ask.seed) == (False, False, True, 7)
    assert (ask.stop.seconds, ask.stop.precision) == (3.0, 0.02)
    assert ask.session_config == {"session.disable_prepacking": "1"}
    assert ask.variants == ("fp32",)


def test_a_recipe_is_measured_alone_unless_a_grid_is_asked_for(tmp_path: Path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text('level = "basic"\n')
    alone = options.ask({"config": [recipe]})
    assert (alone.only_configurations, alone.configurations[0].level) == (True, "basic")
    assert not options.ask({"config": [recipe], "level": ["all"]}).only_configurations


# Exit codes


def refused(kind: str, **fields: Any) -> Any:
    return Failure(kind=kind, message=f"{kind} happened.", **fields)


def test_one_measured_row_is_enough():
    assert outcomes.failure(study(row(), row(configuration(threads=2), p50_us=None))) is None


@pytest.mark.parametrize(
    ("failures", "branch"),
    [
        ([refused("provider_unavailable")], ProviderUnavailableError),
        ([refused("provider_unavailable")] * 2, ProviderUnavailableError),
        ([refused("provider_unavailable"), refused("crashed")], MeasurementError),
        ([refused("timeout")], MeasurementError),
        ([refused("model_error", phase="session")], ModelError),
        ([refused("model_error", phase="first run")], MeasurementError),
    ],
)
def test_the_exit_code_is_that_of_what_went_wrong_in_every_row(
    failures: list[Failure], branch: type
):
    rows = [
        row(configuration(threads=1 + i), p50_us=None, error=failure)
        for i, failure in enumerate(failures)
    ]
    problem = outcomes.failure(study(*rows))
    assert type(problem) is branch
    assert failures[0].message in str(problem)


def test_a_cancelled_study_is_an_error_of_kind_cancelled():
    with pytest.raises(MeasurementError) as caught:
        outcomes.check_finished(study(status="cancelled"))
    assert caught.value.kind == "cancelled"
