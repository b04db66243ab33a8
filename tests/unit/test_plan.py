"""From a question to a study: laws of the grid, and everything that is refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ortlab.catalog import levels, providers, variants
from ortlab.domain.ask import Ask
from ortlab.domain.configuration import CPU, Configuration, ProviderChoice
from ortlab.domain.machine import (
    Cpu,
    Machine,
    MachineReport,
    ProviderState,
    Runtime,
)
from ortlab.domain.model import ModelInfo, Problem, TensorInfo
from ortlab.domain.study import StopRule, StudySpec
from ortlab.errors import DimensionError, ModelError, ProviderUnavailableError, RequestError
from ortlab.measure import provider_text
from ortlab.measure.command import ask_of
from ortlab.measure.plan import (
    command_line,
    count,
    estimate_s,
    plan,
    read_recipe,
    unusable,
    usable_threads,
    write_recipe,
)

CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
WEBGPU = "WebGpuExecutionProvider"
MODEL = ModelInfo(
    id="m", name="encoder.onnx", file_bytes=1000, ir_version=10, opsets={"": 17},
    inputs=(TensorInfo("ids", "int64", ("batch_size", "sequence")),),
    outputs=(TensorInfo("y", "float32", ("batch_size", 8)),),
    op_counts={"MatMul": 4, "Relu": 2}, symbolic_dims=("batch_size", "sequence"),
    dim_hints={"batch_size": 1, "sequence": 16},
)  # fmt: skip


def report(
    *loadable: ProviderState, usable: int = 2, physical: int = 2, version: str = "1.31.1"
) -> MachineReport:
    """Two cores; CPU loads, CUDA misses a library, and further states as given."""
    states = (
        ProviderState(name=CPU, built_in=True, loadable=True),
        ProviderState(name=CUDA, built_in=True, loadable=False,
                      reason="libcublasLt.so.13: cannot open shared object file", hint="install"),
    )  # fmt: skip
    named = {s.name for s in loadable}
    kept = tuple(s for s in states if s.name not in named)
    processor = Cpu(name="x", physical_cores=physical, logical_cores=4, usable_cores=usable)
    runtime = Runtime(
        id="default", python="3.11", onnxruntime_version=version, package="onnxruntime-gpu",
        providers=(*kept, *loadable),
    )  # fmt: skip
    return MachineReport(
        machine=Machine(id="here", cpu=processor, memory_bytes=1 << 34), runtimes=(runtime,)
    )


def loads(name: str, *devices: str) -> ProviderState:
    """A provider that a session opened on."""
    return ProviderState(name=name, built_in=True, loadable=True, devices=devices)


def planned(model: ModelInfo = MODEL, **fields: object) -> StudySpec:
    """The study of this question on the machine above."""
    return plan(Ask(**fields), model, report())


asks = st.builds(
    Ask,
    providers=st.lists(
        st.sampled_from(["cpu", "CPUExecutionProvider", "cuda", "cuda,cpu"]), min_size=1, max_size=3
    ).map(tuple),
    levels=st.lists(st.sampled_from([x.id for x in levels.LEVELS]), min_size=1, max_size=4).map(
        tuple
    ),
    variants=st.lists(st.sampled_from(list(variants.BY_ID)), min_size=1, max_size=2).map(tuple),
    threads=st.lists(st.integers(0, 8), min_size=1, max_size=4).map(tuple),
    batch=st.none() | st.integers(1, 64),
    spinning=st.booleans(),
    io_binding=st.booleans(),
)


@given(asks)
def test_the_same_question_has_the_same_ids_in_the_same_order(ask: Ask) -> None:
    if not any(p.lower().startswith("cpu") for p in ask.providers):
        ask = replace(ask, providers=(*ask.providers, "cpu"))
    one, two = plan(ask, MODEL, report()), plan(ask, MODEL, report())
    assert [c.id for c in one.configurations] == [c.id for c in two.configurations]


@given(asks)
def test_the_grid_is_the_product_without_duplicates(ask: Ask) -> None:
    ask = replace(ask, providers=(*ask.providers, "cpu"))
    spec = plan(ask, MODEL, report())
    distinct = {tuple(c.name for c in provider_text.choices(p)) for p in ask.providers}
    threads = {t or usable_threads(report()) for t in ask.threads}
    expected = len(distinct) * len(set(ask.levels)) * len(set(ask.variants)) * len(threads)
    assert len(spec.configurations) == expected == count(ask, MODEL, report())
    assert len({c.id for c in spec.configurations}) == expected


@given(asks)
def test_a_planned_study_can_be_asked_again_exactly(ask: Ask) -> None:
    spec = plan(replace(ask, providers=(*ask.providers, "cpu")), MODEL, report())
    again = plan(ask_of(spec), MODEL, report())
    assert again.configurations == spec.configurations
    assert again.stop == spec.stop


def test_the_last_axis_runs_fastest() -> None:
    spec = planned(levels=("disabled", "all"), threads=(1, 2))
    found = [(c.level, c.threads) for c in spec.configurations]
    assert found == [("disabled", 1), ("disabled", 2), ("all", 1), ("all", 2)]


def test_no_threads_means_the_cores_that_may_be_used_without_hyper_threads() -> None:
    assert usable_threads(report(usable=1, physical=8)) == 1
    assert usable_threads(report(usable=16, physical=8)) == 8
    assert planned().configurations[0].threads == 2


@pytest.mark.parametrize(
    "text",
    [
        "cudda", "cpu,cudda", "", "cpu,cpu", "cuda:use_tf32=banana", "cuda:use_tf3=1",
        "cuda:use_tf32", "tensorrt,nv_tensorrt_rtx",
    ],
)  # fmt: skip
def test_provider_texts_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(RequestError):
        planned(providers=(text, "cpu"))


def test_commas_and_semicolons_inside_a_value_stay_there() -> None:
    text = 'openvino:load_config={"CPU":{"A":"f32","B":"x;y"}};num_streams=2,cpu'
    first, second = provider_text.choices(text)
    assert first.options == {"load_config": '{"CPU":{"A":"f32","B":"x;y"}}', "num_streams": "2"}
    assert second.name == CPU
    shapes, cuda = provider_text.choices("trt:trt_profile_min_shapes=a:1x2,b:2x3,cuda")
    assert shapes.options == {"trt_profile_min_shapes": "a:1x2,b:2x3"}
    assert cuda.name == CUDA


SHORTS = [p.short for p in providers.VISIBLE if "tensorrt" not in p.short]


@given(st.lists(st.sampled_from(SHORTS), min_size=1, unique=True))
def test_provider_lists_survive_being_written_and_read(names: list[str]) -> None:
    found = provider_text.choices(",".join(names))
    assert provider_text.choices(provider_text.text_of(found)) == found


def test_auto_takes_the_best_that_loads_and_says_why() -> None:
    ask = Ask(providers=("auto",))
    gpu = plan(ask, MODEL, report(loads(CUDA, "NVIDIA H200"), loads(OPENVINO, "CPU Intel")))
    assert gpu.configurations[0].provider_names == (CUDA,)
    assert "CUDA" in gpu.notes[0]
    assert planned(providers=("auto",)).configurations[0].provider_names == (CPU,)


def test_auto_leaves_a_gpu_provider_on_a_software_device_alone() -> None:
    spec = plan(Ask(providers=("auto",)), MODEL, report(loads(WEBGPU, "CPU AMD")))
    assert spec.configurations[0].provider_names == (CPU,)


def test_a_provider_that_does_not_load_is_a_row_with_a_reason_among_others() -> None:
    spec = planned(providers=("cpu", "cuda"))
    refused = unusable(spec, report())
    assert list(refused) == [spec.configurations[1].id]
    assert "libcublasLt.so.13" in refused[spec.configurations[1].id].message


def test_a_provider_that_does_not_load_alone_is_refused() -> None:
    with pytest.raises(ProviderUnavailableError, match=r"libcublasLt\.so\.13"):
        planned(providers=("cuda",))


def test_dimensions_come_from_the_question_then_the_batch_then_the_model() -> None:
    spec = planned(dims={"sequence": 128}, batch=4)
    assert spec.configurations[0].dims == {"batch_size": 4, "sequence": 128}
    assert planned().configurations[0].dims == {"batch_size": 1, "sequence": 16}
    both = planned(dims={"batch_size": 2}, batch=4)
    assert both.configurations[0].dims["batch_size"] == 2


def test_sizes_nobody_gave_are_told_apart_from_those_asked_for() -> None:
    assert planned().assumed_dims == ("batch_size", "sequence")
    assert planned(batch=1).assumed_dims == ("sequence",)
    assert planned(dims={"sequence": 16}).assumed_dims == ("batch_size",)
    proposed = replace(planned().configurations[0], spinning=False)
    again = planned(configurations=(proposed,), only_configurations=True)
    assert again.assumed_dims == ("batch_size", "sequence")


def test_an_unknown_dimension_names_the_nearest() -> None:
    with pytest.raises(DimensionError, match="sequense") as caught:
        planned(dims={"sequense": 4})
    assert "sequence" in (caught.value.hint or "")


def test_a_dimension_without_a_value_is_refused_by_name() -> None:
    with pytest.raises(DimensionError, match="sequence"):
        planned(replace(MODEL, dim_hints={"batch_size": 1}))


def test_the_users_own_arrays_decide_dimensions() -> None:
    spec = planned(replace(MODEL, dim_hints={}), input_npz="mine.npz")
    assert spec.configurations[0].dims == {}


def test_a_batch_for_a_model_with_a_fixed_batch_is_refused() -> None:
    fixed = replace(MODEL, inputs=(TensorInfo("x", "float32", (1, 3)),), symbolic_dims=())
    assert planned(fixed, batch=1).configurations[0].dims == {}
    with pytest.raises(RequestError, match="fixed at 1"):
        planned(fixed, batch=8)


def test_a_model_that_ort_refuses_is_not_planned() -> None:
    problem = Problem("ir-too-new", "IR 14 is newer than 13.", fix="lower-ir")
    with pytest.raises(ModelError, match="IR 14") as caught:
        planned(replace(MODEL, problems=(problem,)))
    assert caught.value.kind == "ir-too-new"
    assert "ortlab fix" in (caught.value.hint or "")
    undecided = Problem("dim", "Dimension N is open.", severity="ask")
    assert planned(replace(MODEL, problems=(undecided,)))


@pytest.mark.parametrize(
    "fields",
    [
        {"levels": ("al",)}, {"variants": ("fp8",)}, {"runtimes": ("ort120",)},
        {"execution_mode": "paralel"}, {"threads": (40_000,)}, {"threads": (-1,)},
        {"inter_op_threads": 0}, {"seed": -1}, {"batch": 0}, {"baseline": "7"},
        {"stop": StopRule(seconds=0)}, {"stop": StopRule(runs=0)},
        {"stop": StopRule(precision=2.0)}, {"stop": StopRule(warmup=-1)},
        {"session_config": {"session.unknown": "1"}}, {"levels": ()},
        {"threads": tuple(range(1, 9)) * 2000}, {"only_configurations": True},
        {"dims": {"sequence": -1}},
    ],
    ids=lambda fields: str(fields)[:60],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_queued(fields: dict[str, object]) -> None:
    with pytest.raises(RequestError) as caught:
        planned(**fields)
    assert caught.value.exit_code == 2
    assert caught.value.message.endswith(".")


def test_io_binding_of_strings_is_refused() -> None:
    words = replace(MODEL, inputs=(TensorInfo("text", "string", (1,)),), symbolic_dims=())
    assert planned(words)
    with pytest.raises(RequestError, match="'text', which is strings"):
        planned(words, io_binding=True)


def test_int8_of_a_model_without_matrix_products_is_refused() -> None:
    convolutions = replace(MODEL, op_counts={"Conv": 9})
    with pytest.raises(RequestError, match="dynamic-int8"):
        planned(convolutions, variants=("fp32", "dynamic-int8"))


def test_a_level_newer_than_the_runtime_is_refused() -> None:
    with pytest.raises(RequestError, match=r"1\.23"):
        plan(Ask(levels=("layout",)), MODEL, report(version="1.20.1"))


def test_parallel_execution_with_one_thread_is_noted() -> None:
    assert any("inter-op" in n for n in planned(execution_mode="parallel").notes)
    assert not planned(execution_mode="parallel", inter_op_threads=2).notes


def test_the_baseline_is_found_by_index_and_by_id() -> None:
    spec = planned(levels=("disabled", "all"))
    second = spec.configurations[1].id
    for asked in ("1", second, second[:8]):
        assert planned(levels=("disabled", "all"), baseline=asked).baseline == 1


def test_nothing_asked_stops_at_one_percent_within_a_bounded_time() -> None:
    one = planned().stop
    many = planned(levels=tuple(x.id for x in levels.LEVELS), threads=tuple(range(1, 11))).stop
    assert (one.precision, one.runs) == (0.01, None)
    assert one.seconds is not None
    assert many.seconds == 120.0
    assert planned(stop=StopRule(runs=5)).stop == StopRule(runs=5)


def test_a_configuration_given_whole_joins_the_grid_once() -> None:
    twin = planned().configurations[0]
    assert planned(configurations=(twin,)).configurations == (twin,)
    other = replace(twin, spinning=False)
    assert planned(configurations=(other,)).configurations == (twin, other)
    alone = planned(configurations=(other,), only_configurations=True)
    assert alone.configurations == (other,)


def test_a_configuration_given_whole_is_checked_like_the_grid() -> None:
    wrong = Configuration(providers=(ProviderChoice(CUDA, {"use_tf3": "1"}),))
    with pytest.raises(RequestError, match="use_tf3"):
        planned(configurations=(wrong,))


def test_a_recipe_survives_being_written_and_read(tmp_path: Path) -> None:
    whole = Configuration(
        providers=(
            ProviderChoice(OPENVINO, {"load_config": '{"CPU":{"X":"a\\"b\\n"}}'}),
            ProviderChoice(CPU),
        ),
        level="basic", variant="dynamic-int8", threads=3, spinning=False, io_binding=True,
        dims={"batch_size": 4, 'odd "name"': 2}, session_config={"session.dynamic_block_base": "4"},
    )  # fmt: skip
    file = tmp_path / "recipe.toml"
    file.write_text(write_recipe(whole), encoding="utf-8")
    assert read_recipe(file) == whole


@pytest.mark.parametrize(
    ("text", "named"),
    [("thread = 3", "thread"), ("threads = 'x'", "threads"), ("threads = [", "TOML"),
     ("providers = [{name='cuda', options={use_tf3=1}}]", "use_tf3"),
     ("providers = [{name='cuda', option={}}]", "option"), ("providers = 3", "providers"),
     ("session_config = 1", "session_config"), ("providers = ['nothing']", "nothing")],
)  # fmt: skip
def test_a_wrong_recipe_is_refused_by_its_key(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(RequestError, match=named):
        read_recipe(file)


def test_a_missing_recipe_is_a_request_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.toml"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["threads = " + "[" * 5000, "\0", "level = 3"])
def test_a_damaged_recipe_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(RequestError, match=r"own\.toml"):
        read_recipe(file)


def test_a_device_is_no_recipe() -> None:
    with pytest.raises(RequestError, match="no recipe"):
        read_recipe(Path("/dev/zero"))


def test_the_command_line_is_quoted_for_a_shell() -> None:
    ask = Ask(
        providers=('openvino:load_config={"CPU":{}};num_streams=2', "cpu"), threads=(1, 2),
        dims={"odd name": 3}, stop=StopRule(precision=0.02), arena=False,
    )  # fmt: skip
    words = shlex.split(command_line(ask, "my model.onnx"))
    assert words[:3] == ["ortlab", "bench", "my model.onnx"]
    assert words[words.index("--provider") + 1] == ask.providers[0]
    assert words[words.index("--dim") + 1] == "odd name=3"
    assert words[words.index("--precision") + 1] == "2%"
    assert "--no-arena" in words


def test_more_configurations_take_longer() -> None:
    few, many = planned(), planned(levels=("disabled", "basic", "all"))
    assert 0 < estimate_s(few, MODEL) < estimate_s(many, MODEL)


@given(st.text(alphabet='cpudatrnsoe:;=,{}[]"() 01_', max_size=40))
def test_any_provider_text_is_understood_or_refused(text: str) -> None:
    try:
        found = provider_text.choices(text)
    except RequestError:
        return
    assert provider_text.choices(provider_text.text_of(found)) == found
