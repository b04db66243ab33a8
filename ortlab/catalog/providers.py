"""The execution providers of ONNX Runtime 1.31: what they are, and every option they take."""

from __future__ import annotations

from msgspec import Struct

from ortlab.catalog.options import Option, checked, nearest
from ortlab.catalog.provider_options_cuda import CUDA
from ortlab.catalog.provider_options_others import COREML, CPU, DML, MIGRAPHX, VITISAI, XNNPACK
from ortlab.catalog.provider_options_plugins import OPENVINO, WEBGPU
from ortlab.catalog.provider_options_qnn import QNN
from ortlab.catalog.provider_options_tensorrt import TENSORRT, TENSORRT_RTX
from ortlab.errors import ProviderUnavailableError, RequestError

_DOCS = "https://onnxruntime.ai/docs/execution-providers/"


class Provider(Struct, frozen=True, kw_only=True):
    """One execution provider.

    `asynchronous` providers return before the work is done: their node times in a profile
    are launch times. `plugin_module` has `get_library_path()`, where the provider comes as
    a plugin beside another build. `auto_rank` orders what `auto` tries, lowest first; None
    leaves it out. `gone_since` is the first ORT version without it. `exclusive_with` names
    providers that cannot share a session with this one.
    """

    name: str
    short: str
    label: str
    hardware: str
    package: str
    platforms: tuple[str, ...]
    docs: str
    asynchronous: bool = False
    aliases: tuple[str, ...] = ()
    plugin_module: str | None = None
    options: tuple[Option, ...] = ()
    auto_rank: int | None = None
    gone_since: str = ""
    hidden: bool = False
    exclusive_with: tuple[str, ...] = ()
    note: str = ""

    @property
    def install(self) -> str:
        """The command that brings this provider."""
        return f"pip install {self.package}" if self.package else ""


PROVIDERS = (
    Provider(
        name="CPUExecutionProvider", short="cpu", label="CPU", hardware="every processor",
        package="onnxruntime", platforms=("linux", "windows", "macos"), docs=_DOCS,
        options=CPU, auto_rank=9,
        note="Always active: it takes the nodes that no other provider takes.",
    ),
    Provider(
        name="CUDAExecutionProvider", short="cuda", label="CUDA", hardware="NVIDIA GPU",
        package='"onnxruntime-gpu[cuda,cudnn]"', platforms=("linux", "windows"),
        docs=_DOCS + "CUDA-ExecutionProvider.html", options=CUDA, asynchronous=True,
        auto_rank=2, aliases=("gpu",),
        note="Convolutions and matrix products use TF32 on recent GPUs unless use_tf32=0.",
    ),
    Provider(
        name="TensorrtExecutionProvider", short="tensorrt", label="TensorRT", aliases=("trt",),
        hardware="NVIDIA GPU", package="tensorrt-cu13", platforms=("linux", "windows"),
        docs=_DOCS + "TensorRT-ExecutionProvider.html", options=TENSORRT,
        asynchronous=True, exclusive_with=("NvTensorRTRTXExecutionProvider",),
        note="Builds engines at the first run of every shape, which takes minutes. Put cuda "
        "after it for the nodes it does not take.",
    ),
    Provider(
        name="NvTensorRTRTXExecutionProvider", short="nv_tensorrt_rtx", label="TensorRT RTX",
        aliases=("tensorrt_rtx", "nvtensorrtrtx", "rtx"), hardware="NVIDIA RTX GPU", package="",
        platforms=("windows", "linux"), docs=_DOCS + "TensorRTRTX-ExecutionProvider.html",
        options=TENSORRT_RTX, asynchronous=True,
        exclusive_with=("TensorrtExecutionProvider",),
        note="Comes with ONNX Runtime builds made for TensorRT RTX.",
    ),
    Provider(
        name="OpenVINOExecutionProvider", short="openvino", label="OpenVINO", aliases=("ov",),
        hardware="Intel CPU, GPU or NPU", package="onnxruntime-ep-openvino",
        platforms=("linux", "windows"), docs=_DOCS + "OpenVINO-ExecutionProvider.html",
        plugin_module="onnxruntime_ep_openvino", options=OPENVINO, auto_rank=5,
        note="Runs float32 models in bfloat16 on CPUs that have it, unless load_config says "
        '{"CPU":{"INFERENCE_PRECISION_HINT":"f32"}}.',
    ),
    Provider(
        name="DmlExecutionProvider", short="dml", label="DirectML", aliases=("directml",),
        hardware="any DirectX 12 GPU", package="onnxruntime-directml", platforms=("windows",),
        docs=_DOCS + "DirectML-ExecutionProvider.html", options=DML, asynchronous=True,
        auto_rank=3, note="Needs memory pattern off and sequential execution.",
    ),
    Provider(
        name="CoreMLExecutionProvider", short="coreml", label="CoreML",
        hardware="Apple CPU, GPU or Neural Engine", package="onnxruntime", platforms=("macos",),
        docs=_DOCS + "CoreML-ExecutionProvider.html", options=COREML, auto_rank=4,
    ),
    Provider(
        name="QNNExecutionProvider", short="qnn", label="QNN", hardware="Qualcomm NPU",
        package="onnxruntime-qnn", platforms=("windows", "linux"),
        docs=_DOCS + "QNN-ExecutionProvider.html", plugin_module="onnxruntime_qnn",
        options=QNN, auto_rank=6,
    ),
    Provider(
        name="MIGraphXExecutionProvider", short="migraphx", label="MIGraphX", hardware="AMD GPU",
        package="onnxruntime-migraphx", platforms=("linux",),
        docs=_DOCS + "MIGraphX-ExecutionProvider.html", options=MIGRAPHX,
        asynchronous=True, auto_rank=3,
    ),
    Provider(
        name="WebGpuExecutionProvider", short="webgpu", label="WebGPU",
        hardware="any GPU with Vulkan, Metal or Direct3D 12", package="onnxruntime-ep-webgpu",
        platforms=("linux", "windows", "macos"), docs=_DOCS + "WebGPU-ExecutionProvider.html",
        plugin_module="onnxruntime_ep_webgpu", options=WEBGPU, asynchronous=True,
        auto_rank=7,
        note="Option names are the short ones, such as preferredLayout.",
    ),
    Provider(
        name="XnnpackExecutionProvider", short="xnnpack", label="XNNPACK",
        hardware="Arm or x86 CPU",
        package="", platforms=("android", "ios", "linux"),
        docs=_DOCS + "Xnnpack-ExecutionProvider.html", options=XNNPACK,
        note="Has its own thread pool; comes with builds made for it.",
    ),
    Provider(
        name="VitisAIExecutionProvider", short="vitisai", label="Vitis AI", hardware="AMD NPU",
        package="", platforms=("windows", "linux"),
        docs=_DOCS + "Vitis-AI-ExecutionProvider.html", options=VITISAI,
        note="Comes with AMD's Ryzen AI software.",
    ),
    Provider(
        name="NnapiExecutionProvider", short="nnapi", label="NNAPI", hardware="Android",
        package="", platforms=("android",), docs=_DOCS + "NNAPI-ExecutionProvider.html",
        note="Android only.",
    ),
    Provider(
        name="ROCMExecutionProvider", short="rocm", label="ROCm", hardware="AMD GPU", package="",
        platforms=("linux",), docs=_DOCS + "ROCm-ExecutionProvider.html", asynchronous=True,
        gone_since="1.23", note="Left ONNX Runtime in 1.23; MIGraphX takes its place.",
    ),
    Provider(
        name="AzureExecutionProvider", short="azure", label="Azure", hardware="a remote service",
        package="", platforms=("linux", "windows", "macos"),
        docs=_DOCS + "Azure-ExecutionProvider.html", hidden=True,
        note="Sends inputs to a remote service; listed by the plain build even where unused.",
    ),
)  # fmt: skip
"""In the order forms list them. Source: ORT 1.31 provider pages and libraries."""

BY_NAME = {p.name: p for p in PROVIDERS}
VISIBLE = tuple(p for p in PROVIDERS if not p.hidden and not p.gone_since)
ASYNCHRONOUS = frozenset(p.name for p in PROVIDERS if p.asynchronous)
PLUGIN_MODULES = {p.name: p.plugin_module for p in PROVIDERS if p.plugin_module}

_BY_TEXT = {
    text.lower(): p
    for p in PROVIDERS
    for text in (
        p.short, p.name, p.name.removesuffix("ExecutionProvider"), p.short.replace("_", "-"),
        *p.aliases,
    )
}  # fmt: skip


def find(text: str) -> Provider:
    """The provider a person means: `cpu`, `CUDA`, `trt`, or ORT's full name.

    Raises:
        RequestError: unknown; names the nearest.
    """
    found = _BY_TEXT.get(text.strip().lower())
    if found is not None:
        return found
    known = [p.short for p in VISIBLE]
    like = nearest(text, [*known, *(p.name for p in VISIBLE)])
    raise RequestError(
        f"There is no provider called {text!r}.",
        hint=f"Did you mean {like}?" if like else f"Known are {', '.join(known)}, and auto.",
    )


def unknown(name: str) -> Provider:
    """A row for a provider that this catalog does not know, but a build lists."""
    return Provider(
        name=name, short=name.removesuffix("ExecutionProvider").lower(), label=name,
        hardware="", package="", platforms=(), docs=_DOCS,
    )  # fmt: skip


def label(name: str) -> str:
    """A provider's name for people; what is unknown keeps ORT's name, shortened."""
    known = BY_NAME.get(name)
    return known.label if known else name.removesuffix("ExecutionProvider")


def validate_options(
    name: str,
    options: dict[str, str],
    *,
    ort_version: str | None = None,
    from_page: bool = False,
) -> dict[str, str]:
    """The options as ORT spells them, keys in a stable order.

    Args:
        name: ORT's full provider name.
        options: as given; values may be `true`, `2GiB`, or an enum in any case.
        ort_version: refuse what this version does not know; None skips that.
        from_page: refuse what names files or loads code.

    Raises:
        RequestError: an unknown option (names the nearest) or a value that does not fit.
        ProviderUnavailableError: the provider is gone in `ort_version`.
    """
    provider = BY_NAME.get(name) or find(name)
    _refuse_gone(provider, ort_version)
    known = {o.key: o for o in provider.options}
    checked_options = {}
    for key in sorted(options):
        option = _option(provider, key, known)
        _refuse_option(provider, option, ort_version=ort_version, from_page=from_page)
        checked_options[option.key] = checked(option, options[key], owner=provider.label)
    return checked_options


def _option(provider: Provider, key: str, known: dict[str, Option]) -> Option:
    found = known.get(key) or {k.lower(): o for k, o in known.items()}.get(key.lower())
    if found is not None:
        return found
    like = nearest(key, known)
    raise RequestError(
        f"{provider.label} has no option {key!r}.",
        hint=f"Did you mean {like}?" if like
        else f"It takes {', '.join(sorted(known))}." if known
        else "It takes no options.",
    )  # fmt: skip


def _refuse_option(
    provider: Provider, option: Option, *, ort_version: str | None, from_page: bool
) -> None:
    if from_page and not option.from_page:
        raise RequestError(
            f"{provider.label}: {option.key} names files on this machine and cannot be set "
            "from the page.",
            hint="Set it on the command line.",
        )
    if ort_version and option.since and version(ort_version) < version(option.since):
        raise RequestError(
            f"{provider.label}: {option.key} arrived in ONNX Runtime {option.since}; "
            f"installed is {ort_version}.",
        )


def _refuse_gone(provider: Provider, ort_version: str | None) -> None:
    gone = provider.gone_since
    if gone and (ort_version is None or version(ort_version) >= version(gone)):
        raise ProviderUnavailableError(
            f"{provider.label} left ONNX Runtime in {gone}.", hint=provider.note
        )


def version(text: str) -> tuple[int, ...]:
    """`1.31.1` as numbers that compare; what is not a number ends it."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
