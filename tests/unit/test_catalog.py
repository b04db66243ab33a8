"""What the tables of providers and settings promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ortlab.catalog import options, providers, session_config
from ortlab.catalog.options import Option
from ortlab.errors import ProviderUnavailableError, RequestError

CUDA = "CUDAExecutionProvider"
CONTRACT = ("cpu", "cuda", "tensorrt", "openvino", "dml", "coreml", "qnn", "migraphx", "webgpu",
            "xnnpack", "vitisai")  # fmt: skip


@pytest.mark.parametrize("short", CONTRACT)
def test_every_provider_of_the_contract_is_found_by_short_and_full_name(short: str) -> None:
    row = providers.find(short)
    assert providers.find(row.name) is row
    assert providers.find(row.name.upper()) is row
    assert row in providers.VISIBLE


def test_an_unknown_provider_names_the_nearest() -> None:
    with pytest.raises(RequestError, match="cudda") as caught:
        providers.find("cudda")
    assert "cuda" in (caught.value.hint or "")


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(RequestError, match="cudnn_conv_algo_serch") as caught:
        providers.validate_options(CUDA, {"cudnn_conv_algo_serch": "HEURISTIC"})
    assert "cudnn_conv_algo_search" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("key", "value"),
    [("use_tf32", "banana"), ("device_id", "one"), ("device_id", "-1"),
     ("cudnn_conv_algo_search", "QUICK"), ("gpu_mem_limit", "much")],
)  # fmt: skip
def test_values_that_ort_would_take_silently_are_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(RequestError, match=key):
        providers.validate_options(CUDA, {key: value})


def test_the_same_option_in_other_words_is_the_same_option() -> None:
    plain = {"use_tf32": "0", "gpu_mem_limit": "2147483648", "cudnn_conv_algo_search": "HEURISTIC"}
    spoken = {"cudnn_conv_algo_search": "heuristic", "gpu_mem_limit": "2 GiB", "use_tf32": "False"}
    assert providers.validate_options(CUDA, spoken) == providers.validate_options(CUDA, plain)


def test_a_page_may_not_name_libraries() -> None:
    given_options = {"backend_path": "evil.so"}
    assert providers.validate_options("QNNExecutionProvider", given_options) == given_options
    with pytest.raises(RequestError, match="backend_path"):
        providers.validate_options("QNNExecutionProvider", given_options, from_page=True)


def test_every_option_that_loads_code_is_kept_from_pages() -> None:
    loading = [o for p in providers.PROVIDERS for o in p.options if o.loads_code]
    assert loading
    assert not [o.key for o in loading if o.from_page]


def test_every_default_fits_its_own_option() -> None:
    for provider in providers.PROVIDERS:
        for option in provider.options:
            if option.default:
                options.checked(option, option.default, owner=provider.label)


def test_option_names_are_unique_and_choices_belong_to_enums() -> None:
    for provider in providers.PROVIDERS:
        keys = [o.key for o in provider.options]
        assert len(keys) == len(set(keys)), provider.short
        assert all(bool(o.choices) == (o.kind == "enum") for o in provider.options), provider.short


def test_rocm_is_gone_since_1_23() -> None:
    name = providers.find("rocm").name
    assert providers.validate_options(name, {}, ort_version="1.22.0") == {}
    with pytest.raises(ProviderUnavailableError, match=r"1\.23"):
        providers.validate_options(name, {}, ort_version="1.31.1")


def test_an_option_newer_than_the_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    row = providers.Provider(
        name="NewExecutionProvider", short="new", label="New", hardware="", package="",
        platforms=(), docs="", options=(Option("shiny", "bool", since="1.30"),),
    )  # fmt: skip
    monkeypatch.setitem(providers.BY_NAME, row.name, row)
    assert providers.validate_options(row.name, {"shiny": "1"}, ort_version="1.31.1")
    with pytest.raises(RequestError, match=r"1\.30"):
        providers.validate_options(row.name, {"shiny": "1"}, ort_version="1.29.2")


def test_unknown_and_managed_session_keys_are_refused() -> None:
    with pytest.raises(RequestError, match="prepackin'") as caught:
        session_config.validate({"session.disable_prepackin": "1"})
    assert "session.disable_prepacking" in (caught.value.hint or "")
    with pytest.raises(RequestError, match="optimized_model_filepath"):
        session_config.validate({"session.optimized_model_filepath": "anywhere.onnx"})
    with pytest.raises(RequestError, match="force_spinning_stop"):
        session_config.validate({"session.force_spinning_stop": "banana"})


def test_no_settable_session_key_lacks_words() -> None:
    assert not [k.key for k in session_config.SETTABLE if not k.meaning]


@given(st.text(max_size=30))
def test_any_text_either_fits_an_option_and_then_stays_or_is_a_request_error(text: str) -> None:
    for row in (*providers.find("cuda").options, *session_config.SETTABLE):
        try:
            once = options.checked(row, text, owner="x")
        except RequestError:
            continue
        assert options.checked(row, once, owner="x") == once
